#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: on Debian's own kernels, as packaged, install.sh loads the patched KVM and puts it
# where the next boot finds it; a VM's exits are counted. uninstall removes all of it. If
# something stands in the way, install.sh refuses. If it fails or is interrupted, the host is
# as before, and one line says why. (LABS=vmx:6.1 runs it in Bochs, which takes some minutes.)
. "${BASH_SOURCE[0]%/*}/lib.sh"
if [[ ! $LABS ]]; then
	LABS=$(available | sed 's/^/svm:/' | paste -sd' ')
	skip_gone
fi
. "${BASH_SOURCE[0]%/*}/lab/labs.sh"
. "$TOP/tests/fixtures/stock.sh"

run "$TOP/scripts/deps.sh" build lab tool host
if ((status)); then
	# this machine cannot fetch the packages
	[[ $err != *apt-get* ]] || skip_all "$(tail -n 1 <<<"$err")"
	is deps.sh "$status $err" "0 "
	done_testing
fi

in_lab <<'EOF'
version=$(uname -r)
read -r debian debian configuration types <exit_cycles/good/kernel
mkdir -p /boot
[ ! -e config ] || cp config /lib/modules/$version/
[ ! -e config-$version ] || cp config-$version /boot/
echo 12345 >$P/halt_poll_ns

# state NAME: records everything that must be unchanged, or changed.
state() {
	section "$1.state"
	awk '{ print $1 }' /proc/modules | grep -xE 'kvm|kvm_intel|kvm_amd|irqbypass' | sort
	find /lib/modules /usr/local /etc /var -not -name 'modules.*' 2>/dev/null | sort
	cat $P/halt_poll_ns
	[ ! -e $P/exit_cycles ] || echo 'with its account'
	modinfo -n kvm
}

# try NAME ARGUMENT...
try() {
	name=$1
	shift
	section "$name"
	status=0
	$as bash exit_cycles/scripts/install.sh "$@" 2>&1 || status=$?
	echo "status $status"
	state "$name"
}
as=

# with NAME FILE: makes modules like the good ones, with one other FILE, from standard input.
with() {
	rm -rf "$1"
	cp -R exit_cycles/good "$1"
	cat >"$1/$2"
}

# busy: starts a VM that runs; sets vm.
busy() {
	vmm --loop 0 cpuid=20 hlt:1000=1 >/dev/null &
	vm=$! tries=0
	until grep -qx '[1-9].*' $K/exits || [ $((tries += 1)) -gt 300 ]; do sleep 0.1; done
}

good=exit_cycles/good
mkdir -p /usr/local/lib
state before

# Things in the way.
as='/usr/bin/setpriv --reuid 1000' try user -m $good install
as=
try folder -m no-such-folder install
echo "6.1.0-1-amd64 $debian" | with m kernel
try version -m m install
echo "$version 6.1.1-1" | with m kernel
try source -m m install
echo "$version $debian ${configuration#??}ff $types" | with m kernel
try configuration -m m install
echo "$version $debian $configuration ${types#??}ff" | with m kernel
try types -m m install
if ! modinfo -F vermagic $good/kvm.ko | grep modversions >/dev/null; then
	echo "$version $debian $configuration -" | with m kernel
	try untold -m m install
fi
mount -o bind /usr/lib/modules /usr/lib/modules
mount -o remount,ro,bind /usr/lib/modules
try read-only -m $good install
umount /usr/lib/modules
busy
try vms -m $good install
kill $vm
wait $vm
modprobe kvmgt
try kvmgt -m $good install
rmmod kvmgt
sed 's/ mod_unload / mod_unloaz /' $good/kvm.ko | with m kvm.ko
try vermagic -m m install

# Failures in the middle.
for stock in /lib/modules/$version/kernel/arch/x86/kvm/kvm*.ko*; do
	case $stock in
	*.xz) xzcat $stock ;;
	*) cat $stock ;;
	esac >stock.ko
	module=${stock##*/}
	[ -d shell ] || cp -R $good shell
	cp stock.ko shell/${module%.xz}
done
try shell -m shell install
for vendor in kvm-intel kvm-amd; do
	with m $vendor.ko </dev/null
	mv m/$vendor.ko $vendor.empty
done
mv kvm-intel.empty m/kvm-intel.ko
mv kvm-amd.empty m/kvm-amd.ko
try broken -m m install
cat >/lab/depmod <<'END'
#!/bin/sh
[ ! -e /lab/interrupt ] || { rm /lab/interrupt; kill -TERM $PPID; sleep 1; }
exec /usr/sbin/depmod "$@"
END
chmod +x /lab/depmod
touch /lab/interrupt
try interrupted -m $good install
touch /etc/kernel
try unwritten -m $good install
rm /etc/kernel
section stock
vmm cpuid=23 >/dev/null 2>&1
echo $?

# The normal case.
try installed -m $good install
run_vmm known cpuid=23 out-kernel=17
account host
section table
exitdump --input $K/exit_cycles
try again -m $good install
try shell-over -m shell install
lab-modules unload
modprobe kvm_amd 2>/dev/null || modprobe kvm_intel
state next-boot
busy
try vms-uninstall uninstall
kill $vm
wait $vm
section hook
sh /etc/kernel/postinst.d/exit_cycles "$version" 2>&1
state hook
section followed
mkdir -p /usr/src/linux-headers-$version
# There is no compiler here: this script has built these modules outside.
printf '#!/bin/sh\necho %s\n' "$PWD/$good" >/usr/local/lib/exit_cycles/scripts/host-modules.sh
sh /etc/kernel/header_postinst.d/exit_cycles "$version" 2>&1
state followed
rmdir /usr/src/linux-headers-$version
try reinstalled -m $good install
echo 12345 >$P/halt_poll_ns
section removed
mkdir -p /lib/modules/5.10.0-1-amd64/updates/exit_cycles
sh /etc/kernel/postrm.d/exit_cycles 5.10.0-1-amd64 2>&1
rmdir /lib/modules/5.10.0-1-amd64
state removed
try uninstalled uninstall
try nothing uninstall

# Secure Boot, as far as the kernel knows about it.
echo 1 >/sys/module/module/parameters/sig_enforce
try unsigned -m $good install
try stranger -m exit_cycles/signed install
EOF

# Builds that are refused or interrupted leave no new file.
try_build() {
	local title=$1 expected=$2
	shift 2
	run env XDG_CACHE_HOME="$T/cache" "$@"
	like "build: $title: refused in one line" "$(wc -l <"$T/.err") $err" "^1 host-modules.sh: .*$expected"
	is "build: $title: status" "$status" 1
	ok "build: $title: nothing written" test ! -e "$T/cache/exit_cycles/host"
}

refuse_builds() {
	local kernel=$1 version=$2 headers=$3/usr/src/linux-headers-$2 root=$T/root source
	local build=("$TOP/scripts/host-modules.sh" -k "$version" -r "$root")
	source=$(source_version "$kernel")
	mkdir -p "$T/cache/exit_cycles"
	ln -s "$CACHE/source" "$T/cache/exit_cycles/source"
	try_build "no kernel that there are patches for" '5.10.0-1-amd64: not a stock kernel of Debian' "$TOP/scripts/host-modules.sh" -k 5.10.0-1-amd64
	mkdir -p "$root/usr/src" "$T/bin"
	try_build "no headers" "No such headers \(apt-get install linux-headers-${version/+/[+]}\)" "${build[@]}"
	mkdir -p "$root/usr/src/linux-headers-$version/include/generated"
	cp "$headers"/{Makefile,Module.symvers,.kernelvariables} "$root/usr/src/linux-headers-$version/"
	cp "$headers"/include/generated/{utsrelease,package}.h "$root/usr/src/linux-headers-$version/include/generated/"
	sed -i "s/Debian [^\"]*/Debian $kernel.1-1/" "$root/usr/src/linux-headers-$version/include/generated/package.h"
	try_build "another source" "linux-source-$kernel is of ${source//[+]/[+]}, but the kernel .* is of $kernel.1-1 \(apt-get install linux-source-$kernel=$kernel.1-1," "${build[@]}"
	printf '#!/bin/sh\nexit 1\n' >"$T/bin/dpkg-query"
	chmod +x "$T/bin/dpkg-query"
	rm "$T/cache/exit_cycles/source"
	try_build "no source" "linux-source-$kernel: not installed" env PATH="$T/bin:$PATH" "${build[@]}"

	build=("$TOP/scripts/host-modules.sh" -k "$version" -r "$3")
	ln -s "$CACHE/source" "$T/cache/exit_cycles/source"
	touch "$T/cache/exit_cycles/host"
	run env XDG_CACHE_HOME="$T/cache" "${build[@]}"
	like "build: nowhere to write" "$status $err" '^1 host-modules.sh: .*: cannot be written to \(XDG_CACHE_HOME'
	rm "$T/cache/exit_cycles/host"
	run env XDG_CACHE_HOME="$T/cache" timeout 4 "${build[@]}"
	is "build: interrupted" "$status" 124
	ok "build: interrupted: no modules" test ! -e "$T/cache/exit_cycles/host/$version/modules"
	echo "$T/cache" >"$T/pattern"
	is "build: interrupted: nothing goes on" "$(sleep 1; cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" "\n" | grep -aFf "$T/pattern")" ""
	rm -rf "$T/cache"
}

# bring STOCK MODULES: collects the files for an installation, and the modules: unsigned, and
# signed with a key that the kernel does not know.
bring() {
	local stock=$1 modules=$2 key=$T/key one sign
	rm -rf "$T/exit_cycles"
	mkdir -p "$T/exit_cycles/patches"
	cp -R "$TOP/scripts" "$T/exit_cycles/"
	cp "$TOP/patches/README.md" "$T/exit_cycles/patches/"
	cp -R "$modules" "$T/exit_cycles/good"
	cp -R "$modules" "$T/exit_cycles/signed"
	openssl req -new -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=nobody/ -outform DER \
		-keyout "$key.priv" -out "$key.der" 2>/dev/null
	sign=("$stock"/headers/usr/lib/linux-kbuild-*/scripts/sign-file)
	for one in "$T"/exit_cycles/signed/*.ko; do
		"${sign[0]}" sha256 "$key.priv" "$key.der" "$one"
	done
}

# same NAME: the host is as before.
same() {
	is "$lab $1: the host is as it was" "$(diff "$F/before.state" "$F/$1.state" 2>&1)" ""
}

# refused NAME REGEX: there is one line, and nothing has happened.
refused() {
	like "$lab $1: refused" "$(head -n 1 "$F/$1")" "^install.sh: .*$2"
	is "$lab $1: status" "$(tail -n 1 "$F/$1")" "status 1"
	same "$1"
}

judge() {
	unlike "$lab before: stock" "$(<"$F/before.state")" 'updates|account'
	refused user 'not root \(sudo make install-kvm\)'
	refused folder '-m no-such-folder: No such folder'
	refused version "for the kernel 6.1.0-1-amd64, and ${version/+/[+]} is running"
	refused source "from the source of 6.1.1-1, and .*Debian"
	refused configuration "of another configuration than this kernel's, /.*config"
	refused types "of other types than this kernel's, /sys/kernel/btf/vmlinux"
	[[ -e $F/untold ]] && refused untold 'does not say of which types they are, and this kernel does not check'
	refused read-only "/lib/modules/${version/+/[+]}: read-only"
	refused vms 'VMs are running.*vmm \([0-9]+\)'
	refused kvmgt 'kvmgt is loaded'
	refused vermagic 'this kernel would not take it: Invalid module format'
	refused unsigned 'not signed, and this kernel takes signed modules only'
	like "$lab unsigned: says how" "$(<"$F/unsigned")" 'mokutil --import.*sign-file sha256'
	like "$lab signed by a stranger: the kernel's own verdict" "$(<"$F/stranger")" \
		'would not take it: (Key was rejected by service|Required key not available)'
	same stranger

	like "$lab a shell: found out" "$(<"$F/shell")" 'has no parameter exit_cycles, now that it is loaded'
	same shell
	like "$lab a module that does not load" "$(<"$F/broken")" 'insmod: ERROR: could not insert module'
	same broken
	is "$lab interrupted" "$(tail -n 1 "$F/interrupted")" "status 143"
	same interrupted
	is "$lab no place for the hooks" "$(tail -n 1 "$F/unwritten")" "status 1"
	is "$lab no place for the hooks: the rest is as they were" \
		"$(grep -v /etc/kernel "$F/unwritten.state")" "$(<"$F/before.state")"
	is "$lab after all that a VM runs, on the stock modules" "$(<"$F/stock")" 0

	is "$lab installed" "$(tail -n 1 "$F/installed")" "status 0"
	is "$lab installed: the VM's rows are what its guest made" "$(account_says known known.vm)" "$(vmm_says known)"
	is "$lab installed: the account agrees with itself" "$(contradictions host)" ''
	like "$lab installed: exitdump shows it" "$(<"$F/table")" 'TOTAL'
	note "$(<"$F/table")"
	for one in installed again shell-over next-boot vms-uninstall; do
		like "$lab $one: with its account" "$(<"$F/$one.state")" $'\nwith its account\n'
		is "$lab $one: the next boot finds it" "$(tail -n 1 "$F/$one.state")" \
			"/lib/modules/$version/updates/exit_cycles/kvm.ko"
	done
	is "$lab parameters are kept" "$(grep -cx 12345 "$F/installed.state")" 1
	is "$lab over itself: nothing changes" "$(<"$F/again.state")" "$(<"$F/installed.state")"
	is "$lab over itself, and failing: nothing changes" "$(<"$F/shell-over.state")" "$(<"$F/installed.state")"
	like "$lab uninstall with VMs: refused" "$(<"$F/vms-uninstall")" 'VMs are running'

	like "$lab a kernel that cannot be followed gets its stock KVM" "$(<"$F/hook")" \
		"gets its stock KVM: no linux-headers-${version/+/[+]} yet"
	is "$lab at its next boot" "$(tail -n 1 "$F/hook.state")" "$(tail -n 1 "$F/before.state")"
	like "$lab a kernel that can be followed" "$(<"$F/followed")" "Linux ${version/+/[+]} will have its account\$"
	is "$lab has it at its next boot" "$(tail -n 1 "$F/followed.state")" \
		"/lib/modules/$version/updates/exit_cycles/kvm.ko"
	is "$lab a kernel that is removed takes its modules along" "$(<"$F/removed.state")" "$(<"$F/installed.state")"
	is "$lab uninstalled" "$(tail -n 1 "$F/uninstalled")" "status 0"
	unlike "$lab uninstalled: nothing stays" "$(<"$F/uninstalled.state")" 'exit_cycles|account|/etc/kernel|updates'
	same uninstalled
	like "$lab uninstalled twice: says so" "$(<"$F/nothing")" 'nothing is installed'
}

make -s -C "$TOP/tools" BUILD="$T/build" PROG="$T/exitdump"
# kmod opens it by its name
lzma=(/usr/lib/*/liblzma.so.5)
refusals=''
for one in $LABS; do
	lab="${one//:/ }:"
	stock_of "$one" || continue
	modules_for "$one" || continue
	if [[ $here && ! $refusals ]]; then
		refuse_builds "$(kernel_of "$one")" "$version" "$stock/headers"
		refusals=tried
	fi
	bring "$stock" "$modules"
	config=$(find "$stock/headers/boot" "$stock/headers/usr/lib/modules" -name 'config*' 2>/dev/null || true)
	boot "$one" -b "$stock/lab" -t 3000 -a "$config" -a "${lzma[0]}" -a "$(type -P bash)" -a "$(type -P find)" -a "$(type -P flock)" \
		-a "$(type -P setpriv)" -a "$T/exitdump" -a "$T/exit_cycles" || continue
	judge
done
done_testing
