#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump, built with sanitizers, neither crashes nor hangs, whatever stands in
# debugfs and wherever in it. It prints only the kernel's own numbers, and nothing from a
# file that is not the kernel's. It refuses every malformed number. An unprivileged user
# gets nothing.
# shellcheck disable=SC2317 # functions that ok and trap call
[[ -w /dev/shm ]] && export TMPDIR=/dev/shm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

build_safe

# --- every kind of file in every place

mkdir "$T/good"
tree "$T/good/" 2 2
printf 'SECRET\nroot:SECRET:1:1\n' >"$T/secret"
truncate -s 100G "$T/enormous"
{
	printf '# exit_cycles 1\nreason\tname\texits\n'
	head -c 900000 /dev/zero | tr '\0' 7
} >"$T/digits"
things='nothing fifo zero tty mem enormous empty digits secret loop folder socket'

# put THING PATH: puts THING in the place of the file.
put() {
	rm -rf "$2"
	case $1 in
	fifo) mkfifo "$2" ;;
	zero | tty) ln -s "/dev/$1" "$2" ;;
	mem) ln -s /proc/self/mem "$2" ;;
	empty) : >"$2" ;;
	enormous | digits | secret) ln -s "$T/$1" "$2" ;;
	loop) ln -s "${2##*/}" "$2" ;;
	folder) mkdir "$2" ;;
	socket) ln -s "$T/socket" "$2" ;;
	esac
}
if command -v tmux >/dev/null; then
	tmux -S "$T/socket" -f /dev/null new-session -d 'exec sleep 600'
	trap 'tmux -S "$T/socket" kill-server 2>/dev/null || :; tap_end' EXIT
fi

kvm=sys/kernel/debug/kvm
places="$kvm $kvm/exit_cycles $kvm/exit_cycles_hist $kvm/1000-11 $kvm/1000-11/exit_cycles
	$kvm/1000-11/exit_cycles_hist $kvm/1000-11/vcpu1 $kvm/1000-11/vcpu1/exit_cycles
	$kvm/1000-11/vcpu1/exit_cycles_hist proc/1000/cmdline proc/1000"
# In the output of each of these, a line is right or it is missing.
commands=('--raw -o name,exits,max,p99' '-a --raw -o vm,exits,user,p50' '--all-vcpus --csv -o vm,vcpu,total'
	'--openmetrics -a --buckets' '--json -a' 'hist 9' 'list --raw -o vm,exits' '--vm 1000 --raw -o name,exits')
# Names of guests are not numbers; a percentile is one, but is missing without a histogram.
shape() { sed 's/,vmname="[^"]*"//' "$1" | sort -u; }
for ((c = 0; c < ${#commands[@]}; c++)); do
	# shellcheck disable=SC2086 # words
	"$EXITDUMP" ${commands[c]} -S "$T/good" >"$T/.good"
	sed -i 'p; s/\t[0-9]*$/\t-/' "$T/.good"
	shape "$T/.good" >"$T/good.$c"
done

tried=0 refused=0 wrong=''
# attempt WHAT PROGRAM C: runs one command and checks all that is promised.
attempt() {
	# shellcheck disable=SC2086 # words
	run timeout 10 "$2" ${commands[$3]} -S "$T/bad" </dev/null
	((++tried, refused += status == 1)) || :
	[[ $status == [01] && $out$err != *SECRET* && $(wc -l <"$T/.err") -le 1 ]] ||
		wrong+="$1: ${commands[$3]}: $status $err"$'\n'
	if [[ $status == 1 ]]; then
		[[ ! $out && $err == exitdump:* ]] || wrong+="$1: ${commands[$3]}: $out$err"$'\n'
		return
	fi
	[[ $err ]] && wrong+="$1: ${commands[$3]}: $err"$'\n'
	# The sums in --json lack the accounts that are left out.
	[[ ${commands[$3]} != *json* ]] || return 0
	[[ ! $(comm -23 <(shape "$T/.out") "$T/good.$3") ]] ||
		wrong+="$1: ${commands[$3]}: $(comm -23 <(shape "$T/.out") "$T/good.$3" | head -n 2)"$'\n'
}
c=0
for place in $places; do
	for thing in $things; do
		rm -rf "$T/bad"
		cp -r "$T/good" "$T/bad"
		put "$thing" "$T/bad/$place"
		for ((i = 0; i < 4; i++)); do
			attempt "$thing for $place" "$EXITDUMP" $((c++ % ${#commands[@]}))
		done
		attempt "$thing for $place" "$SAFE" $((c++ % ${#commands[@]}))
	done
done
note "$tried commands, $refused refused"
is 'each kind of thing in each place: right lines or one line of error' "$wrong" ''
ok 'both came to pass' test "$refused" -gt 50 -a "$refused" -lt "$tried"
wrong=''
for thing in $things; do
	put "$thing" "$T/thing"
	for args in "-i $T/thing" "diff $T/thing $T/good" "diff $T/good $T/thing" "hist -i $T/thing" "-S $T/thing -a"; do
		[[ $thing != fifo ]] || continue	# exitdump may wait for its writer
		# shellcheck disable=SC2086 # words
		run timeout 10 "$SAFE" $args </dev/null
		[[ $status == 1 && ! $out && $err == exitdump:* && $err != *SECRET* ]] || wrong+="$thing: $args: $status $out $err"$'\n'
	done
done
is 'nor as a saved copy' "$wrong" ''

# --- names that only look like those of VMs and vCPUs

rm -rf "$T/bad"
cp -r "$T/good" "$T/bad"
for name in 4294968296-11 ' 1000-11' +1000-11 -1000-11 01000-11 1000-+11 1000-011 1000-11-1 1000- 1000-4294967307 \
	1000-11/vcpu4294967296 1000-11/vcpu00 1000-11/'vcpu 0' 1000-11/vcpu+1 1000-11/vcpu-1 1000-11/vcpu 1000-11/vcpu1x; do
	cp -r "$T/good/$kvm/1001-11" "$T/bad/$kvm/$name"
done
run "$SAFE" -S "$T/bad" -a --raw -o vm,exits
is 'VMs count once' "$status:$out" "0:$(lines '1000-11 110' '1001-11 110')"
run "$SAFE" -S "$T/bad" --all-vcpus --raw -o vm,vcpu,exits
is 'and vCPUs' "$status:$out" "0:$(lines '1000-11 0 55' '1000-11 1 55' '1001-11 0 55' '1001-11 1 55')"

# Possible forms of QEMU's -name, and the guest's name for each.
while IFS='|' read -r arguments expected; do
	printf '%b' "$arguments" >"$T/bad/proc/1000/cmdline"
	run "$SAFE" -S "$T/bad" --vm 1000 -a --raw -o vmname
	is "cmdline $arguments" "$status:$out" "0:$expected"
done <<'END'
qemu\0-name\0web\0|web
qemu\0-name\0guest=web,debug-threads=on\0|web
qemu\0-name\0debug-threads=on,guest=web\0|web
qemu\0-name\0a,,b,process=x\0|a,b
qemu\0-name\0debug-threads=on\0|-
qemu\0-name\0guest=\033[2J\0|?[2J
qemu\0-name\0|-
qemu\0-name|-
-name\0\0|-
\0\0\0|-
qemu\0-name\0cut|-
END
printf 'qemu\0-name\0%0300d\0' 0 >"$T/bad/proc/1000/cmdline"
run "$SAFE" -S "$T/bad" --vm 1000 -a --raw -o vmname
like 'cmdline with a name of 300 characters: cut' "$status:$out:$err" '^0:0{255}:$'
printf '%032761d\0-name' 0 >"$T/bad/proc/1000/cmdline"
run "$SAFE" -S "$T/bad" --vm 1000 -a --raw -o vmname
is 'cmdline that is longer than what is read, and cut off behind -name' "$status:$out:$err" 0:-:
echo '1000 (qemu) S 1 1 1 0 -1 4194560 1 0 0 0 5 5 0 0 20 0 1 0 5 1 1' >"$T/bad/proc/1000/stat"
run "$SAFE" list -S "$T/bad" --vm 1000 0.01 1 --raw -o vcpucpu,vmmcpu,busiest
is 'a process of which no thread can be seen' "$status:$out:$err" "0:$(lines '0.000000 0.000000 -'):"

# Rows, VMs and vCPUs that just fill the memory for them: one more would be seen. compare leaves its
# memory to the end of the process.
wrong=''
tree "$T/full" 2 4 -v reasons=8
tree "$T/fuller" 2 4 -v reasons=8 -v step=2
for args in '-a -r *' '--vm vm* -r * --hist' '--all-vcpus -o name,p50' '--json -a' '--openmetrics --all-vcpus --buckets' \
	'list -o vcpus' '-a -r * 0.01 2' '--vcpu 0-3 -o p50 0.01 1'; do
	read -ra words <<<"$args"
	run "$SAFE" -S "$T/full" "${words[@]}"
	[[ $status:$err == 0: ]] || wrong+="$args: $status $err"$'\n'
done
for args in 'diff -a' 'diff --vm vm* --hist -r *' 'compare'; do
	read -ra words <<<"$args"
	ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 run "$SAFE" "${words[@]}" "$T/full" "$T/fuller"
	[[ $status:$err == 0: ]] || wrong+="$args: $status $err"$'\n'
done
is 'memory that is just full: nothing behind it is read, and none is lost' "$wrong" ''
# Nor is that of a file which is damaged only in its last line.
sed -i '$s/[0-9]*$/x/' "$T/full/$kvm/1000-11/exit_cycles_hist"
run "$SAFE" -S "$T/full" -a -o p50
like 'a histogram that is cut off: no memory is lost' "$status:$out:$err" '^1::exitdump: .*exit_cycles_hist: cut off'

# --- malformed numbers

source=$TOP/tests/fixtures/captures/vmx-6.1/$kvm
wrong='' tried=0
# mutate FILE FORM: writes a file for each number in FILE, with that number in this form.
mutate() {
	awk -F '\t' -v OFS='\t' -v form="$2" -v dir="$T/mutants" '
		{ line[NR] = $0 }
		END {
			for (l = 3; l <= NR; l++) {
				n = split(line[l], field, "\t")
				for (f = 3; f <= n; f++) {
					bad = form
					gsub(/N/, field[f], bad)
					if (form == "N+1") {
						# max: only the largest one shows in the sum.
						if (!hist && f == n)
							continue
						bad = field[f] + 1
					}
					file = dir "/" l "." f
					for (k = 1; k <= NR; k++) {
						if (k != l) {
							print line[k] >file
							continue
						}
						for (g = 1; g <= n; g++)
							printf "%s%s", g == f ? bad : field[g], g < n ? OFS : "\n" >file
					}
					close(file)
				}
			}
		}' hist="$([[ $1 == *_hist ]] && echo 1)" "$1"
}
for form in -N +N ' N' 'N ' N.0 0xN Ne0 "N'" 'N\\0' 'N\r' '' '٣' 18446744073709551616 N18446744073709551615 N+1; do
	rm -rf "$T/mutants"
	mkdir "$T/mutants"
	mutate "$source/exit_cycles" "$form"
	for file in "$T/mutants"/*; do
		((++tried))
		"$EXITDUMP" -i "$file" >"$T/.out" 2>"$T/.err" && wrong+=" $form:${file##*/}"
		[[ ! -s $T/.out && $(wc -l <"$T/.err") == 1 ]] || wrong+=" $form:${file##*/}!"
	done
done
is "each number of a capture, in 15 wrong forms ($tried files): refused" "$wrong" ''
ok 'there were enough of them' test "$tried" -gt 700
wrong='' tried=0
for form in -N N+1; do
	rm -rf "$T/mutants"
	mkdir "$T/mutants"
	mutate "$source/exit_cycles_hist" "$form"
	for file in "$T/mutants"/*; do
		((++tried))
		cp "$source/exit_cycles" "$T/table"
		mv "$file" "$T/table_hist"
		"$EXITDUMP" -i "$T/table" -o name,p99 >"$T/.out" 2>"$T/.err" && wrong+=" $form:${file##*/}"
		[[ ! -s $T/.out ]] || wrong+=" $form:${file##*/}!"
	done
done
is "and each of its histogram ($tried files)" "$wrong" ''
sed 's/scope=host/scope=vm/' "$source/exit_cycles_hist" >"$T/table_hist"
run "$SAFE" -i "$T/table" -o p99
like "another account's histogram is refused" "$status:$out:$err" '^1::.*another vendor or scope'
sed '1s/$/\tguest=1/' "$source/exit_cycles" >"$T/twice"
run "$SAFE" -i "$T/twice"
like 'a key twice is refused' "$status:$out:$err" '^1::.*has a key twice$'
sed '$s/$/0/' "$source/exit_cycles" >"$T/wrong"
run "$SAFE" -i "$T/wrong"
like 'what was read of a file that is refused is given back' "$status:$out:$err" '^1::[^[:cntrl:]]*do not add up[^[:cntrl:]]*$'
sed '1s/\ttsc_khz=[0-9]*//' "$source/exit_cycles" >"$T/clockless"
run "$SAFE" -i "$T/clockless" -u us
like 'and of a unit that is refused' "$status:$out:$err" '^1::[^[:cntrl:]]*$'
lines '#~exit_cycles~1 vendor=vmx tsc_khz=1000000 scope=host monotonic=1 realtime=1' \
	'time vm vcpu cpu reason name key rip total' '1 9 0 0 10 CPUID - 0x0 9000000' >"$T/full/$kvm/exit_cycles_slow"
run "$SAFE" slow -S "$T/full" --vm 99
like 'and of slow exits of no VM' "$status:$out:$err" '^1::[^[:cntrl:]]*$'
cp -r "$T/full" "$T/followed"
"$SAFE" slow -S "$T/followed" --follow 0.01 >"$T/followed.out" 2>"$T/followed.err" &
for ((i = 0; i < 100; i++)); do
	[[ ! -s $T/followed.out ]] || break
	sleep 0.1
done
sleep 0.5
rm -r "$T/followed"
status=0
wait $! || status=$?
like 'what slow --follow has read in each interval is given back' "$status:$(<"$T/followed.err")" '^1:exitdump: [^[:cntrl:]]*No such file[^[:cntrl:]]*$'

# --- inputs that made exitdump fail before

run "$SAFE" -S "$T/good" --all-vcpus --raw -o "+$(printf 'time,%.0s' {1..39})overhead" 0.01 1
is 'more columns than there are' "$status:$(head -n 1 "$T/.out" | awk -F '\t' '{ print NF }')" 0:60
run "$SAFE" -S "$T/good" -o "$(printf 'time,%.0s' {1..48})overhead"
is 'too many of them: refused' "$status:$out:$err" '1::exitdump: --output: more than 48 columns'
run "$SAFE" -S "$(printf '/.%.0s' {1..3000})" -a
like 'a path too long: refused, not cut' "$status:$out:$err" '^1::exitdump: .*File name too long$'
for ((i = 0; i < 300; i += 2)); do
	mkdir "$T/bad/$kvm/1001-11/vcpu1$i"
done
run "$SAFE" list -S "$T/bad" --vm 1001 --raw -o vcpus
is 'a long list of vCPUs is whole' "$status:$out" "0:0-1,10,$(for ((i = 2; i < 10; i += 2)); do
	printf '1%d,' "$i"; done)$(for ((i = 10; i < 300; i += 2)); do printf '1%d ' "$i"; done | tr ' ' ',' | sed 's/,$//')"
lines '#~exit_cycles~1 tsc_khz=1' 'reason name exits cycles' '1 A 1 18446744073709551615' \
	'- TOTAL 1 18446744073709551615' >"$T/slow"
run "$SAFE" -i "$T/slow" --raw -u ns -o cycles
is 'a time beyond 64 bits is not cut' "$status:${out:0:12}:${#out}" '0:184467440737:26'

cp -r "$T/full" "$T/leaves"
"$SAFE" -S "$T/leaves" slow 0.02 >"$T/.out" 2>"$T/.err" &
sleep 1
mv "$T/leaves" "$T/away"
status=0
wait "$!" || status=$?
is 'slow exits that were followed leave no memory behind' "$(wc -l <"$T/.out"):$status:$(wc -l <"$T/.err")" 1:1:1

# --- an unprivileged user

if [[ $(id -u) != 0 ]]; then
	skip 'an unprivileged user gets nothing' 'not root: no second user to try as'
else
	chmod 755 "$T"
	cp "$EXITDUMP" "$T/exitdump"
	nobody() { run setpriv --reuid=65534 --regid=65534 --clear-groups "$T/exitdump" -S "$T/good" "$@"; }
	chmod -R a+rX "$T/good"
	nobody -a --raw -o exits
	is 'who may read, reads' "$status:$out" $'0:110\n110'
	chmod 700 "$T/good/sys/kernel/debug"	# as on a real host
	for args in '' -a --all-vcpus '--vm vm0' --json --openmetrics list 'hist 9' '1 1' 'run -- echo ran'; do
		# shellcheck disable=SC2086 # words
		nobody $args
		is "exitdump $args: nothing but one line" "$status:$out:$(wc -l <"$T/.err"):$err" \
			"1::1:exitdump: $T/good/$kvm/exit_cycles: Permission denied (try as root)"
	done
	chmod 755 "$T/good/sys/kernel/debug"
	chmod 700 "$T/good/$kvm/1001-11"
	nobody -a --raw -o vm
	is 'one VM that is not for them: no half of the table' "$status:$out:$err" \
		"1::exitdump: $T/good/$kvm/1001-11/exit_cycles: Permission denied (try as root)"
	chmod 755 "$T/good/$kvm/1001-11"
fi

# --- the live view, and a terminal that disappears without a signal

if ! command -v tmux >/dev/null; then
	skip 'the live view' 'tmux is not installed'
else
	tmux -S "$T/socket" new-window -d -n live \
		"'$SAFE' -S '$T/good' top 0.05 2>'$T/live'; echo \$? >>'$T/live'; mv '$T/live' '$T/left'"
	tmux -S "$T/socket" send-keys -t :live t t Down Enter BSpace
	sleep 1
	tmux -S "$T/socket" send-keys -t :live v Down c Down Enter h r z u BSpace o Down Space x v '?'
	sleep 1
	tmux -S "$T/socket" send-keys -t :live x q
	for ((i = 0; i < 300; i++)); do
		[[ ! -e $T/left ]] || break
		sleep 0.1
	done
	is 'the live view leaves no memory behind, wherever it goes' "$(<"$T/left")" 0

	tmux -S "$T/socket" new-window -d \
		"trap '' HUP; echo \$\$ >'$T/pid'; exec '$EXITDUMP' -S '$T/good' top 3600"
	for ((i = 0; i < 100; i++)); do
		[[ ! -s $T/pid || $(readlink "/proc/$(<"$T/pid")/exe") != */exitdump ]] || break
		sleep 0.05
	done
	pid=$(<"$T/pid")
	sleep 0.5
	tmux -S "$T/socket" kill-server
	gone() {
		for ((i = 0; i < 100; i++)); do
			kill -0 "$pid" 2>/dev/null || return 0
			sleep 0.05
		done
		kill "$pid"
		return 1
	}
	ok 'the live view ends with its terminal' gone

	# Its last words are its status.
	cp -r "$T/good" "$T/goes"
	tmux -S "$T/socket" -f /dev/null new-session -d -x 80 -y 24 "trap '' HUP; '$EXITDUMP' -S '$T/goes' top 0.05; echo \$? >'$T/ended'"
	for word in host 'No such file'; do
		for ((i = 0; i < 100; i++)); do
			[[ $(tmux -S "$T/socket" capture-pane -p) != *"$word"* ]] || break
			sleep 0.1
		done
		rm -rf "$T/goes"
	done
	tmux -S "$T/socket" kill-server
	for ((i = 0; i < 100; i++)); do
		[[ ! -s $T/ended ]] || break
		sleep 0.1
	done
	is 'and if it could not read any more, it says so by its status' "$(<"$T/ended")" 1
fi

done_testing
