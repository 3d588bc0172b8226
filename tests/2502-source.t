#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: if a kernel's source is not installed, it comes from Debian's archive into the
# cache, complete or not at all, and apt's own settings stay untouched. A failure is one
# line. A kernel that Debian no longer has is skipped, which is not an error.
# shellcheck disable=SC2016 # the programs made here expand it themselves
. "${BASH_SOURCE[0]%/*}/lib.sh"

type -p dpkg-deb >/dev/null || skip_all "dpkg-deb is not here"
export XDG_CACHE_HOME=$T/cache T
mkdir -p "$T/top/patches/9.9" "$T/bin" "$T/deb/DEBIAN" "$T/deb/usr/src"
cp -R "$TOP/scripts" "$T/top/"
# Only the group that has the source, and in it only the source.
sed -i '/^	build	/d' "$T/top/scripts/deps.sh"
head -c 3000000 /dev/urandom >"$T/deb/usr/src/linux-source-9.9.tar.xz"
printf '%s\n' "Package: linux-source-9.9" "Version: 9.9.1-1" "Architecture: all" "Maintainer: m" "Description: d" >"$T/deb/DEBIAN/control"
dpkg-deb -b "$T/deb" "$T/source.deb" >/dev/null
touch "$T/keyring"
sed -i "s,^KEYRING=.*,KEYRING=$T/keyring," "$T/top/scripts/source/archive.sh"

program() {
	printf '#!/bin/bash\n%s\n' "$2" >"$T/bin/$1"
	chmod +x "$T/bin/$1"
}
# apt with and without a network; `says` chooses its answers.
program apt-get 'echo "$*" >>"$T/asked"
case "$*" in
*indextargets*) printf "%s\n" "Debian http://mirror/debian" "Debian-Security http://mirror/security" ;;
*update*)
	if [[ -e $T/no-network ]]; then
		echo "E: Could not resolve a name" >&2
		exit 100
	fi
	list=$(sed "s/.*sourcelist=\([^ ]*\).*/\1/" <<<"$*")
	[[ ! -e $T/suite-gone ]] || ! grep -q backports "$list" || exit 100
	[[ ! -e $T/last-fails || $(wc -l <"$list") == 1 ]] || { echo "E: Connection failed" >&2; exit 100; }
	;;
*download*)
	[[ -e $T/no-download ]] && { printf "E: %s\n" "Some index files" "Failed to fetch it" >&2; exit 100; }
	! flock -n "$T/cache/exit_cycles/source.lock" true || echo unlocked >>"$T/asked"
	cp "$T/source.deb" .
	;;
esac'
program apt-cache '[[ $* != *madison* || -e $T/no-package ]] ||
	printf " linux-source-%s | somewhere\n" "9.9-rt | 9.9.2-1" "9.9 | 9.9.1-1" "9.9 | 9.9.0-1"'
PATH=$T/bin:$PATH

source_of() {
	run "$T/top/scripts/source/fetch.sh" -k 9.9
}
# left: prints the files in the cache's folder of sources.
left() {
	(cd "$T/cache/exit_cycles/source" 2>/dev/null && echo *)
}
forget() {
	rm -rf "$T/cache/exit_cycles/source" "$T/cache/exit_cycles/apt"
}

touch "$T/no-network"
source_of
like "no network: one line" "$status:$(grep -v '^\[' <<<"$err")" \
	"^1:fetch.sh: Debian's archive cannot be read: E: Could not resolve a name$"
rm "$T/no-network"

touch "$T/no-package"
: >"$T/asked"
source_of
like "and no list: the next one is read again, and an error in any is one" "$(<"$T/asked")" 'APT::Update::Error-Mode=any update'
is "an archive without the package: 3, and one line" "$status:$(grep -v '^\[' <<<"$err")" \
	"3:fetch.sh: linux-source-9.9: no longer in Debian's archive, so Linux 9.9 is skipped"
run "$T/top/scripts/deps.sh" build
is "where packages are installed it is said, and no error" "$status:$(grep -v '^\[' <<<"$err")" \
	"0:fetch.sh: linux-source-9.9: no longer in Debian's archive, so Linux 9.9 is skipped"
is "and the tests know it" "$(bash -c 'TOP=$T/top CACHE=$T/cache/exit_cycles; . "$TOP/scripts/source/kernels.sh"; gone 9.9; available')" \
	"linux-source-9.9: no longer in Debian's archive, so Linux 9.9 is skipped"
touch "$T/cache/exit_cycles/source/linux-source-9.9.tar.xz"
is "unless it has come another way" "$(bash -c 'TOP=$T/top CACHE=$T/cache/exit_cycles; . "$TOP/scripts/source/kernels.sh"; gone 9.9 || available')" 9.9
rm "$T/no-package" "$T/cache/exit_cycles/source/linux-source-9.9.tar.xz"

touch "$T/no-download"
source_of
like "a download that fails: one line" "$status:$(grep -v '^\[' <<<"$err")" \
	'^1:fetch.sh: linux-source-9.9: cannot be fetched: E: Failed to fetch it$'
is "and nothing of it stays" "$(left)" linux-source-9.9.gone
run "$T/top/scripts/deps.sh" build
is "where packages are installed, too" "$status" 1
rm "$T/no-download"

# The disk becomes full while the package is unpacked.
if ((EUID == 0)) && mkdir -p "$T/cache/exit_cycles/source" && mount -t tmpfs -o size=5m tmpfs "$T/cache/exit_cycles/source" 2>/dev/null; then
	source_of
	left=$(left)
	umount "$T/cache/exit_cycles/source"
	like "a full disk: one line" "$status:$(grep -v '^\[' <<<"$err")" '^1:fetch.sh: .*cannot be unpacked \(is there space in '
	is "and no half of it stays" "$left" '*'
else
	skip "a full disk" "only root can mount a small one"
fi

forget
touch "$T/suite-gone"
source_of
is "a suite that has moved away is left out" "$status:$out" "0:$T/cache/exit_cycles/source/linux-source-9.9.tar.xz"
rm "$T/suite-gone"
forget
touch "$T/suite-gone" "$T/last-fails"
source_of
like "a network that fails in the end: one line" "$status:$(grep -v '^\[' <<<"$err")" \
	"^1:fetch.sh: Debian's archive cannot be read: E: Connection failed$"
rm "$T/suite-gone" "$T/last-fails"
source_of
is "and the lists are not taken for new ones" "$status:$(grep -c 'reading the lists' <<<"$err")" 0:1

forget
touch "$T/no-package"
source_of
rm "$T/no-package"
: >"$T/asked"
# what a fetch leaves that SIGKILL has ended
mkdir "$T/cache/exit_cycles/source/linux-source-9.9.new"
touch "$T/cache/exit_cycles/source/linux-source-9.9.new/linux-source-9.9_9.9.0-1.deb"
source_of
is "else: it is there" "$status:$out" "0:$T/cache/exit_cycles/source/linux-source-9.9.tar.xz"
unlike "with lists that are younger than an hour" "$(<"$T/asked")" ' update'
unlike "and no other process does it at the same time" "$(<"$T/asked")" unlocked
ok "byte for byte" cmp "$T/deb/usr/src/linux-source-9.9.tar.xz" "$out"
is "nothing else is" "$(left)" "linux-source-9.9.tar.xz linux-source-9.9.version"
is "it is of the newest version" "$(<"$T/cache/exit_cycles/source/linux-source-9.9.version")" 9.9.1-1
is "nothing was installed" "$(grep -w install "$T/asked")" ''
is "every look at the archive is with lists of our own" \
	"$(grep -v indextargets "$T/asked" | grep -vc "Dir::State::lists=$T/cache/exit_cycles/apt/lists")" 0
like "signatures are checked" "$(<"$T/cache/exit_cycles/apt/sources.list")" "^deb \\[signed-by=$T/keyring\\] "
is "each suite comes from this machine's mirror of it" "$(awk '{ print $4, $3 }' "$T/cache/exit_cycles/apt/sources.list" | grep ^bookworm)" \
	$'bookworm http://mirror/debian\nbookworm-security http://mirror/security\nbookworm-backports http://mirror/debian'
is "without a mirror, from Debian's own servers" "$(bash -c 'apt-get() { :; }; . "$0"; sources bookworm bookworm-security' "$T/top/scripts/source/archive.sh" | awk '{ print $4, $3 }')" \
	$'bookworm http://deb.debian.org/debian\nbookworm-security http://deb.debian.org/debian-security'
: >"$T/asked"
source_of
is "again: nothing is asked" "$status:$out:$(<"$T/asked")" "0:$T/cache/exit_cycles/source/linux-source-9.9.tar.xz:"
run "$T/top/scripts/deps.sh" build
is "nor where packages are installed" "$status:$err:$(<"$T/asked")" 0::

# --- stock.sh: Debian's own kernel, of the version of the source

mkdir -p "$T"/{image/DEBIAN,image/boot,headers/DEBIAN,headers/usr/src} "$T/image/lib/modules/9.9.1-amd64/kernel"
touch "$T/image/lib/modules/9.9.1-amd64"/{kernel/{kvm,kvm-intel,kvm-amd,irqbypass,dummy}.ko,modules.{builtin,builtin.modinfo,order}}
echo kernel >"$T/image/boot/vmlinuz-9.9.1-amd64"
echo CONFIG_A=y >"$T/image/boot/config-9.9.1-amd64"
touch "$T/headers/usr/src/Makefile"
for name in image headers; do
	sed "s/linux-source-9.9/linux-$name/" "$T/deb/DEBIAN/control" >"$T/$name/DEBIAN/control"
	dpkg-deb -b "$T/$name" "$T/$name.deb" >/dev/null
done
cp "$T/bin/apt-cache" "$T/apt-cache"
program apt-cache 'echo "$*" >>"$T/asked"
case "$*" in
*search*) printf "%s - headers\n" linux-headers-9.9.{1-cloud-amd64,2-amd64,1-amd64} ;;
*madison*headers*) printf " linux-headers-%s | somewhere\n" "9.9.1-cloud-amd64 | 9.9.1-1" "9.9.2-amd64 | 9.9.2-1" "9.9.1-amd64 | 9.9.1-1" "9.9.1-amd64 | 9.9.1-1" ;;
*madison*image*) [[ -e $T/not-signed ]] || echo " linux-image-9.9.1-amd64 |  9.9.1-1 | somewhere" ;;
*madison*) echo " linux-kbuild-9.9.1 |  9.9.1-1 | somewhere" ;;
*"show linux-headers-9.9.1-amd64="*) echo "Depends: linux-kbuild-9.9.1 (>= 1), gcc-12, linux-image-9.9.1-amd64 (= 1) | linux-image-9.9.1-amd64-unsigned" ;;
esac'
cp "$T/bin/apt-get" "$T/apt-get"
program apt-get 'echo "$*" >>"$T/asked"
for word; do
	case $word in
	linux-image-*=*) cp "$T/image.deb" "$word.deb" ;;
	linux-*=*) cp "$T/headers.deb" "$word.deb" ;;
	esac
done'
program depmod 'printf "kernel/%s\n" "kvm.ko: kernel/irqbypass.ko" "irqbypass.ko:" "dummy.ko:" \
	kvm-{amd,intel}.ko:" kernel/kvm.ko kernel/irqbypass.ko" >"$2/lib/modules/$3/modules.dep"
[[ ! -e $T/no-kvm ]] || : >"$2/lib/modules/$3/modules.dep"'
stock() {
	: >"$T/asked"
	run "$T/top/scripts/source/stock.sh" -k 9.9
}
touch "$T/no-kvm"
stock
is "a stock kernel without KVM is none" "$status:$(grep -v '^\[' <<<"$err")" '1:stock.sh: linux-image-9.9.1-amd64: has no KVM'
rm "$T/no-kvm"
stock
is "a stock kernel: its folder, of that version and flavour" "$status:$out:$(cat "$out/version")" "0:$T/cache/exit_cycles/stock/9.9.1-amd64:9.9.1-amd64"
is "what is fetched: its packages, and those that they need" "$(grep -o 'download .*' "$T/asked")" \
	'download linux-headers-9.9.1-amd64=9.9.1-1 linux-image-9.9.1-amd64=9.9.1-1 linux-kbuild-9.9.1=9.9.1-1'
is "for the lab: the modules of KVM, and those that they need" "$(<"$out/lab/bzImage"):$(cd "$out/lab/lib/modules/9.9.1-amd64/kernel" && echo *)" \
	'kernel:irqbypass.ko kvm-amd.ko kvm-intel.ko kvm.ko'
is "and what depmod and modprobe read" "$(cd "$out/lab/lib/modules/9.9.1-amd64" && echo modules*)" 'modules.builtin modules.builtin.modinfo modules.dep modules.order'
is "for a build: the headers, and the configuration" "$(cd "$out/headers" && find . -type f | sort | xargs)" './boot/config-9.9.1-amd64 ./usr/src/Makefile'
stock
is "again: nothing is asked" "$status:$out:$(<"$T/asked")" "0:$T/cache/exit_cycles/stock/9.9.1-amd64:"
(cd "$T/cache/exit_cycles/stock" && mv 9.9.1-amd64 9.9.0-amd64 && echo older >9.9.0-amd64/key && ln -sfn 9.9.0-amd64 9.9-amd64)
stock
stock
is "a newer one takes the place of an older one" "$status:$out:$(<"$T/asked")" "0:$T/cache/exit_cycles/stock/9.9.1-amd64:"
rm -r "$T/cache/exit_cycles/stock"
touch "$T/not-signed"
stock
is "one that Debian has not signed yet: without a signature" "$status:$(grep -o 'download .*' "$T/asked")" \
	'0:download linux-headers-9.9.1-amd64=9.9.1-1 linux-image-9.9.1-amd64-unsigned=9.9.1-1 linux-kbuild-9.9.1=9.9.1-1'
rm -r "$T/not-signed" "$T/cache/exit_cycles/stock"
program apt-cache ''
stock
like "one that Debian no longer has: 3, and one line" "$status:$out:$err" "^3::stock.sh: Debian's archive no longer has a linux-image of version 9.9.1-1[^"$'\n'"]*\$"
cp "$T/apt-cache" "$T/apt-get" "$T/bin/"

mkdir -p "$T"/order/patches/{6.12,6.2,7.3,10.1}
is "kernels come in the order of their versions, and the first is the default" \
	"$(bash -c 'TOP=$T/order CACHE=$T/none; . "$0/scripts/source/kernels.sh"; echo "$KERNELS $(default_kernel)"' "$TOP")" '6.2 6.12 7.3 10.1 6.2'
# a source that no package of dpkg's has brought
sed "s,/usr/src/,$T/," "$T/top/scripts/source/kernels.sh" >"$T/kernels.sh"
version_of() { bash -c 'TOP=$T/top CACHE=$T/none; . "$T/kernels.sh"; source_version 9.9'; }
touch "$T/linux-source-9.9.tar.xz"
version=$(version_of)
is "a source without a package: the same version, as long as it is the same" "$(version_of)" "$version"
touch -d yesterday "$T/linux-source-9.9.tar.xz"
ok "and another one has another" test -n "$version" -a "$(version_of)" != "$version"
run "$T/top/scripts/source/fetch.sh" -k 5.10
is "no such kernel: refused" "$status:$err" "1:fetch.sh: -k 5.10: no such kernel (one of: 9.9)"
run "$T/top/scripts/source/stock.sh" -k 5.10
is "nor its stock kernel" "$status:$err" "1:stock.sh: -k 5.10: no such kernel (one of: 9.9)"
run "$TOP/scripts/on.sh" potato true
like "a release nobody knows: one line" "$status:$err" '^125:on.sh: (potato: no such release|only root|debootstrap: not found)[^'$'\n'']*$'
done_testing
