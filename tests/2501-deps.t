#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: deps.sh asks apt-get for exactly the missing packages, and tries again with new
# lists. If there is no apt-get, or no right to use it, one line names the missing packages.
# If nothing is missing, it does nothing. Services of the packages do not stay.
# shellcheck disable=SC2016 # the programs made here expand it themselves
. "${BASH_SOURCE[0]%/*}/lib.sh"

export XDG_CACHE_HOME=$T/cache
mkdir "$T/bin"
for program in awk basename bash cat dirname env grep head mkdir printf sed sort tail touch tr uname xargs; do
	ln -s "$(type -P "$program")" "$T/bin/"
done

# program NAME LINE...: makes a program that deps.sh finds in place of the machine's.
program() {
	rm -f "$T/bin/$1"
	printf '#!/bin/bash\n' >"$T/bin/$1"
	printf '%s\n' "${@:2}" >>"$T/bin/$1"
	chmod +x "$T/bin/$1"
}

deps() {
	: >"$T/asked"
	run env -u DEBIAN_FRONTEND PATH="$T/bin" T="$T" "$TOP/scripts/deps.sh" "$@"
}

# all packages but flex and bochs-term are installed, until apt-get has been asked.
machine='for name; do
	[[ $name != -* && $name != *Package* ]] || continue
	# flex was removed, and its settings are still there
	[[ $name != flex || -e $T/installed ]] || { echo "$name deinstall ok config-files"; continue; }
	[[ $name != bochs-term || -e $T/installed ]] || continue
	echo "$name install ok installed"
done'
program dpkg-query "$machine"
program apt-get 'echo "$DEBIAN_FRONTEND $*" >>"$T/asked"
case "$*" in
*update*) touch "$T/updated" ;;
*) [[ -e $T/updated ]] && touch "$T/installed" ;;
esac'
# apt knows all packages that the file unknown does not name
program apt-cache '[[ " $(cat "$T/unknown" 2>/dev/null) " == *" $2 "* ]] || printf "%s:\n  Candidate: 1\n" "$2"'
program sudo '"$@"'

deps
is "what is missing is installed at the second try" "$status" 0
is "after new lists, asked for once" "$(grep -c update "$T/asked")" 1
like "just that, without recommended packages and questions, even if apt is at work" "$(tail -n 1 "$T/asked")" \
	'^noninteractive .*-y .*DPkg::Lock::Timeout=[0-9]+ install --no-install-recommends bochs-term flex$'
like "and said so" "$err" 'installing bochs-term flex$'
deps
is "nothing missing: nothing said" "$status $out $err" '0  '
is "and nothing asked" "$(<"$T/asked")" ''

rm "$T/installed"
deps tool lint
is "groups: what others miss is not their matter" "$status $(<"$T/asked")" '0 '
deps build
like "groups: their own is" "$(tail -n 1 "$T/asked")" ' flex$'
rm -f "$T/installed"
program dpkg-query "${machine//bochs-term/shellcheck}"
deps
like "without groups: what builds, tests and lint need" "$(tail -n 1 "$T/asked")" ' flex shellcheck$'
rm -f "$T/installed"
program dpkg-query "${machine//bochs-term/linux-source-6.12}"
program uname 'echo 6.12.1-1-amd64'
deps host
like "host: the source of the kernel that runs" "$(tail -n 1 "$T/asked")" ' install [^ ]* linux-source-6.12$'
program uname 'echo 5.10.1-1-amd64'
deps host
is "host: none, if that has no patches" "$status:$(<"$T/asked")" 0:
rm -f "$T/installed"
program dpkg-query "${machine//bochs-term/bochs}"
deps lab
like "a package of which another's name begins with its own" "$(tail -n 1 "$T/asked")" ' install [^ ]* bochs$'
rm "$T/bin/uname"
ln -s "$(type -P uname)" "$T/bin/"
program dpkg-query "$machine"
deps nonsense
is "no such group" "$status $err" '1 deps.sh: nonsense: no such group (build lab tool test lint bench clang plot report host)'
for part in to est; do
	deps $part
	like "nor is a part of one: $part" "$status:$err" "^1:deps.sh: $part: no such group"
done

# Packages that have another name here, or do not exist.
rm "$T/installed"
program dpkg-query 'for name; do
	[[ $name != -* && $name != *Package* && $name != libclang-rt* && $name != flex && $name != gcc-14 ]] || continue
	echo "$name install ok installed"
done'
deps test
like "the first of two names, where both are known" "$(tail -n 1 "$T/asked")" ' libclang-rt-dev$'
echo "gcc-14" >"$T/unknown"
deps host
is "an optional one that is unknown here is left out" "$status $err" '0 '
echo "libclang-rt-dev" >"$T/unknown"
deps test
like "the second of two names, where the first is unknown" "$(tail -n 1 "$T/asked")" ' libclang-rt-14-dev$'
echo "flex" >"$T/unknown"
deps build
is "a name that is unknown here: 1" "$status" 1
like "and which it is, in one line" "$(tail -n 1 <<<"$err")" '^deps.sh: flex: apt-get does not know these packages here, please install'
: >"$T/unknown"
cp "$T/bin/apt-cache" "$T/apt-cache"
rm -f "$T/installed" "$T/updated"
program apt-cache '[[ ! -e $T/updated ]] || printf "%s:\n  Candidate: 1\n" "$2"'
deps build
like "a name that only new lists have" "$status:$(tail -n 1 "$T/asked")" '^0:.* install [^ ]* flex$'
rm -f "$T/installed"
program apt-cache 'printf "%sx:\n  Candidate: 1\n" "$2"'
deps build
like "an answer about another name is none: apt takes a dot for any character" "$status:$(tail -n 1 <<<"$err")" '^1:deps.sh: flex: apt-get does not know these packages'
program apt-cache 'printf "%s:\n  Candidate: (none)\n" "$2"'
deps build
like "nor is one without a version" "$status:$(tail -n 1 <<<"$err")" '^1:deps.sh: flex: apt-get does not know these packages'
cp "$T/apt-cache" "$T/bin/"
program dpkg-query "$machine"

# Services that come with a package do not stay; here, systemd runs if the folder is there.
mkdir "$T/run"
cp -R "$TOP/scripts" "$TOP/patches" "$T/"
sed -i "s,/run/systemd/system,$T/run," "$T/scripts/deps.sh"
program dpkg-query 'for name; do
	[[ $name == -* || $name == *Package* || $name == prometheus* ]] || echo "$name install ok installed"
done'
program systemctl 'echo "$*" >>"$T/asked"; exit "$(cat "$T/status")"'
# services: installs the group test with systemd, and prints what it is asked.
services() {
	: >"$T/asked"
	run env PATH="$T/bin" T="$T" "$T/scripts/deps.sh" test
}
echo 0 >"$T/status"
services
is "services: each is stopped, now and at the next boot" "$status:$(grep -v install "$T/asked" | paste -sd,)" \
	'0:-q disable --now prometheus,-q disable --now prometheus-node-exporter'
echo 1 >"$T/status"
services
like "services: one that cannot be stopped is told" "$status:$err" '^0:.*prometheus runs as a service now'
rmdir "$T/run"
services
is "services: none without systemd" "$status:$(grep -vc install "$T/asked")" 0:0
rm "$T/bin/sudo"
sed -i 's/EUID == 0/0/' "$T/scripts/deps.sh"
program dpkg-query 'for name; do
	[[ $name == -* || $name == *Package* || $name == libclang-rt* ]] || echo "$name install ok installed"
done'
services
is "not root and no sudo: what to run, in one line" "$status:$err:$(<"$T/asked")" \
	'1:deps.sh: not root and no sudo, please run: apt-get install libclang-rt-dev:'
program sudo '"$@"'
program dpkg-query "$machine"

rm -f "$T/installed"
program apt-get 'echo "E: no network"; exit 100'
deps build; deps build
is "apt-get fails" "$status" 1
like "and its last words are shown" "$err" $'E: no network\ndeps.sh: apt-get could not install flex'
is "of this run alone" "$(grep -c network "$T/cache/exit_cycles/deps.log")" 2
echo flex >"$T/unknown"
deps build
like "new lists cannot be had, and a name is unknown: which" "$status:$(tail -n 1 <<<"$err")" '^1:deps.sh: flex: apt-get does not know these packages'
: >"$T/unknown"

rm "$T/bin/apt-get"
deps
is "no apt-get: 1" "$status" 1
is "and what is missing, in one line" "$err" \
	"deps.sh: no apt-get here, please install: bochs-term flex (Debian's names)"

program dpkg-query 'for name; do
	[[ $name == -* || $name == *Package* || $name == linux-* || $name == gcc-14 ]] || echo "$name install ok installed"
done'
deps bench host
like "of two names the first, and without a mark" "$err" "please install: gcc-14 linux-perf( linux-source-[^ ]*)? \\(Debian's names\\)$"

rm "$T/bin/dpkg-query"
deps lint
like "no dpkg either: looked for by what they bring" "$err" \
	"please install: .*shellcheck.* \(Debian's names\)"
ln -s "$(type -P perl)" "$T/bin/"
program shellcheck
deps lint
unlike "and found by that" "$err" 'perl|shellcheck'

# A test that is skipped without a program must find this program after make test.
skips=$(grep -ho 'command -v [a-z-]* >/dev/null || skip_all' "$TOP"/tests/*.t | awk '{ print $3 }' | sort -u)
like 'some tests are skipped without a program' "$skips" valgrind
for program in $skips; do
	ok "the group test has $program" grep -q "^	test	.*	$program\$" "$TOP/scripts/deps.sh"
done

# The same is true for what a test brings into its lab. What is essential, each Debian has.
essential="bash chrt find flock ldd setpriv"
brought=$(grep -ohE "type -P [a-z0-9_-]+\)\"" "$TOP"/tests/{,stress/}[34]*.t | sed "s/.* //; s/).*//" | sort -u)
for program in $brought; do
	[[ " $essential " != *" $program "* ]] || continue
	ok "the groups lab and test have $program" grep -qE "^	(lab|test)	.*	$program$" "$TOP/scripts/deps.sh"
done

# Nor does a machine of the lab start without its firmware.
roms=$(grep -o "/usr/[^ ,]*" "$TOP/scripts/lab/machines.sh" | sort -u)
is "deps.sh looks for each file of the machines, where they look" "$(wc -w <<<"$roms"):$(grep -vxFf <(awk '$1 == "lab" { print $3 }' "$TOP/scripts/deps.sh") <<<"$roms")" 4:

# Nothing is installed: each group asks for all of its packages. (Which kernels there are is
# not of interest.)
program dpkg-query ''
program apt-get 'echo "$*" >>"$T/asked"'
: >"$T/unknown"
# whole GROUP PACKAGES
whole() {
	deps "$1"
	is "all of the group $1" "$(sed -n 's/.*--no-install-recommends //p' "$T/asked" | sed 's/linux-source-[^ ]* *//g; s/ $//')" "$2"
}
deps build
is 'and the sources of all kernels' "$(grep -o 'linux-source-[^ ]*' "$T/asked" | sed 's/.*-//' | sort -V | xargs)" "$KERNELS"
whole build 'bc bison cpio debian-archive-keyring flex gcc git libc6-dev libelf-dev libssl-dev lz4 make perl xz-utils'
whole lab 'bochs bochs-term bochsbios busybox-static cpio cpuid gcc isolinux kmod libc6-dev ovmf qemu-system-x86 seabios syslinux-common vgabios xorriso'
whole tool 'bpftool clang gcc libbpf-dev libc6-dev libmicrohttpd-dev libncurses-dev linux-libc-dev make'
whole test 'busybox-static clang curl debootstrap e2fsprogs gcc git gnuplot-nox jq libclang-rt-dev libxml2-utils linux-perf mandoc perl prometheus prometheus-node-exporter python3 systemd tmux uuid-dev valgrind'
whole lint 'perl shellcheck sparse'
whole bench 'clang gcc git libbpf-dev libc6-dev linux-perf time valgrind'
whole clang 'clang-19 lld-19 llvm-19'
whole plot 'gnuplot-nox'
whole report 'jq'
whole host 'binutils gcc-12 gcc-14 git kmod make openssl pahole xz-utils'

done_testing
