#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: kernel.sh builds anew if the source, the patches, the configuration or the compiler
# have changed, and only then. It refuses a configuration that the kernel does not take, and
# modules that are not what they should be; what sparse finds in the series is an error. The
# test has a stand-in for make: nothing is built. (3001 has the real builds.)
# shellcheck disable=SC2016 # the shell there expands it
. "${BASH_SOURCE[0]%/*}/lib.sh"

export XDG_CACHE_HOME=$T/cache T
dir=$T/cache/exit_cycles/6.12
mkdir -p "$T"/{bin,top/patches/6.12} "$dir"/{src/{scripts/kconfig,arch/x86/{kvm,boot},virt/{lib,kvm}},out} "$T/cache/exit_cycles/source"
cp -R "$TOP/scripts" "$T/top/"
echo a patch >"$T/top/patches/6.12/0001-one.patch"
echo 6.12.1-1 >"$T/cache/exit_cycles/source/linux-source-6.12.version"
sed -i "s,/usr/src/,$T/none/," "$T/top/scripts/source/kernels.sh"
program() {
	printf '#!/bin/bash\n%s\n' "$2" >"$T/bin/$1"
	chmod +x "$T/bin/$1"
}
program gcc 'echo "gcc 12"'
PATH=$T/bin:$PATH
# The functions of kernel.sh, without its command line.
sed '/^kernel=\$(default_kernel)/,$d' "$T/top/scripts/kernel.sh" >"$T/top/scripts/functions"
# kernel COMMANDS: runs them after these functions.
kernel() {
	run bash -c '. "$1"; DEBUG=; use_kernel 6.12; '"$1" kernel.sh "$T/top/scripts/functions"
}

# --- the keys: what a build depends on

base() { kernel base_key; echo "$out"; }
series() { kernel series_key; echo "$out"; }
base=$(base) series=$(series)
is 'nothing changed: the same keys' "$(base) $(series)" "$base $series"
ok 'which are not empty, nor the same' test "$base" != "$series" -a ${#base} = 64 -a ${#series} = 64
# changes TITLE FILE TEXT WHICH: another FILE changes these keys.
changes() {
	local now
	cp "$2" "$T/aside"
	echo "$3" >>"$2"
	now=$(base)
	[[ $now != "$base" ]] && now=stock || now=
	[[ $(series) == "$series" ]] || now+=' patched'
	cp "$T/aside" "$2"
	is "$1: what is built anew" "$now" "$4"
}
sed -i 's/12/13/' "$T/bin/gcc"
ok 'another compiler: all' test "$(base)" != "$base" -a "$(series)" != "$series"
sed -i 's/13/12/' "$T/bin/gcc"
changes 'another source' "$T/cache/exit_cycles/source/linux-source-6.12.version" 6.12.2-1 'stock patched'
changes 'another configuration' "$T/top/scripts/kernel/lab.config" CONFIG_NEW=y 'stock patched'
changes 'another comment there' "$T/top/scripts/kernel/lab.config" '# new' ''
changes 'another patch' "$T/top/patches/6.12/0001-one.patch" more ' patched'

# --- the configuration

cp "$T/top/scripts/kernel/lab.config" "$T/lab.config"
printf '%s\n' '# a comment' CONFIG_ONE=y CONFIG_TWO=m 'CONFIG_NEWER=y?' >"$T/top/scripts/kernel/lab.config"
program make 'case $* in *olddefconfig) [[ ! -e $T/refuses ]] || sed -i "/$(cat "$T/refuses")/d" "$T"/cache/exit_cycles/6.12/src/.config ;; esac'
printf '#!/bin/sh\ncp "$3" .config\n' >"$dir/src/scripts/kconfig/merge_config.sh"
chmod +x "$dir/src/scripts/kconfig/merge_config.sh"
kernel configure
is 'a configuration that the kernel takes' "$status:$err:$(sort "$dir/src/.config" | paste -sd ' ')" '0::CONFIG_NEWER=y CONFIG_ONE=y CONFIG_TWO=m'
echo TWO >"$T/refuses"
kernel configure
is 'one that it does not take' "$status:$err" '1:kernel.sh: lab.config: CONFIG_TWO=m: Linux 6.12 does not take it'
echo NEWER >"$T/refuses"
kernel configure
is 'one that it need not take' "$status:$err" 0:
touch "$dir/src/.config.whole"
kernel configure
ok 'a new one: what an interrupted build without a symbol has kept is not' test ! -e "$dir/src/.config.whole"
rm "$T/refuses"
echo CONFIG_TWO=y >"$T/top/scripts/kernel/kasan.config"
kernel 'DEBUG=kasan; use_kernel 6.12; settings'
is "a debug kernel's own values count" "$status:$(paste -sd ' ' <<<"$out")" '0:CONFIG_ONE=y CONFIG_TWO=y CONFIG_NEWER=y?'
cp "$T/lab.config" "$T/top/scripts/kernel/lab.config"

# --- the modules

touch "$dir"/src/arch/x86/kvm/{Kconfig,kvm.ko,kvm-intel.ko,kvm-amd.ko}
echo CONFIG_KVM_EXIT_CYCLES=y >"$dir/src/.config"
program nm 'cat "$T/symbols"'
echo '0 t kvm_exit_cycles_init' >"$T/symbols"
kernel 'modules; install_modules stock'
is 'modules of the series, without an irqbypass of their own' "$status:$err:$(cd "$dir/out/stock" && echo *)" '0::kvm-amd.ko kvm-intel.ko kvm.ko'
touch "$dir/src/virt/lib/irqbypass.ko"
kernel 'install_modules stock'
is 'or with one' "$status:$(cd "$dir/out/stock" && echo *)" '0:irqbypass.ko kvm-amd.ko kvm-intel.ko kvm.ko'
rm "$dir/src/arch/x86/kvm/kvm-amd.ko"
kernel 'install_modules stock'
is 'not all of them are built: those from before stay' "$status:$(cd "$dir/out/stock" && echo *)" '1:irqbypass.ko kvm-amd.ko kvm-intel.ko kvm.ko'
touch "$dir/src/arch/x86/kvm/kvm-amd.ko"
: >"$T/symbols"
kernel modules
like 'stock modules, where patched ones should be' "$status:$err" '^1:kernel.sh: .*kvm.ko: not what .config says'
: >"$dir/src/.config"
echo '0 t kvm_exit_cycles_init' >"$T/symbols"
kernel modules
like 'and the other way round' "$status:$err" '^1:kernel.sh: .*kvm.ko: not what .config says'

touch "$dir/src/arch/x86/boot/bzImage" "$dir/src/vmlinux"
kernel 'at=exit_cycles; git_src() { at=${!#}; }; configure() { step "configured at $at"; }; stock'
is 'the stock modules: of the source without the series, though its branch is checked out' \
	"$status:$(grep -o 'configured at .*' <<<"$err"):$(<"$dir/out/stock.key")" "0:configured at base:$base"

rm -rf "$dir/out/patched"
kernel 'modules() { :; }; series_headers() { echo headers; }; edited'
is 'the source as it is: its modules are the patched ones' "$status:$(cd "$dir/out/patched" && echo *)" '0:irqbypass.ko kvm-amd.ko kvm-intel.ko kvm.ko'
kernel 'series() { :; }; patched; echo "it goes on"'
is 'no patches yet: nothing to build' "$status:$out" '0:it goes on'

# --- a module of a test

mkdir "$T/module" "$T/to" "$dir/module"
touch "$T/module/one.c" "$dir/module/old.ko"
program make 'for word; do [[ $word != M=* ]] || (cd "${word#M=}" && [[ ! -e one.c ]] || touch one.ko); done'
echo headers >"$dir/out/patched.headers"
kernel 'build() { :; }; series_headers() { echo headers; }; module "$T/module" "$T/to"'
is 'a module for the patched ones' "$status:$err:$(ls "$T/to")" 0::one.ko
kernel 'build() { :; }; series_headers() { echo others; }; module "$T/module" "$T/to"'
like 'not for those of other headers' "$status:$err" '^1:kernel.sh: .*not as in patches/6.12'
mkdir -p "$dir/src/arch/x86/include/asm"
touch "$dir/src/arch/x86/"{kvm/exit_cycles,include/asm/kvm_host}.h
for header in '' kvm/exit_cycles.h include/asm/kvm_host.h; do
	[[ ! $header ]] || echo changed >"$dir/src/arch/x86/$header"
	kernel series_headers
	paste -sd ":" <<<"$out" >>"$T/headers"
done
is 'other headers: that of the series, and that of all of KVM' "$(sort -u "$T/headers" | wc -l)" 3

echo old >"$dir/out/patched.key"
kernel 'apply_series() { :; }; modules() { :; }; install_modules() { exit 7; }; patched'
is 'patched modules that an interruption may have put there do not count' "$status:$(cat "$dir/out/patched.key" 2>&1)" "7:cat: $dir/out/patched.key: No such file or directory"

# --- the kernels that cannot be, and the configurations without a part

mkdir -p "$T/linux-source-6.12/arch/x86/kernel/cpu"
for text in '"setcpuid"' nothing; do
	echo "$text" >"$T/linux-source-6.12/arch/x86/kernel/cpu/common.c"
	tar -cf "$T/$text.tar" -C "$T" linux-source-6.12
done
kernel 'DEBUG=rt; supported "$T/nothing.tar"'
is 'no real-time kernel: a reason to skip' "$status:$err" '3:kernel.sh: Linux 6.12: no real-time kernel for this lab (-d rt)'
kernel 'DEBUG=rt; supported "$T/\"setcpuid\".tar"; DEBUG=; supported "$T/nothing.tar"'
is 'one that can be, and any other' "$status:$err" 0:
without='modules() { (cd "$SRC" && find . -name "*.o"); touch "$SRC/virt/kvm/without.o"; }; configured() { :; }; without ONE; whole; cat "$SRC/.config"; modules'
printf '#!/bin/sh\n[ -e "$T/stays" ] || sed -i "s/^CONFIG_$4=y/# CONFIG_$4 is not set/" "$2"\n' >"$dir/src/scripts/config"
chmod +x "$dir/src/scripts/config"
echo CONFIG_ONE=y >"$dir/src/.config"
touch "$dir"/src/{arch/x86,virt}/kvm/old.o
kernel "$without"
is 'without a symbol: built anew; then all is as before' "$status:$err:$out" $'0::without ONE: builds\nCONFIG_ONE=y'
touch "$T/stays"
kernel "$without"
is 'a symbol that stays is told' "$status:$err" "1:kernel.sh: $dir/src/.config: CONFIG_ONE is still set"
echo '# CONFIG_ONE is not set' >"$dir/src/.config"
kernel 'keep_edits() { :; }; git_src() { :; }; configured() { :; }; clean; cat "$SRC/.config"'
is 'an interrupted one: the next build has the whole configuration again' "$status:$err:$out" 0::CONFIG_ONE=y
ok 'and needs to know it only once' test ! -e "$dir/src/.config.whole"

# --- each patch alone

program sparse ''
echo another patch >"$T/top/patches/6.12/0002-two.patch"
touch "$dir"/src/arch/x86/kvm/kvm{,-intel,-amd}.ko
each='unpack() { :; }; stock() { :; }; clean() { now=stock; }; apply_series() { now=patched; }; without() { echo "without $1"; }; whole() { echo whole; }; install_modules() { :; }
	git_src() { case $1 in rev-parse) echo tip ;; checkout) step "${!#}" ;; esac; }
	modules() { cat "$T/says.$now" >>"$LOG" 2>/dev/null || :; }
	each'
built() { grep -o 'tip~[0-9]*' <<<"$err" | paste -sd ' '; }
says='builds: 0001-one.patch,builds: 0002-two.patch,sparse: no more than of stock,without DEBUG_FS,without KVM_EXIT_CYCLES,whole'
echo 'a.c:10:5: warning: of stock' >"$T/says.stock"
echo 'a.c:19:5: warning: of stock' >"$T/says.patched"
kernel "$each"
is 'each patch, sparse, and without parts' "$status:$(built):$(paste -sd, <<<"$out")" "0:tip~1 tip~0:$says"
is 'after that all is built' "$(<"$dir/out/patched.key")" "$(series)"
is 'and the modules after each patch are kept' "$(cd "$dir/each" && echo */*.ko)" \
	'1/kvm-amd.ko 1/kvm-intel.ko 1/kvm.ko 2/kvm-amd.ko 2/kvm-intel.ko 2/kvm.ko'
kernel "$each"
is 'nothing changed: nothing is built' "$status:$err:$(paste -sd, <<<"$out")" "0::$says"
echo more >>"$T/top/patches/6.12/0002-two.patch"
kernel "$each"
is 'another second patch: the first is not built again' "$status:$(built):$(paste -sd, <<<"$out")" "0:tip~0:$says"
echo '# more' >>"$T/top/scripts/kernel/check.sh"
kernel "$each"
is 'another way to build: all are' "$status:$(built)" '0:tip~1 tip~0'
program sparse 'echo 2'
kernel "$each"
is 'another sparse: all are' "$status:$(built)" '0:tip~1 tip~0'
echo 'a.c:20:5: warning: of the series' >>"$T/says.patched"
echo more >>"$T/top/patches/6.12/0002-two.patch"
for try in first second; do
	kernel "$each"
	is "sparse finds more than before, the $try time" "$status:$out:${err##*kernel.sh: }" '1::sparse: a.c: of the series'
done
ok 'and nothing counts as built' test ! -e "$dir/out/patched.key"
sed -i -s "\$d" "$T/top/patches/6.12/0002-two.patch" "$T/says.patched"
kernel "$each"
is 'nor what a failure left' "$status:$(paste -sd, <<<"$out")" "0:$says"

# --- the configuration changes

rm "$dir/src/.configured"
program make 'echo "$*" >>$T/made'
for change in '' .config arch/x86/kvm/Kconfig; do
	[[ ! $change ]] || echo "# more" >>"$dir/src/$change"
	: >"$T/made"
	kernel 'configured; configured'
	is "the build learns of the configuration once${change:+, and of another $change}" "$status:$(wc -l <"$T/made")" 0:2
done
program make '[[ $* != *modules_prepare ]]'
echo "# more" >>"$dir/src/.config"
kernel configured
sed -i '$d' "$dir/src/.config"
program make 'echo "$*" >>$T/made'
: >"$T/made"
kernel configured
is 'an interrupted one counts for none' "$status:$(wc -l <"$T/made")" 0:2

done_testing
