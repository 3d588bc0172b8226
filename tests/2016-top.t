#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump top shows live what happens. Keys choose VM, reason, order, span and
# unit. A resized terminal, a VM that ends, and cleared counters neither stop nor confuse
# it.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

has_terminal || skip_all 'tmux is not installed'

# 3 VMs of 2 vCPUs with 55 exits each; the same with twice as many; then without the last VM.
tree "$T/tree1" 3 2
tree "$T/tree2" 3 2 -v step=2
tree "$T/two" 2 2 -v step=3
show tree1

keys() { tm send-keys "$@"; }

# start ARGUMENT...: runs top in a terminal of 80 by 24, with a tmux server of its own. The
# terminal shows top's status at the end.
start() {
	local command
	tm kill-server 2>/dev/null || :
	((++server))
	printf -v command '%q ' "$EXITDUMP" -S "$T/root" top "$@"
	tm new-session -d -x 80 -y 24 "$command; echo status \$?; read -r"
}

start 0.2
sees 'the host, with nothing in between' 'host, 3 VMs.*no exit in the last interval \(t: other spans\).*TOTAL +0 +0\.0'
show tree2
keys t
sees 't: since it began' $'since the view began.*\nREASON_9 +60 [^\n]*<.*TOTAL +330 '
keys t
sees 't: all counts so far' $'all counts so far.*\nREASON_9 +120 +204us '
keys Down Down
sees 'Down: the cursor' $'\nREASON_7 [^\n]*<\n'
keys h
sees 'h: the histogram of that reason' 'REASON_7: 96 exits.*1\.02us -> 2\.05us +96 \|\*+\|'
keys Enter
sees 'Enter: back' $'\nREASON_7 [^\n]*<\n'
sees 'sorted by what is lost, which the head says' 'vmx; by lost'
keys '<' '<'
sees '<: by name' $'by name.*\nREASON_0 .*\nREASON_1 '
keys r
sees 'r: backwards' $'by -name.*\nREASON_9 .*\nREASON_8 '
keys '>'
sees '>: by the next column, that way round' $'by -exits.*\nREASON_0 .*\nREASON_1 '
keys r '>'
sees 'r, >: and back' $'by lost.*\nREASON_9 .*\nREASON_8 '
keys u
sees 'u: cycles' $'in cycles.*\nREASON_9 +120 +408000 '
keys u
sees 'u: nanoseconds' $'in ns.*\nREASON_9 +120 +204000 '
keys u u
sees 'u: and around' $'in units that fit.*\nREASON_9 +120 +204us '
keys End
sees 'End: the last line' $'\nREASON_0 [^\n]*<\n'
keys Home
sees 'Home: the first' $'\nREASON_9 [^\n]*<\n'
keys Down Down

keys v
sees 'v: all VMs' $'3 VMs, 6 vCPUs.*\n1000-11 vm0 +220 .*\n1002-11 vm2 +220 '
keys Down Down Enter
sees 'Enter: that VM' 'VM 1002-11 \(vm2\), 2 vCPUs.*REASON_9 +40 '
show two
sees 'it ends: said, and the last figures stay' $'no VM 1002-11 .*REASON_9 +40 '
keys v
sees 'v: the VMs that are left' $'2 VMs, 4 vCPUs.*\n1001-11 vm1 +330 '
show tree1
sees 'one that is back, and what is counted of the others' $'3 VMs, 6 vCPUs.*1000-11 vm0 +110 .*1001-11 vm1 +110 .*1002-11 vm2 +110 '
keys v
sees 'v again: the host' 'host, 3 VMs, 6 vCPUs'

tm resize-window -x 60 -y 10
sees 'a small terminal: as many lines as fit, the sums, the keys' $'REASON_9 .*REASON_5 [^\n]*\nTOTAL [^\n]*\nq quit'
keys Down Down Down Down Down Down
sees 'it scrolls with the cursor' $'SCHED +>\n[^\n]*\n[^\n]*\n[^\n]*\n[^\n]*\nREASON_[0-9] [^\n]*<\nTOTAL'
tm resize-window -x 20 -y 3
sees 'tiny' 'q quit'
tm resize-window -x 120 -y 40
sees 'large' $'REASON_0 [^\n]*\nTOTAL'

keys p
sees 'p: paused' 'PAUSED'
show tree2
keys t t t
sees 'paused: what was read stays' $'PAUSED.*all counts so far.*\nTOTAL +330 '
keys p
sees 'p: and on' $'every 0.2 s, all counts so far.*\nTOTAL +660 '
keys '?'
sees '?: the keys' 'PgUp.*since the view began.*unit: fitting'
keys q
sees 'any key leaves the help' 'host, 3 VMs.*TOTAL'
keys q
sees 'q: ends well, the terminal is as before' 'status 0'

# Cleared counters: the note appears for the interval, and for a view that began before it.
show tree2
start 2
sees 'an interval of nothing' $'the last interval.*TOTAL +0 '
show tree1
note='counters were cleared in this interval, so its figures are left out'
sees 'cleared counters: said' $'\n'"$note"
sees 'and of the next interval no more' $'the last interval.*TOTAL +0 '
keys t
sees 'since the view began: said as well' $'\n'"$note.*TOTAL +- "
keys q
sees 'and q' 'status 0'
show two
start -a 2
sees 'VMs, in an interval of nothing' $'the last interval.*1001-11 vm1 +0\.0 '
show tree1
sees 'two cleared, a third one new: said' \
	$'\ncounters of 2 VMs were cleared in this interval, so their figures are left out *\n.*1002-11 vm2 +[1-9]'
keys q
sees 'and q' 'status 0'

# The selection of the command line comes back after a histogram, the help and the VMs.
start -r 'REASON_[89]' -o name,exits,p99 3600
sees 'chosen reasons and columns' $'NAME +EXITS +P99 *\nREASON_9 [^\n]*\nREASON_8 [^\n]*\nTOTAL'
keys h
sees 'a histogram of one' 'REASON_9: .* exits'
keys h
sees 'and back' $'NAME +EXITS +P99 *\nREASON_9 [^\n]*\nREASON_8 [^\n]*\nTOTAL'
keys '?' x
sees 'and behind the help' $'NAME +EXITS +P99 *\nREASON_9 [^\n]*\nREASON_8 [^\n]*\nTOTAL'
keys v
sees 'among the VMs' $'VM +VMNAME.*1000-11 vm0'
keys v
sees 'and back with the host' $'NAME +EXITS +P99 *\nREASON_9 [^\n]*\nREASON_8 [^\n]*\nTOTAL'
keys q
sees 'and q' 'status 0'
start --all-vcpus -o vm,vcpu,name,exits 3600
sees 'vCPUs and reasons' $'1000-11 +0 REASON_9 [^\n]*<\n'
keys Down Down Down
sees 'the cursor goes from line to line' $'\n[^<]*\n[^<\n]*\n[^<\n]*\n1001-11 +1 REASON_9 [^\n]*<\n'
keys q
sees 'and q' 'status 0'
mkdir -p "$T/off/sys/module/kvm/parameters"
cp -r "$T/tree1/sys/kernel" "$T/off/sys/"
echo N >"$T/off/sys/module/kvm/parameters/exit_cycles"
show off
start 3600
sees 'counting switched off: said' 'nothing is counted at present'
keys q
sees 'and q' 'status 0'
show tree1

start --vm vm1 -o name,exits,p99 -n 3
sees 'options hold' $'VM 1001-11.*NAME +EXITS +P99 *\n[^\n]*\n[^\n]*\n[^\n]*\nTOTAL'
keys q
sees 'and q' 'status 0'

# On small terminals a number is shown in full, or its column is left out.
tree "$T/long" 2 2 -v step=1234567
for i in 0 1; do
	printf 'qemu\0-name\0%s-%d\0' a-guest-of-a-name-with-some-fifty-letters-in-it "$i" >"$T/long/proc/100$i/cmdline"
done
show long
start -a 3600
sees 'long names are cut, and no number' $'SCHED +HALT *\n1000-11 a-guest-[^ ]*> 135\.8M 231s +33\.3% 50\.0% 67\.9s 136s 13\.6s 34\.0s <\n.*TOTAL +271\.6M 462s +33\.3% +100% +136s 272s 27\.2s 67\.9s\n'
tm resize-window -x 200
sees 'a wide terminal has the whole name' 'letters-in-it-0 +135\.8M'
words() { screen | sed '1,2d; $d' | tr -s '<> ' '\n' | sort -u; }
# broken: prints words that the wide screen did not have; nothing once there are none and the
# heading says that columns are left out.
broken() {
	local i
	for ((i = 0; i < 100; i++)); do
		[[ ! $(screen) =~ NAME\ [^$'\n']*\>$'\n' || $(comm -23 <(words) "$T/wide") ]] || return 0
		sleep 0.1
	done
	echo 'not all whole:'
	screen
}
keys v
sees 'the host' 'AVG.*REASON_0.*TOTAL +271\.6M'
words >"$T/wide"
for width in 50 36 24; do
	tm resize-window -x "$width"
	is "$width columns: whole numbers" "$(broken)" ''
done
keys h
sees 'a histogram line that is cut ends in >' $'2\.05us >\n'
keys q
sees 'and q' 'status 0'

# A histogram of 24 buckets with 1 to 24 exits: on 24 lines there is room for 19.
kvm=sys/kernel/debug/kvm
mkdir -p "$T/tail/$kvm"
lines '#~exit_cycles~1 vendor=vmx' 'reason name exits' '12 HLT 300' '- OTHER 5' '- TOTAL 305' >"$T/tail/$kvm/exit_cycles"
row=$(echo {1..24} 0 0 0 0 0 0 0 0)
lines '#~exit_cycles~1 vendor=vmx' "reason name $(echo {0..31})" "12 HLT $row" \
	"- TOTAL $row" >"$T/tail/$kvm/exit_cycles_hist"
show tail
start 3600
sees 'HLT' HLT
keys h
sees 'a histogram longer than the screen: the lowest share a line' \
	$'HLT: 300 exits.*\n +cycles +to +exits\n +0 -> 31 +21 \|\(6 buckets in one line\) {15}\|\n +32 -> 63 +7 '
like 'and the longest are there' "$(screen)" $'4\.194M -> 8\.389M +24 \|\*{38}\|\nq quit'
tm resize-window -y 40
sees 'all of them on a taller terminal' $' 0 -> 0 +1 .*\n +1 -> 1 +2 .*4\.194M -> 8\.389M +24 '
keys Escape Down Enter
sees 'of what is not in the kernel'\''s table' 'OTHER: no histogram'
keys Escape Up h
for most in 9 10; do
	tm resize-window -y $((30 - most))
	sees "$most buckets in a line, as long as the others" $'\\('"$most buckets in one line\\) {$((16 - ${#most}))}\\|"
done
tm resize-window -y 7
sees 'at least the longest' $'cycles +to +exits\n +0 -> 4\.194M +276 \|\(23 buckets in one line\) {14}\|\n +4\.194M -> 8\.389M +24 '
keys '?'
sees 'help that does not fit says so' $'Enter +show what is inside[^\n]*\n.*\(more on a taller terminal\)\nq quit'
keys q q
sees 'and q' 'status 0'

# Into a VM, a vCPU and a reason, and back the same way.
show tree1
start 0.2
keys t t v
sees 'v: VMs' $'all counts so far.*\n1000-11 vm0 +110 '
keys Down c
sees 'c: the vCPUs of the chosen one' $'VM 1001-11 \\(vm1\\).*\n1001-11 vm1 +0 +55 .*\n1001-11 vm1 +1 +55 '
keys Down Enter
sees 'Enter: one vCPU' $'vCPU 1 of VM 1001-11 \\(vm1\\).*\nREASON_9 +10 '
keys Enter
sees 'Enter: the histogram' 'vCPU 1 of VM 1001-11 .*REASON_9: 10 exits'
keys Escape
sees 'Esc: its reasons' $'vCPU 1 of VM 1001-11 .*\nREASON_9 +10 [^\n]*<\n'
keys Escape
sees 'Esc: the vCPUs, the cursor where it was' $'\n1001-11 vm1 +1 +55 [^\n]*<\n'
keys Escape
sees 'Esc: the VMs' $'3 VMs.*\n1001-11 vm1 +110 [^\n]*<\n'
keys Escape
sees 'Esc: the host' 'host, 3 VMs.*REASON_9 +60 '
keys c
sees 'c: all vCPUs of the host' $'\n1002-11 vm2 +1 +55 '
keys Enter
sees 'Enter: vCPU 0' $'vCPU 0 of VM 1000-11 \\(vm0\\).*\nREASON_9 +10 '
keys v
sees 'v: the VMs, with all of their vCPUs' $'3 VMs, 6 vCPUs.*\n1000-11 vm0 +110 '
keys Escape Escape Escape Escape
sees 'Esc at the beginning: nothing' 'host, 3 VMs.*REASON_9 +60 '
keys v v v v v v v v v v
sees 'v again and again: no deeper than it can go back' $'\n1000-11 vm0 +110 '
keys Escape Escape Escape Escape Escape Escape Escape Escape
sees 'Esc: the beginning' 'host, 3 VMs.*REASON_9 +60 '

# A VM that ended before Enter: nothing changes, and top says so.
keys v
sees 'v: VMs' '1002-11 vm2'
keys p End
sees 'End: the last' $'\n1002-11 vm2 [^\n]*<\n'
tree "$T/less" 2 2
show less
keys Enter
sees 'Enter on a VM that ended: said, and the VMs stay' $'no VM 1002-11 .*\n1000-11 vm0 +110 .*\n1002-11 vm2 +110 [^\n]*<\n'
keys p
sees 'and go on' $'2 VMs, 4 vCPUs.*\nevery 0\.2 s'
keys Escape
show tree1

# The user chooses columns.
keys o
sees 'o: the columns' $'\\[x\\] name .*\\[x\\] exits .*\\[ \\] total .*\nspace shows [^\n]* goes back *$'
keys Home Down Down Down Down Down Down Down Down Down Space
sees 'space: hides one' $'> \\[ \\] exits '
keys Down Down Space
sees 'space: shows one' $'> \\[x\\] total '
keys Enter
sees 'Enter: as space' $'> \\[ \\] total '
keys Enter
sees 'Enter: as space' $'> \\[x\\] total '
keys End Up Down
sees 'the last one' $'> \\[ \\] mostly '
keys End Up Up Up Up Up Up Up Up Up Up Up Space x
sees 'any other key: the lines, with the columns' $'\nNAME +LOST +SHARE +KVM +AVG +USER +SCHED +HALT +TOTAL +P99'
sees 'read anew where they need more' $'\nREASON_9 [^\n]*<=1\\.95us'
keys q
sees 'and q' 'status 0'

start -a -o vm,exits 3600
sees 'VMs' $'\n1000-11 +110 '
keys o End Up Up Up Up Up Up Up Up Up Up Up Space x
sees 'a percentile, whose histograms are read now' $'\nVM +EXITS +P99 *\n1000-11 +110 +<=1\.95us'
keys o Home Down Down Down Down Down Down Down Down Down Space Home Down Space End Up Up Up Up Up Up Up Up Up Up Up Space Down
sees 'of all columns one stays' $'\n  \\[x\\] p99 +[^\n]*\n> \\[ \\] p99\.9 .*'
keys x q
sees 'and q' 'status 0'

start 3600 -u auto
sees 'units that fit' 'in units that fit'
keys u
sees 'u: from these to cycles' ', in cycles'
keys q
sees 'and q' 'status 0'

# However top ends, the terminal is as before, and the status tells how it ended.
start 3600
sees 'it runs' 'host, 3 VMs'
keys C-c
sees 'Ctrl-C: as q' 'status 0'
for signal in TERM:143 HUP:129 QUIT:131; do
	start 3600
	sees 'it runs' 'host, 3 VMs'
	pkill_one() { kill "-$1" "$(pgrep -P "$(tm list-panes -F '#{pane_pid}')" -f ' top ')"; }
	pkill_one "${signal%:*}"
	sees "SIG${signal%:*}: the screen restored, the status of a signal" $'^([^,]*\n)?status '"${signal#*:}"
done

# The histogram covers the same interval as the lines.
show tree1
start 1
keys t t
sees 'what there is' $'all counts so far.*\nREASON_9 '
keys h t
sees 'h: nothing in the interval' $'the last interval.*\nno such exit in this span'
show tree2
sees 'h: of the interval in which something happened' $' s, the last interval,.*\nREASON_9: 60 exits'
sees 'and of the next nothing again' $'the last interval.*\nno such exit in this span'
keys t
sees 't: since the view began' $'since the view began.*\nREASON_9: 60 exits'
keys t
sees 't: all counts so far' $'all counts so far.*\nREASON_9: 120 exits'
keys q
sees 'and q' 'status 0'
show tree1

# A pause freezes the screen.
start 0.2
keys t t
sees 'counting' $'all counts so far.*\nTOTAL +330 '
keys p
sees 'p' PAUSED
show tree2
sleep 1
like 'after a second of a pause: as it was' "$(screen)" $'PAUSED.*\nTOTAL +330 '
keys q
sees 'and q' 'status 0'

# The other keys, and the CPU time that VMs use outside their vCPUs.
show tree1
start 0.2
sees 'an interval' 'the last interval'
keys v
sees 'VMs over an interval: the CPU outside their vCPUs' $'\nVM +VMNAME +RATE .* VCPUCPU VMMCPU'
keys Escape
tm resize-window -y 10
keys t t
sees 'a few lines' $'all counts so far.*\nREASON_9 [^\n]*<\n'
keys NPage
sees 'PgDn' $'\nREASON_5 [^\n]*<\n'
keys Down
sees 'Down' $'\nREASON_4 [^\n]*<\n'
keys Up Up
sees 'Up' $'\nREASON_6 [^\n]*<\n'
keys PPage
sees 'PgUp' $'\nREASON_9 [^\n]*<\n'
keys Space
sees 'space: paused' PAUSED
keys Space
sees 'space: and on' $'\nevery 0.2 s'
keys t t
show tree2
sees 'since the view began' $'since the view began.*\nTOTAL +330 '
keys z
sees 'z: it begins now' $'since the view began.*\nTOTAL +0 '
keys x
sees 'a key that is none: nothing' $'since the view began.*\nTOTAL +0 '
keys p t t
sees 'p' 'PAUSED.*the last interval'
keys z
sees 'z: no interval has passed since' 'PAUSED.*all counts so far'
keys p
show nothing
sees 'files that went away: said' 'No such file'
show tree2
sees 'and are back: no more' $'\nevery 0\.2 s'
keys BSpace q
sees 'and q' 'status 0'
show tree1

for option in '-O x' --json; do
	# shellcheck disable=SC2086 # two words
	exitdump -S "$T/root" top $option </dev/null
	like "not with $option" "$status:$out:$err" '^1::exitdump: top: shows a screen: not with '
done
exitdump -S "$T/root" top </dev/null
is 'without a terminal' "$status:$out:$err" '1::exitdump: top: needs a terminal (exitdump INTERVAL needs none)'
tm kill-server 2>/dev/null || :
((++server))
tm new-session -d -x 80 -y 24 "TERM=dumb '$EXITDUMP' -S '$T/root' top; echo status \$?; read -r"
sees 'a terminal without a cursor' $'top: the terminal type dumb cannot move its cursor.*status 1'
exitdump -S "$T/nowhere" top
is 'and without files' "$status" 1

done_testing
