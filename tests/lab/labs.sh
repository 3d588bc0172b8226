# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2034 # the tests read what is set here
# labs.sh - for tests of a booted kernel: boots each lab once. Commands in the lab write facts,
# which the test judges afterwards. Sourced after lib.sh.
#
# LABS in the environment chooses the labs: MACHINE:KERNEL[:DEBUG] ... A test of code that both
# vendors share sets MACHINES before: svm is the quick machine; one-vmx is Bochs, which is slow,
# with the default kernel only. LABS overrides it.
#
#	in_lab <<'EOF'				commands, with the words of tests/lab/inside.sh
#	run_vmm plain cpuid=23
#	EOF
#	for one in $LABS; do
#		boot "$one" -c 2 || continue	options of lab.sh
#		is "$lab three" "$(account_says plain plain.vm)" "$(vmm_says plain)"
#	done
#
# boot sets $lab (for titles), $machine, $kernel, $debug, $vendor and $F, the folder of the
# facts, with a file for each section.

if [[ ! $LABS ]]; then
	for kernel in $(available); do
		for machine in ${MACHINES:-vmx svm}; do
			case $machine in
			one-vmx) [[ $kernel != "$(default_kernel)" ]] || LABS+=" vmx:$kernel" ;;
			*) LABS+=" $machine:$kernel" ;;
			esac
		done
	done
	skip_gone
fi

# Functions of awk that read an account by column names.
ACCOUNT='
	function read_account(file,   line, n, i, f, column) {
		delete cell; delete reasons; rows = 0; meta = ""
		while ((getline line < file) > 0) {
			n = split(line, f, "\t")
			if (line ~ /^# /) { meta = line; continue }
			if (f[1] == "reason") { columns = n; for (i = 1; i <= n; i++) column[i] = f[i]; continue }
			if (f[2] == "TOTAL") f[1] = "TOTAL"
			else reasons[++rows] = f[1]
			for (i = 2; i <= n; i++) cell[f[1], column[i]] = f[i]
		}
		close(file)
	}
	function key(name,   i, n, f) {
		n = split(meta, f, "\t")
		for (i = 2; i <= n; i++)
			if (index(f[i], name "=") == 1) return substr(f[i], length(name) + 2)
	}'

# in_lab: standard input has the commands for every lab.
in_lab() {
	"$TOP/scripts/vmm/build.sh" "$T/vmm"
	cat "$TOP/tests/lab/inside.sh" - >"$T/commands"
}

# tried NAME N: tells scripts/stress.sh what was tried; it adds up the lines in STRESS_TRIED.
tried() {
	[[ ! $STRESS_TRIED ]] || echo "$1 $2" >>"$STRESS_TRIED"
}

# boot LAB [LAB-OPTION]...: boots the lab. If there is nothing to judge, reports a case that
# says so, and fails. Another case checks that no command wrote to standard error.
boot() {
	local status=0
	IFS=: read -r machine kernel debug <<<"$1"
	lab="${1//:/ }:" F=$T/${1//:/-}
	shift
	rm -rf "$F"
	mkdir "$F"
	"$TOP/scripts/lab.sh" -m "$machine" -k "$kernel" ${debug:+-d "$debug" -t 3000} "$@" -a "$T/vmm" -a "$T/commands" \
		-- sh commands >"$F/all" 2>"$F/stderr" || status=$?
	if ((status == 246)); then
		skip "$lab all" "$(tail -n 1 "$F/stderr")"
		return 1
	fi
	is "$lab the commands ran and the kernel's log is clean" "$status" 0
	if ((status)); then
		# all of standard error: a complaint of the kernel is printed there only once
		sed "s/^/# /" <(tail -n 10 "$F/all") "$F/stderr"
		return 1
	fi
	awk -v F="$F" '/^== / { out = F "/" $2; printf "" >out; next } out { print >out }' "$F/all"
	vendor=$(<"$F/vendor")
	is "$lab no command complained" "$(cat "$F/errors" 2>&1)" ''
	tried "boots of a kernel" 1
	[[ ! -s $F/stderr ]] || note "$(<"$F/stderr")"
}

# boot_with MODULE LAB [LAB-OPTION]...: the same, with the module of that folder of tests/lab/.
boot_with() {
	IFS=: read -r machine kernel debug <<<"$2"
	"$TOP/scripts/kernel.sh" -k "$kernel" ${debug:+-d "$debug"} module "$TOP/tests/lab/$1" "$T" 2>"$T/build" || {
		ok "$2: the module $1 builds" false
		note "$(<"$T/build")"
		return 1
	}
	boot "${@:2}" -a "$T/${1//-/_}.ko"
}

# kernel_of LAB: prints its kernel.
kernel_of() {
	cut -d: -f2 <<<"$1"
}

# cpus LAB: prints how many CPUs a lab can have if VMs start, or static keys change, while
# others run. In the SVM lab QEMU has one thread for all CPUs (lab.sh says why), so that each
# wait of one CPU for another takes a tenth of a second.
cpus() {
	[[ $1 == svm:* && $1 != *:kcsan ]] && echo 1 || echo 2
}

# key SECTION NAME: prints a value from an account's first line.
key() {
	awk -v file="$F/$1" -v name="$2" "$ACCOUNT"'BEGIN { read_account(file); print key(name) }'
}

# cell SECTION REASON COLUMN: prints a number of an account, 0 if there is no such row.
cell() {
	awk -v file="$F/$1" -v reason="$2" -v column="$3" "$ACCOUNT"'
		BEGIN { read_account(file); print ((reason, column) in cell) ? cell[reason, column] : 0 }'
}

# vmm_says SECTION: prints "REASON COUNT" for all reasons that vmm knows, over its vCPUs.
vmm_says() {
	awk '$1 == "known" { sum[$4] += $5 } END { for (r in sum) print r, sum[r] }' "$F/$1" | sort -n
}

# account_says SECTION ACCOUNT [BEFORE]: prints the exits of the account for the same reasons as
# vmm_says SECTION, minus those of an earlier account. If vmm reported no exit at all, its
# output differs from vmm_says.
account_says() {
	vmm_says "$1" | awk -v after="$F/$2" -v before="${3:+$F/$3}" "$ACCOUNT"'
		BEGIN {
			if (before) read_account(before)
			for (r in cell) old[r] = cell[r]
			read_account(after)
		}
		{ print $1, cell[$1, "exits"] - old[$1, "exits"] }
		END { if (!NR) print "vmm knows of no exit" }'
}

# keys_of SECTION REASON: prints the reason's "KEY EXITS", sorted by key, from SECTION_keys.
keys_of() {
	awk -F'\t' -v reason="$2" '$1 == reason { print $3, $4 }' "$F/$1_keys" | sort
}

# exits_of SECTION REASON KEY...: prints the exits of these keys.
exits_of() {
	local key
	for key in "${@:3}"; do
		awk -F'\t' -v reason="$2" -v key="$key" '$1 == reason && $3 == key { n += $4 } END { printf "%d ", n }' "$F/$1_keys"
	done
}

# kvm_stat SECTION NAME [VCPU]: prints one of KVM's own statistics, for one vCPU or all
# together.
kvm_stat() {
	awk -v name="$2" -v vcpu="$3" '$1 == "stat" && $4 == name && (vcpu == "" ? $3 != "-" : $3 == vcpu) { n += $5 }
		END { printf "%.0f\n", n }' "$F/$1"
}

# contradictions SECTION: prints contradictions inside an account and its histogram
# (SECTION_hist); normally nothing.
contradictions() {
	awk -v file="$F/$1" -v hist="$F/${1}_hist" "$ACCOUNT"'
		function complain(text) { print file ": " text }
		BEGIN {
			read_account(hist)
			for (r = 1; r <= rows; r++) {
				reason = reasons[r]
				for (i = 0; i < 32; i++) {
					n = cell[reason, i]
					closed[reason] += n
					least[reason] += i ? n * 2 ^ (i - 1) : 0
					most[reason] += n * (2 ^ i - 1)
					if (n) top[reason] = i
				}
			}
			for (i = 0; i < 32; i++) all += cell["TOTAL", i]

			read_account(file)
			if (meta !~ /^# exit_cycles 1\t/) complain("first line: " meta)
			split("exits cycles total halt user poll sched hsched stop slow", add)
			for (r = 1; r <= rows; r++) {
				reason = reasons[r]
				for (i in add) sum[add[i]] += cell[reason, add[i]]
				total = cell[reason, "total"]
				max = cell[reason, "max"]
				if (max > largest) largest = max
				if (cell[reason, "exits"] != closed[reason] + 0)
					complain(reason ": " cell[reason, "exits"] " exits, in the histogram " closed[reason])
				if (cell[reason, "cycles"] - cell[reason, "hsched"] + cell[reason, "halt"] + cell[reason, "user"] + cell[reason, "sched"] + cell[reason, "stop"] > total)
					complain(reason ": total below its parts")
				if (cell[reason, "poll"] > cell[reason, "halt"]) complain(reason ": poll above halt")
				if (cell[reason, "hsched"] > cell[reason, "sched"]) complain(reason ": hsched above sched")
				if (cell[reason, "hsched"] > cell[reason, "cycles"]) complain(reason ": hsched above cycles")
				# the histogram and max leave out the time stopped
				total -= cell[reason, "stop"]
				if (max > total) complain(reason ": max above total")
				for (i = 0; 2 ^ i <= max && i < 31; i++)
					;
				if (top[reason] + 0 != i) complain(reason ": max is in bucket " i ", the histogram ends at " top[reason])
				if (total < least[reason] || top[reason] < 31 && total > most[reason])
					complain(reason ": total " total ", by the histogram " least[reason] " to " most[reason])
			}
			for (i in add)
				if (cell["TOTAL", add[i]] != sum[add[i]] + 0)
					complain("TOTAL " add[i] " " cell["TOTAL", add[i]] ", the rows make " sum[add[i]])
			if (cell["TOTAL", "max"] != largest + 0) complain("TOTAL max " cell["TOTAL", "max"] ", of the rows " largest)
			if (cell["TOTAL", "exits"] != all + 0) complain("TOTAL of the histogram " all)
		}'
}

# reasons KERNEL VENDOR: prints "NUMBER NAME" for each reason in this kernel's table, without
# the software codes that never appear in exit_code.
reasons() {
	local uapi=$CACHE/$1/src/arch/x86/include/uapi
	gcc -x c -o "$T/reasons" - <<-EOF
		#include <stdio.h>
		#include <asm/kvm.h>
		#include "$uapi/asm/vmx.h"
		#include "$uapi/asm/svm.h"
		int main(void)
		{
			struct { unsigned long long reason; const char *name; } r[] = { ${2^^}_EXIT_REASONS };
			for (unsigned int i = 0; i < sizeof(r) / sizeof(r[0]); i++)
				if ((unsigned int)r[i].reason >> 16 != 0x8000)
					printf("%u %s\n", (unsigned int)r[i].reason, r[i].name);
		}
	EOF
	"$T/reasons"
}
