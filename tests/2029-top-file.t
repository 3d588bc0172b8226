#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump top of a saved file is as live as the file, and a key that needs a host does
# nothing there; nor does the key of the list that is shown already. An idle VM is a place as well.
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "$TOP/tests/fixtures/exitdump.sh"

has_terminal || skip_all 'tmux is not installed'

# top ARGUMENT...: runs it in a terminal that has a number pad, and which shows its status at the end.
top() {
	local command
	tm kill-server 2>/dev/null || :
	((++server))
	printf -v command '%q ' "$EXITDUMP" "$@" top 0.2
	tm new-session -d -x 80 -y 24 "TERM=xterm $command; echo status \$?; read -r"
}
keys() { tm send-keys "$@"; }

tree "$T/tree1" 2 2
tree "$T/tree2" 2 2 -v step=2
show tree1
top -i "$T/root/sys/kernel/debug/kvm/exit_cycles"
keys t t
sees 'a file' $'all counts so far.*\nREASON_9 +40 [^\n]*<\n'
keys Down s
sees 's: nor slow exits beside it' $'exit_cycles_slow: No such file [^\n]*\n.*\nREASON_8 +36 [^\n]*<\n'
keys Enter
sees 'Enter: the histogram beside it' 'REASON_8: 36 exits'
keys Escape
show tree2
sees 'it changes' $'\nREASON_8 +72 [^\n]*<\n'
keys v c Down
sees 'v, c: it has no VMs' $'host, 2 VMs.*\nREASON_7 +64 [^\n]*<\n'
keys q
sees 'and q' 'status 0'

show tree1
top -S "$T/root"
keys t t c
sees 'c: the vCPUs' $'\n1000-11 vm0 +0 +55 '
keys c c Escape
sees 'c again: nothing, so that Esc leaves them' $'host, 2 VMs.*\nREASON_9 +40 '
keys q
sees 'and q' 'status 0'

show tree1
top -S "$T/root" -s exits -u us
sees 'the order of --sort, the unit of --unit' $'by exits.*, in us *\n'
keys v
sees 'v: the VMs, in their own order' $'by lost.*\n1001-11 vm1 '
keys Down KPEnter
sees 'Enter: an idle one' $'VM 1001-11 \\(vm1\\).*the last interval.*\nTOTAL +0 '
keys Down Up
keys c t t
sees 'c: its vCPUs' $'all counts so far.*\n1001-11 vm1 +0 +55 .*\n1001-11 vm1 +1 +55 '
unlike 'and no others' "$(screen)" 1000-11
keys BSpace
sees 'Backspace: back' $'VM 1001-11 \\(vm1\\).*\nREASON_9 +20 '
keys o KPEnter
sees 'Enter of the number pad: as space' $'> \\[x\\] '
keys x
keys q
sees 'and q' 'status 0'

done_testing
