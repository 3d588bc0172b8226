#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: `kvm_stat -d` of the series works on a patched kernel: it shows every statistic of
# KVM, and counts. The kernel's own kvm_stat, without the patch, stops there at the first of
# our files, and works on a kernel without them.
# Stress: svm:kasan svm:kcsan
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

# kvm_stat is the kernel's own program, in Python. The lab gets the files that kvm_stat
# imports. They are the same in both labs: one lab is enough.
PYTHON="/usr/bin/python3 -I -S"
[[ -x ${PYTHON%% *} ]] || skip_all "no ${PYTHON%% *} (Debian's python3), which kvm_stat needs"
only=''
for one in $LABS; do
	[[ $one != svm:* ]] || only+=" $one"
done
LABS=$only
[[ $LABS ]] || skip_all "only in the svm lab"

in_lab <<EOF
python="$PYTHON"
$(cat <<'INSIDE'
# try NAME PROGRAM ARGUMENT...
try() {
	section "$1"
	shift
	status=0
	$python "$@" 2>&1 || status=$?
	echo "status $status"
}

both() {
	section "$1-files"
	(cd $K && find . -maxdepth 1 -type f | sed 's|./||' | sort)
	section storm
	vmm --loop 0 cpuid=20 out-user=5 hlt:1000=1 >storm &
	while ! grep -qx "[1-9].*" $K/exits; do sleep 0.1; done
	for which in series own; do
		try "$1-$which" kvm_stat-$which -d -1
		try "$1-$which-fields" kvm_stat-$which -d -f help
		try "$1-$which-vm" kvm_stat-$which -d -1 -p $!
	done
	kill $!
	wait $!
}

both patched
lab-modules load stock
both stock
INSIDE
)
EOF

# kvm_stats KERNEL: makes kvm_stat-own, Debian's, and kvm_stat-series, the patched one.
kvm_stats() {
	local source=${XDG_CACHE_HOME:-$HOME/.cache}/exit_cycles/$1/src path=tools/kvm/kvm_stat/kvm_stat
	local tree=$T/tree-$1
	"$TOP/scripts/kernel.sh" -k "$1" build
	mkdir "$tree"
	git -C "$source" archive base "$path" | tar -x -C "$tree"
	cp "$tree/$path" "$T/kvm_stat-own"
	(cd "$tree" && git apply --include="$path" "$TOP/patches/$1"/[0-9]*.patch)
	cp "$tree/$path" "$T/kvm_stat-series"
}

# imports: prints the files of Python's library that kvm_stat needs, and the file by which
# Python recognises its library.
imports() {
	$PYTHON -v "$T/kvm_stat-series" --help 2>&1 |
		sed -n "s/^# .* matches //p; s/^# extension module .* loaded from '\(.*\)'/\1/p" |
		sed '/\/encodings\/__init__\.py$/ { p; s|encodings/__init__.py|os.py| }'
}

# works SECTION: one-shot output, status 0, and the exits of the guest.
works() {
	is "$lab $1: ends well" "$(tail -n 1 "$F/$1")" "status 0"
	is "$lab $1: counts a running guest" \
		"$(awk '$1 == "exits" { print ($2 > 0), ($3 > 0) }' "$F/$1")" "1 1"
}

# whole SECTION FIELDS FILES: shows every file except those that are not a number or that it
# has always left out. A VM's own table has the same.
whole() {
	local wanted
	wanted=$(grep -vE '^(exit_.*cycles.*|guest_cycles|halt_poll_fail_ns|halt_poll_success_ns|halt_wait_ns)$' "$F/$2")
	is "$lab $1: all fields that KVM has" "$(awk '$1 != "status" { print $1 }' "$F/$1" | sort)" "$wanted"
	like "$lab $1: and there are some" "$wanted" exits
}

for one in $LABS; do
	kvm_stats "$(kernel_of "$one")"
	[[ $files ]] || for file in "${PYTHON%% *}" $(imports); do
		files+=(-a "$file")
	done
	boot "$one" -c "$(cpus "$one")" "${files[@]}" -a "$T/kvm_stat-own" -a "$T/kvm_stat-series" || continue
	like "$lab the files are there to stumble over" "$(<"$F/patched-files")" 'exit_cycles_reset'
	for where in patched-series stock-series stock-own; do
		works "$where"
		works "$where-vm"
		whole "$where-fields" "${where%-*}-files"
	done
	for what in '' -vm -fields; do
		is "$lab patched-own$what: stops" "$(grep '^status' "$F/patched-own$what")" "status 1"
		like "$lab patched-own$what: at a file of ours" "$(tail -n 2 "$F/patched-own$what")" \
			"^ValueError: invalid literal for int\(\) with base 10: '# exit_cycles"
	done
	note "the kernel's own kvm_stat ends with: $(grep -a Error "$F/patched-own" | cut -c 1-160)"
done
done_testing
