# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# cloud-inside.sh - more words for the commands that bash runs in a lab (inside.sh has the
# others): they start VMs of real QEMU with the Debian of scripts/guest/debian.sh, and tell
# this Debian what to do.

declare -A said pid tty monitor
# of the guests' first disk: what they write goes where QEMU wants to have it
disk=snapshot=on
mkdir -p /var/tmp

# debian NAME [WORD]... [-- OPTION...]: starts a VM with it; more words for its kernel,
# and options for QEMU. What stands in seed/ is its second disk.
debian() {
	local name=$1 words='' one fd
	shift
	while [[ $# != 0 && $1 != -- ]]; do
		words+=" $1"
		shift
	done
	[[ $# == 0 ]] || shift
	# see scripts/run-vm.sh
	[[ $LAB_MACHINE != svm ]] || words+=" noxsave"
	if [[ ! -e seed.tar ]]; then
		cat >seed/start <<-'END'
			stty raw -echo
			echo up
			while read -r line; do
				eval "$line"
				echo "= $?"
			done
		END
		tar -c -f seed.tar -C seed .
	fi
	mkfifo "$name".{tty,qmp}.{in,out}
	for one in tty qmp; do
		exec {fd}<>"$name.$one.out"
		said[$name.$one]=$fd
	done
	qemu-system-x86_64 -name "$name" -accel kvm -cpu host -nodefaults -no-user-config -no-reboot \
		-display none -serial "file:$name.console" -device virtio-serial-pci \
		-chardev "pipe,id=tty,path=$name.tty" -device virtconsole,chardev=tty \
		-chardev "pipe,id=qmp,path=$name.qmp" -mon chardev=qmp,mode=control \
		-kernel vmlinuz -initrd initrd -append "$(<append) panic=-1$words" \
		-drive "file=disk,format=raw,if=virtio,$disk" \
		-drive file=seed.tar,format=raw,if=virtio,readonly=on "$@" </dev/null >"$name.qemu" 2>&1 &
	pid[$name]=$!
	exec {fd}>"$name.tty.in"
	tty[$name]=$fd
	exec {fd}>"$name.qmp.in"
	monitor[$name]=$fd
	qmp "$name" qmp_capabilities >/dev/null
}

# folder NAME: of the VM, in KVM's debugfs.
folder() {
	(cd "$K" && echo "${pid[$1]}"-*)
}

# line NAME WHERE: sets line, what comes next there. Without QEMU that is the end.
line() {
	local part=''
	until read -r -t 5 line <&"${said[$1.$2]}"; do
		kill -0 "${pid[$1]}" 2>/dev/null || {
			tail -n 5 "$1.qemu" "$1.console" >&2
			exit 1
		}
		part+=$line
	done
	line=$part$line
	line=${line%$'\r'}
}

# qmp NAME COMMAND [ARGUMENTS]: the line of the answer; an error is a complaint.
qmp() {
	local line
	echo "{\"execute\": \"$2\"${3:+, \"arguments\": $3}}" >&"${monitor[$1]}"
	while line "$1" qmp; do
		case $line in
		'{"return"'*) echo "$line"; return ;;
		'{"error"'*) echo "$2: $line" >&2; return 1 ;;
		esac
	done
}

# hmp NAME WORD...: of the monitor for people. What it says is bad.
hmp() {
	qmp "$1" human-monitor-command "{\"command-line\": \"${*:2}\"}" | grep -v '^{"return": ""}'
}

# up NAME: waits until the guest listens.
up() {
	local line=''
	until [[ $line == up ]]; do
		line "$1" tty
	done
}

# tell NAME COMMAND: what the guest says to that, and its status.
tell() {
	local line
	echo "$2" >&"${tty[$1]}"
	while line "$1" tty; do
		[[ $line != '= '* ]] || return "${line#= }"
		echo "$line"
	done
}

# off NAME COMMAND: by which the guest ends itself, and QEMU with it.
off() {
	echo "$2" >&"${tty[$1]}"
	wait "${pid[$1]}"
}

# still NAME SECTION FOLDER: an account, while the VM stands still: what is read one
# file after the other agrees.
still() {
	qmp "$1" stop >/dev/null
	account "$2" "$3"
	qmp "$1" cont >/dev/null
}
