#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: host-modules.sh takes the kernel's source from the cache, or from a package whose
# files exist, in whatever state dpkg has it during an upgrade; and only of exactly the
# kernel's version. It refuses in one line everything that would make modules which do not
# match the kernel exactly. The test uses stand-ins for /usr/src and /sys; nothing is built.
. "${BASH_SOURCE[0]%/*}/lib.sh"

version=6.1.0-1-amd64
headers=$T/usr/src/linux-headers-$version
generated=$headers/include/generated
script=$T/top/scripts/host-modules.sh
mkdir -p "$generated" "$headers/scripts/mod" "$T"/{top,bin,boot,sys/kernel/btf}
cp -R "$TOP/scripts" "$TOP/patches" "$T/top/"
sed -i "s,\$root/,$T/,; s,=/sys,=$T/sys," "$script"
sed -i "s,/usr/src/linux-source-,$T&," "$T/top/scripts/source/kernels.sh"
touch "$headers/Module.symvers" "$T/usr/src/linux-source-6.1.tar.xz" "$T/file"
echo "#define UTS_RELEASE \"$version\"" >"$generated/utsrelease.h"
echo '#define LINUX_PACKAGE_ID " Debian 6.1.1-1"' >"$generated/package.h"

# stub NAME TEXT: makes a program that a build needs; TEXT is its script.
stub() {
	printf '#!/bin/sh\n%s\n' "$2" >"$T/bin/$1"
	chmod +x "$T/bin/$1"
}
for name in make git xz modinfo strip; do
	stub "$name" ''
done
# shellcheck disable=SC2016 # the stub expands it
stub dpkg-query 'case $3 in *Status*) echo "${STATE% *}" ;; *) echo "${STATE#* }" ;; esac'
stub gcc-12 'echo 12'
stub pahole 'echo 124'
stub uname "case \$1 in -v) echo '#1 SMP Debian 6.1.1-1 (2026-01-01)' ;; *) echo $version ;; esac"
printf '#!/bin/sh\n' >"$headers/scripts/mod/modpost.real-lsb-64"
chmod +x "$headers/scripts/mod/modpost.real-lsb-64"

# a vmlinux for the headers, with types and nothing else; the running kernel has the same types
echo types >"$T/sys/kernel/btf/vmlinux"
echo 'int i;' | gcc -c -x c -o "$T/bare" -
objcopy --add-section ".BTF=$T/sys/kernel/btf/vmlinux" "$T/bare" "$T/vmlinux"

# host: makes a host where all is right, with MODVERSIONS and without types
host() {
	cat >"$generated/autoconf.h" <<-'END'
		#define CONFIG_CC_VERSION_TEXT "gcc-12 (Debian 12.2.0-14) 12.2.0"
		#define CONFIG_GCC_VERSION 120200
		#define CONFIG_PAHOLE_VERSION 124
		#define CONFIG_BUILD_SALT "6.1.0-1-amd64"
		#define CONFIG_MODVERSIONS 1
		#define CONFIG_KVM_MODULE 1
		#define CONFIG_ADDRESS 0x0
	END
	cat >"$headers/.config" <<-'END'
		# CONFIG_BTF is not set
		CONFIG_CC_VERSION_TEXT="gcc-12 (Debian 12.2.0-14) 12.2.0"
		CONFIG_GCC_VERSION=120200
		CONFIG_PAHOLE_VERSION=124
		CONFIG_BUILD_SALT="6.1.0-1-amd64"
		CONFIG_MODVERSIONS=y
		CONFIG_KVM=m
		CONFIG_ADDRESS=0
	END
	grep -v SALT "$headers/.config" >"$T/boot/config-$version"
	cp "$T/vmlinux" "$headers/vmlinux"
}

# unversioned: a kernel without MODVERSIONS
unversioned() {
	sed -i /MODVERSIONS/d "$generated/autoconf.h" "$headers/.config" "$T/boot/config-$version"
}

# try "STATE VERSION" [CACHE]: a cache that cannot be written to is reported after all checks.
try() {
	run env STATE="$1" PATH="$T/bin:$PATH" XDG_CACHE_HOME="${2:-$T/file}" "$script"
}

taken() {
	like "$1: taken" "$status:$err" "^1:host-modules.sh: $T/[^ ]*: cannot be written to"
}

# refused TITLE REGEX
refused() {
	like "$1: refused" "$status:$(wc -l <"$T/.err"):$err" "^1:1:host-modules.sh: $2"
}

host
for state in installed unpacked half-configured triggers-awaited triggers-pending; do
	try "$state 6.1.1-1"
	taken "$state"
done
how='\(apt-get install linux-source-6.1=6.1.1-1, or scripts/source/fetch.sh -k 6.1'
for state in not-installed config-files half-installed; do
	try "$state 6.1.1-1"
	refused "$state" "linux-source-6.1: not installed $how"
done
try 'unpacked 6.1.2-1'
refused 'another version' "linux-source-6.1 is of 6.1.2-1, but the kernel 6.1.0-1-amd64 is of 6.1.1-1 $how"
rm "$T/usr/src/linux-source-6.1.tar.xz"
try 'unpacked 6.1.1-1'
refused 'without its file' "linux-source-6.1: not installed"
mkdir -p "$T/cache/exit_cycles/source"
touch "$T/cache/exit_cycles/host" "$T/cache/exit_cycles/source/linux-source-6.1.tar.xz"
echo 6.1.1-1 >"$T/cache/exit_cycles/source/linux-source-6.1.version"
try 'not-installed -' "$T/cache"
taken 'in the cache'
mkdir "$T/aside.patches"
mv "$T"/top/patches/6.1/* "$T/aside.patches/"
try 'not-installed -' "$T/cache"
refused 'no patches' "$T/top/patches/6.1: no patches there"
mv "$T/aside.patches"/* "$T/top/patches/6.1/"
echo 6.1.2-1 >"$T/cache/exit_cycles/source/linux-source-6.1.version"
try 'not-installed -' "$T/cache"
refused 'in the cache, of another version' "linux-source-6.1 is of 6.1.2-1, but the kernel 6.1.0-1-amd64 is of 6.1.1-1 $how"
touch "$T/usr/src/linux-source-6.1.tar.xz"

unversioned
try 'installed 6.1.1-1'
taken 'without MODVERSIONS'
sed -i s/KVM_MODULE/KVM/ "$generated/autoconf.h"
try 'installed 6.1.1-1'
refused 'another configuration than the kernel' ".*/autoconf.h: not of the configuration of $T/boot/config-$version: CONFIG_KVM"
sed -i '/ADDRESS/d; s/KVM=m/KVM=y/' "$T/boot/config-$version"
try 'installed 6.1.1-1'
refused 'one symbol more than the kernel' ".*/autoconf.h: not of the configuration of $T/boot/config-$version: CONFIG_ADDRESS 0"
rm "$T/boot/config-$version"
try 'installed 6.1.1-1'
refused 'another configuration than the headers' ".*/autoconf.h: not of the configuration of $headers/.config: CONFIG_KVM"
host
unversioned
stub gcc-12 'echo 13'
try 'installed 6.1.1-1'
refused 'another compiler' 'gcc-12: is version 13, and the kernel is of 12 \(apt-get install --reinstall gcc-12\)'
stub gcc-12 'echo 12'
stub pahole 'echo 125'
try 'installed 6.1.1-1'
taken 'a newer pahole'
stub pahole 'echo 123'
try 'installed 6.1.1-1'
refused 'an older pahole' 'pahole: is version 123, and the kernel is of 124'
stub pahole 'echo 124'
rm "$headers/vmlinux"
try 'installed 6.1.1-1'
refused 'headers without types' "$headers/vmlinux: No such file"
echo other >"$T/types"
objcopy --add-section ".BTF=$T/types" "$T/bare" "$headers/vmlinux"
try 'installed 6.1.1-1'
refused 'headers of other types' "$headers/vmlinux: not the types of the kernel that runs, $T/sys"
host
cp "$T/bin/uname" "$T/uname"
sed -i s/6.1.1-1/6.1.0-9/ "$T/bin/uname"
try 'installed 6.1.1-1'
refused 'another kernel runs' 'the kernel that runs is "#1 SMP Debian 6\.1\.0-9 \(2026-01-01\)", its headers are of 6\.1\.1-1 '
run env STATE='installed 6.1.1-1' PATH="$T/bin:$PATH" XDG_CACHE_HOME="$T/file" "$script" -r "$T/elsewhere"
taken 'another kernel runs, but the headers of -r count'
run env PATH="$T/bin:$PATH" "$script" -k 5.10.0-1-amd64
refused 'a kernel without patches' "5.10.0-1-amd64: not a stock kernel of Debian, ${KERNELS// /, } for amd64"
cp "$T/uname" "$T/bin/uname"
sed -i s/6.1.0-1/6.1.0-2/ "$generated/utsrelease.h"
try 'installed 6.1.1-1'
refused 'headers of another kernel' "$headers: not the headers of $version"
host
for file in Module.symvers include/generated/package.h; do
	mv "$headers/$file" "$T/aside"
	try 'installed 6.1.1-1'
	refused "headers without $file" "$headers: No such headers \\(apt-get install linux-headers-$version\\)"
	mv "$T/aside" "$headers/$file"
done
sed -i s/6.1.0-2/6.1.0-1/ "$generated/utsrelease.h"
rm "$T/sys/kernel/btf/vmlinux"
try 'installed 6.1.1-1'
refused 'a kernel without types' "$T/sys/kernel/btf/vmlinux: No such file"
printf '#!/bin/sh\necho "version GLIBC_2.99 not found" >&2\nexit 1\n' >"$headers/scripts/mod/modpost.real-lsb-64"
try 'installed 6.1.1-1'
refused 'programs of a newer release' "$headers/scripts: programs of a newer Debian"

sed '$d' "$script" >"${script%/*}/functions"
# came_out [SIZE]...: sets the types in the built modules; the kernel's types are these.
printf '%s\t0\n' 'file	8' 'slot	4' 'slot	6' 'kvm_vcpu	9' >"$T/base"
stub pahole "cat $T/base; [ \"\$4\" = $headers/vmlinux ] || cat $T/more"
came_out() {
	((!$#)) || printf '%s\t0\n' "$@" >"$T/more"
	# shellcheck disable=SC2016 # the shell there expands it
	run env PATH="$T/bin:$PATH" headers="$headers" bash -c '. "$1"; check_types /nowhere' "${script##*/}" "${script%/*}/functions"
}
: >"$T/more"
came_out
refused 'modules without types' "kvm.ko: came out without the kernel's own struct of any kind"
came_out 'kvm_vcpu	19' 'slot	6' 'new	1'
is "KVM's own structures in another size: taken" "$status:$err" 0:
came_out 'kvm_vcpu	19' 'file	16'
refused "the kernel's in another size" "kvm.ko: came out without the kernel's own struct file"

# shellcheck disable=SC2016 # the shell there expands it
is 'the packages that are missing, by their names' "$(bash -c '. "$1"; for one in "${@:2}"; do package_of "$one"; done' \
	"${script##*/}" "${script%/*}/functions" git xz modinfo readelf gcc-12 x86_64-linux-gnu-gcc-12 | paste -sd ' ')" 'git xz-utils kmod binutils gcc-12 gcc-12'

# What is built depends on the patches and on the compiler: then it is built anew.
# shellcheck disable=SC2016 # the shell there expands it
kept() {
	env PATH="$T/bin:$PATH" bash -c '. "$1"; series=6.1 compiler=gcc-12 version=1 package=2 configuration=3 types=4; key' \
		"${script##*/}" "${script%/*}/functions"
}
is 'the same: the same key' "$(kept)" "$(kept)"
before=$(kept)
stub gcc-12 'echo another'
ok 'another compiler: another key' test "$(kept)" != "$before"
stub gcc-12 'echo 12'
echo >>"$(echo "$T"/top/patches/6.1/0001*)"
ok 'another patch: another key' test "$(kept)" != "$before"
mkdir -p "$T/old/modules"
# shellcheck disable=SC2016 # the stub expands it
stub tar 'mkdir -p "$4/arch/x86/kvm" && : >"$4/arch/x86/kvm/Makefile"'
# shellcheck disable=SC2016 # the shell there expands it
run env PATH="$T/bin:$PATH" bash -c '. "$1"; compile() { echo built; }; series=6.1 source=x dir=$2 key=new; build; mkdir "$dir/modules"; build' \
	"${script##*/}" "${script%/*}/functions" "$T/old"
is 'another key: built anew, once' "$status:$out" 0:built
rm "$T/bin/tar"
is 'the series of a kernel, exactly' "$(series_of 6.12.1-amd64; series_of 6.1.0-1-cloud-amd64; series_of 6.10.1-amd64)" $'6.12\n6.1'

# The source, with a series of two patches.
mkdir -p "$T"/linux/{arch/x86/{kvm,include/asm},virt/kvm,include/linux,mm} "$T/top/patches/9.9"
for file in arch/x86/kvm/x86.c arch/x86/include/asm/kvm_host.h virt/kvm/kvm_main.c include/linux/kvm_host.h include/linux/mm.h mm/mm.c; do
	echo old >"$T/linux/$file"
done
# shellcheck disable=SC2016 # make expands it
echo 'KVM := $(srctree)/virt/kvm/' >"$T/linux/arch/x86/kvm/Makefile"
tar -cf "$T/linux.tar" -C "$T" linux
# changes FILE...: prints a patch of these files.
changes() { for file; do printf -- '--- a/%s\n+++ b/%s\n@@ -1 +1 @@\n-old\n+new\n' "$file" "$file"; done; }
changes arch/x86/kvm/x86.c arch/x86/include/asm/kvm_host.h >"$T/top/patches/9.9/0001-one.patch"
changes virt/kvm/kvm_main.c include/linux/kvm_host.h Documentation/kvm.rst >"$T/top/patches/9.9/0002-two.patch"
unpacked() {
	mkdir -p "$T/unpacked"
	# shellcheck disable=SC2016 # the shell there expands it
	run bash -c '. "$1"; version=9.9.1-1-amd64 package=9.9.1-1 series=9.9 source=$2 dir=$3 key=new; compile() { :; }; build' \
		"${script##*/}" "${script%/*}/functions" "$T/linux.tar" "$T/unpacked"
}
unpacked
# shellcheck disable=SC2016 # make expands it
is "the source: KVM's, and what the series changes" "$status:$(cd "$T/unpacked/src" && grep -r . | sort | paste -sd,)" \
	'0:arch/x86/include/asm/kvm_host.h:new,arch/x86/kvm/Makefile:KVM := $(src)/../../../virt/kvm/,arch/x86/kvm/x86.c:new,include/linux/kvm_host.h:new,virt/kvm/kvm_main.c:new'
echo before >"$T/unpacked/key"
touch "$T/unpacked/src/old"
unpacked
is 'the source: made anew, with nothing of an old one' "$status:$(cd "$T/unpacked/src" && echo *)" "0:arch include virt"
changes virt/kvm/kvm_main.c >"$T/top/patches/9.9/0003-again.patch"
rm -r "$T/unpacked"
mkdir "$T/unpacked"
echo before >"$T/unpacked/key"
unpacked
like 'a patch that does not apply: refused' "$status:$(ls "$T/unpacked"):$err" '^1:src:.*host-modules.sh: .*/0003-again.patch: does not apply to linux-source-9.9 9.9.1-1$'
rm -r "$T/top/patches/9.9"

# made TITLE VERMAGIC PARAMETERS ERROR: checks how the script judges the output of make.
mkdir -p "$T/build/src/arch/x86/kvm"
touch "$T"/build/src/arch/x86/kvm/kvm{,-intel,-amd}.ko "$headers/Makefile"
made() {
	stub modinfo "case \$2 in vermagic) echo '$2' ;; *) echo '$3' ;; esac"
	# shellcheck disable=SC2016 # the shell there expands it
	run env PATH="$T/bin:$PATH" headers="$headers" bash -c '. "$1"; package=1 configuration=2 types=3 dir=$2; compile' \
		"${script##*/}" "${script%/*}/functions" "$T/build"
	is "$1" "$(sed -n 's/^host-modules.sh: //; T; s/^make .* failed (.*/make failed/; p' "$T/.err"):$(cd "$T/build" && echo modules/*)" "$4"
}
made 'made: types that differ' "$version SMP" 'exit_cycles:Count' \
	"kvm.ko: came out without the kernel's own struct file ():modules/*"
made 'made: for another kernel' 6.1.0-2-amd64 'exit_cycles:Count' "kvm.ko: came out for 6.1.0-2-amd64, not for $version:modules/*"
made 'made: for one with a longer name' "$version-local SMP" 'exit_cycles:Count' "kvm.ko: came out for $version-local SMP, not for $version:modules/*"
made 'made: an empty shell' "$version SMP" '' 'kvm.ko: came out without the parameter exit_cycles, an empty shell:modules/*'
: >"$T/more"
came_out 'slot	6'
stub make 'echo no; exit 2'
made 'made: not at all' "$version SMP" 'exit_cycles:Count' 'make failed:modules/*'
stub make "printf '%s\n' \"\$@\" >$T/asked"
stub strip "echo \"\$1\" >>$T/stripped"
made 'made: as it should be' "$version SMP" 'exit_cycles:Count' ':modules/kernel modules/kvm-amd.ko modules/kvm-intel.ko modules/kvm.ko'
is 'made: with the series, whose headers come first' "$(sed -n "s,$T/build,,g; s/  */ /g; /^\(CONFIG\|NOSTDINC\|KC\)/p" "$T/asked" | paste -sd,)" \
	'CONFIG_KVM_EXIT_CYCLES=y,NOSTDINC_FLAGS=-nostdinc -I/src/arch/x86/include -I/src/arch/x86/include/uapi -I/src/include -I/src/include/uapi,KCFLAGS=-DCONFIG_KVM_EXIT_CYCLES=1 -I/src/arch/x86/kvm -I/src/include/trace'
is 'made: for which kernel, as install.sh reads it' "$(<"$T/build/modules/kernel")" "$version 1 2 3"
# shellcheck disable=SC2016 # the shell there expands it
run env XDG_CACHE_HOME="$T/where" bash -c '. "$1"; check() { :; }; key() { :; }; build() { :; }; main -k 6.1.0-9-amd64' "${script##*/}" "${script%/*}/functions"
is 'made: their folder' "$status:$out" "0:$T/where/exit_cycles/host/6.1.0-9-amd64/modules"
is 'made: without what only a debugger reads' "$(sort "$T/stripped" | uniq -c | xargs)" '3 --strip-debug'

done_testing
