#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump slow --follow shows each slow exit once, soon after it happens, and counts
# the exits that the kernel dropped before anybody could read them.
# shellcheck disable=SC2317 # functions that ok calls
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/fixtures/exitdump.sh"
. "${BASH_SOURCE[0]%/*}/fixtures/slow.sh"

command -v jq >/dev/null || skip_all "jq is not installed"
export TZ=UTC
kvm=sys/kernel/debug/kvm
lines '#~exit_cycles~1 vendor=vmx' 'reason name exits' '- TOTAL 0' >"$T/x"

# row TIME VM VCPU
row() { echo "$1 $2 $3 0 12 HLT - 0x0 9000000 1 0 0 0 0 0"; }
# state NAME LOST ROW...: makes a host with these slow exits.
state() {
	mkdir -p "$T/$1/$kvm"
	cp "$T/x" "$T/$1/$kvm/exit_cycles"
	printf '%s\n' "${@:3}" | slow "$T/$1/$kvm/exit_cycles_slow" "$2"
}
one=$(row 1000000000 50 0) two=$(row 2000000000 50 0) three=$(row 3000000000 50 0) four=$(row 3000000000 50 1)
state a 0 "$two" "$one"
state b 1 "$four" "$three" "$two"			# one was replaced after it was seen
state c 6 "$(row 9000000000 51 0)" "$four"		# of four new ones, only one is left
state d 0 "$(row 20000000000 51 0)"			# cleared
state e 0 "$(row 30000000000 51 0)" "$(row 20000000000 51 0)"
state f 2 "$(row 40000000000 123456 0)" "$(row 30000000000 51 0)"	# of two new ones, one is left
state g 2 "$(row 50000000000 51 0)" "$(row 40000000000 123456 0)" "$(row 30000000000 51 0)"
state h 0 "$(row 60000000000 51 0)"			# cleared, and as many as before
state s 1 "$three" "$two"			# one that ends with it comes later
five=$(row 3000000000 51 0)
state t 1 "$five" "$four" "$three" "$two"	# one of another VM, too
state u 1 "${five/0x0/0x10}" "$five" "$four" "$three" "$two"	# one of another VM of that process

# watch NAME ARGUMENT...: starts exitdump in the background, with $interval if that is set; a signal
# can end it. Its output is in $T/NAME.out and $T/NAME.err.
interval=0.02
watch() {
	env --default-signal=INT "$EXITDUMP" -S "$T/root" slow --follow ${interval:+"$interval"} "${@:2}" >"$T/$1.out" 2>"$T/$1.err" &
	watcher=$!
}
# has FILE REGEX: the file matches within 20 seconds.
has() {
	local i
	for ((i = 0; i < 400; i++)); do
		[[ ! -e $T/$1 || ! $(<"$T/$1") =~ $2 ]] || return 0
		sleep 0.05
	done
	note "$1: $(<"$T/$1")"
	return 1
}
interrupt() {
	local status=0
	kill -INT "$watcher"
	wait "$watcher" || status=$?
	is "$1: Ctrl-C ends it well" "$status" 0
}
show a
watch follow -o time,vm,vcpu
ok '--follow: a headline' has follow.out 'vmx, over 1ms; by -time'
sleep 0.2
show b
ok 'new ones' has follow.out '44\.000 50 +0'
show c
ok 'and of those that nobody saw how many' has follow.err 'seen'
show d
ok 'counters that were cleared' has follow.out '21:57:01'
show e
ok 'and on' has follow.out '21:57:11'
show f
ok 'one that nobody saw' has follow.err 'was overwritten'
show g
ok 'below a wider one' has follow.out '21:57:31'
sleep 0.2
interrupt '--follow'
is 'each once, in order, under one heading' "$(sed 1d "$T/follow.out")" \
'                   TIME VM VCPU
2023-11-14 21:56:44.000 50    1
2023-11-14 21:56:44.000 50    0
2023-11-14 21:56:50.000 51    0
2023-11-14 21:57:01.000 51    0
2023-11-14 21:57:11.000 51    0
2023-11-14 21:57:21.000 123456    0
2023-11-14 21:57:31.000 51        0'
is 'and the others are counted' "$(<"$T/follow.err")" \
	'exitdump: 3 more were overwritten before they could be seen (a shorter interval or a higher threshold helps)
exitdump: 1 more was overwritten before it could be seen (a shorter interval or a higher threshold helps)'

show a
watch json --json
sleep 0.5
show c
ok '--follow --json: an object' has json.out '}'
show d
ok 'and the next' has json.out $'\n'
show h
ok 'counters that were cleared' has json.out $'\n.*\n'
show b
ok 'and the next' has json.out $'\n.*\n.*\n'
interrupt '--follow --json'
is 'an object where there is something new, with how many nobody saw' "$(jq -c '[[.rows[].vcpu], .overwritten]' "$T/json.out")" \
	'[[1,0],4]
[[0],0]
[[0],0]
[[0,1,0],0]'
is 'which is not said a second time' "$(<"$T/json.err")" ''
show a
watch json-none --json -r CPUID
sleep 0.5
show c
ok '--follow --json of what is not chosen: an object, too' has json-none.out '}'
interrupt '--follow --json of what is not chosen'
is 'with how many nobody saw' "$(jq -c '[.rows, .overwritten]' "$T/json-none.out")" '[[],4]'
show a
watch csv --csv -o vm,vcpu -r HLT --than 8ms
sleep 0.5
show s
ok '--follow --csv' has csv.out '50,0'
show b
ok 'one that ended at the same moment as one that was seen' has csv.out '50,1'
show t
ok 'and one of another VM' has csv.out '51,0'
show u
ok 'and one of the other VM of its process' has csv.out $'51,0\n51,0'
show c
ok 'and on' has csv.out $'51,0\n51,0\n51,0'
interrupt '--follow --csv'
is 'each once, under one heading' "$(<"$T/csv.out")" $'vm,vcpu\n50,0\n50,1\n51,0\n51,0\n51,0'
show a
env --ignore-signal=INT "$EXITDUMP" -S "$T/root" slow 0.02 -r CPUID >"$T/none.out" 2>"$T/none.err" &
watcher=$!
ok 'an interval is as --follow' has none.out 'by -time'
ok 'a reason of which none was slow: said' has none.err 'exitdump: CPUID: no such exit that was slow so far .exitdump slow lists all.'
kill -INT "$watcher"	# is ignored, as in a script's background
show c
ok 'what is overwritten is counted whatever is chosen' has none.err 'exitdump: 4 more were'
show nowhere
ok 'files that went away end it' has none.err 'No such file'
status=0
wait "$watcher" || status=$?
is 'with its status' "$status:$(wc -l <"$T/none.out")" 1:1
state off 0 "$one"
sed -i '1s/threshold=1000/threshold=0/' "$T/off/$kvm/exit_cycles_slow"
show off
watch off
ok 'a recorder that is off: said' has off.err 'exitdump set slow 1000'
sleep 0.2
interrupt 'a recorder that is off'
is 'and once' "$(wc -l <"$T/off.err")" 1
state on 0 "$two" "$one"
watch again --json
ok 'said beside JSON as well' has again.err 'exitdump set slow 1000'
show on
ok 'on, and a new one' has again.out "}"
show off
ok 'on and off again: said again' has again.err '.*slow 1000.*slow 1000'
interrupt 'on and off again'
is 'and nothing else' "$(wc -l <"$T/again.err")" 2
interval='' watch alone
ok '--follow needs no interval' has alone.out 'by -time'
show c
since=$SECONDS
ok 'it then reads every second: a new one' has alone.out '21:56:50'
ok 'soon' test $((SECONDS - since)) -lt 6
interrupt 'without an interval'

state ended 0
mkdir -p "$T/vm/$kvm/50-4/vcpu0"
cp "$T/x" "$T/vm/$kvm/exit_cycles"
slow "$T/vm/$kvm/50-4/vcpu0/exit_cycles_slow" 0 1000 vcpu <<<"$one"
show vm
watch than --vcpu 0 --than 1ms -o vm
ok 'a vCPU of each VM' has than.out 'by -time'
show ended
ok 'they have ended: said' has than.err 'ended'
show vm
ok 'and it goes on' has than.out '50-4'
interrupt 'a vCPU of each VM'

show a
run timeout 10 "$EXITDUMP" -S "$T/root" slow 1 2
is 'an argument too many' "$status:$out:$err" '1::exitdump: 2: slow takes an interval only'
run timeout 10 "$EXITDUMP" -S "$T/root" slow --follow --vm 50
is 'a VM that has ended: nothing can follow' "$status:$out:$err" '1::exitdump: no VM 50 (exitdump list shows all VMs)'
for option in "--limit 1" "--sort lost" "--input $T/a/$kvm/exit_cycles_slow"; do
	# shellcheck disable=SC2086 # two words
	run timeout 20 "$EXITDUMP" slow --follow $option
	is "not with ${option% *}" "$status:$out:$err" \
		'1::exitdump: slow: --follow prints exits as they happen: not with --input, --limit or --sort'
done

done_testing
