#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump top of a saved file is as live as the file, and a key that needs a host does
# nothing there; nor does the key of the list that is shown already. An idle VM is a place as well.
# shellcheck disable=SC2317 # a function that ok calls
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "$TOP/tests/fixtures/exitdump.sh"

has_terminal || skip_all 'tmux is not installed'

# top ARGUMENT...: runs it in a terminal ($term may set its type), which shows its status at the end.
term=
top() {
	local command
	tm kill-server 2>/dev/null || :
	((++server))
	printf -v command '%q ' "$EXITDUMP" top "$@"
	tm new-session -d -x 80 -y 24 "$term $command; echo status \$?; read -r"
}
keys() { tm send-keys "$@"; }

kvm=sys/kernel/debug/kvm
tree "$T/tree1" 2 2
tree "$T/tree2" 2 2 -v step=2
show tree1
top 0.2 -i "$T/root/sys/kernel/debug/kvm/exit_cycles"
keys t t
sees 'a file, all of it since no moment' $'^overhead [^\n]*\n[^\n]*all counts so far.*\nREASON_9 +40 [^\n]*<\n'
keys Down s
sees 's: nor slow exits beside it' $'exit_cycles_slow: No such file [^\n]*\n.*\nREASON_8 +36 [^\n]*<\n'
keys Enter
sees 'Enter: the histogram beside it' 'REASON_8: 36 exits'
keys s s
sees 's there: as if it were closed' $'exit_cycles_slow: No such file [^\n]*\n.*\nREASON_8 +36 [^\n]*<\n'
show tree2
sees 'it changes' $'\nREASON_8 +72 [^\n]*<\n'
keys v c Down
sees 'v, c: it has no VMs' $'host, 2 VMs.*\nREASON_7 +64 [^\n]*<\n'
keys q
sees 'and q' 'status 0'

show tree1
top 0.2 -S "$T/root"
keys t t c
sees 'c: the vCPUs' $'\n1000-11 vm0 +0 +55 '
keys c c Escape
sees 'c again: nothing, so that Esc leaves them' $'host, 2 VMs.*\nREASON_9 +40 '
keys q
sees 'and q' 'status 0'

show tree1
top 0.2 -S "$T/root" -a -o vm,exits
sees 'VMs' $'by lost.*\nVM +EXITS *\n'
keys '<'
sees '<: from an order that is not shown to the last column' $'by exits.*\nVM +EXITS *\n'
show nothing
keys o End Up Up Up Up Up Up Up Up Up Up Up Space x
sees 'a percentile that is chosen while nothing can be read: shown as well' $'No such file.*\nVM +EXITS +P99 *\n'
keys q
sees 'and q' 'status 0'

show tree1
top 3600 -S "$T/root" -a -o vm,exits
sees 'VMs, for an hour' $'\n1000-11 +110 '
keys o Home Down Down Down Down Space x
sees 'the list of vCPUs that is chosen: read at once' $'\nVM +EXITS +VCPUS *\n1000-11 +110 0-1'
keys q
sees 'and q' 'status 0'

mkdir -p "$T/idle/$kvm"
cp "$T/tree1/$kvm"/exit_cycles* "$T/idle/$kvm/"
show idle
top 0.2 -S "$T/root" -a
keys Enter p
sees 'Enter where there is no VM: nothing' $'PAUSED[^\n]*\nVM +VMNAME '
keys q
sees 'and q' 'status 0'

show tree1
top 0.2 -S "$T/root" -s cycles,name -o +total
keys t t
sees 'two columns to sort by, and one column more' $'by KVM *\n.*\nNAME +EXITS [^\n]*TOTAL *[\n>]'
keys '>'
sees '>: by one column, the next one' $'by avg *\n.*TOTAL *[\n>][^R]*REASON_9 .*REASON_8 '
keys h o
sees 'o above a histogram: nothing' 'REASON_9: 40 exits'
keys c
sees 'c there: the vCPUs' $'\n1000-11 vm0 +0 +55 '
keys Escape
sees 'Esc: not the histogram, but the reasons' $'\nREASON_9 +40 '
keys o Home Down Down Down Down Down Down Down Down Down Space x
sees 'a column that was hidden is gone' $'\nNAME +LOST [^\n]*TOTAL *[\n>]'
keys q
sees 'and q' 'status 0'

lines '#~exit_cycles~1' 'reason name exits cycles' '10 CPUID 5 500' '- TOTAL 5 500' >"$T/unknown"
top 0.2 -i "$T/unknown"
sees 'a file without a frequency: in cycles' $'the last interval[^\n]*, in cycles *\nNAME +EXITS +RATE '
keys p u u
sees 'u: nor in a unit of time, and an interval keeps its columns' $'PAUSED, [^\n]*, in cycles *\nNAME +EXITS +RATE '
keys q
sees 'and q' 'status 0'
top -i "$T/unknown" -u ns
sees '--unit: refused, without a screen' $'^exitdump: --unit: the TSC[^\n]*frequency is not known here.*\nstatus 1'

term='env --ignore-signal=HUP'	# as under nohup
top 3600 -S "$T/root"
sees 'it runs' 'host, 2 VMs'
pid=$(pgrep -P "$(tm list-panes -F '#{pane_pid}')" -f ' top ')
kill -HUP "$pid"
keys '?'
sees 'SIGHUP, which is ignored: it goes on' 'PgUp'
tm resize-window -x 70
sees 'a resized terminal: the help stays' 'PgUp'
tm kill-server
ended() { # PID: within 20 seconds
	local i
	for ((i = 0; i < 200; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.1
	done
	kill -KILL "$1"
	return 1
}
ok 'the terminal is gone: it ends, whatever it ignores' ended "$pid"

term=TERM=xterm		# it has a number pad
show tree1
top -S "$T/root" -s exits -u us
sees 'the order of --sort, the unit of --unit, and every second' $'by exits.*every 1 s, .*, in us *\n'
like 'which is underlined' "$(tm capture-pane -pe | sed -n 3p)" $'[;[]4m(\e\\[[0-9;]*m)* *EXITS *\e'
keys v
sees 'v: the VMs, in their own order' $'by lost.*\n1001-11 vm1 '
keys Down KPEnter
sees 'Enter: an idle one' $'VM 1001-11 \\(vm1\\).*the last interval.*\nTOTAL +0 '
keys Down Up
keys c t t
sees 'c: its vCPUs' $'all counts so far.*\n1001-11 vm1 +0 +55 .*\n1001-11 vm1 +1 +55 '
like 'the chosen one is bold' "$(tm capture-pane -pe)" $'[;[]1m(\e\\[[0-9;]*m)*1001-11 vm1 +0 '
unlike 'and no others' "$(screen)" 1000-11
keys BSpace
sees 'Backspace: back' $'VM 1001-11 \\(vm1\\).*\nREASON_9 +20 '
keys o KPEnter
sees 'Enter of the number pad: as space' $'> \\[x\\] '
keys x
keys q
sees 'and q' 'status 0'

done_testing
