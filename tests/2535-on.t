#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: on.sh runs a command in a clone of the last commit, on another release, with the
# command's status. The release's root is made once, completely or not at all, and the clone
# does not stay. The test has stand-ins for debootstrap and chroot. (3701 has the real ones.)
# shellcheck disable=SC2016 # the stand-ins expand it
. "${BASH_SOURCE[0]%/*}/lib.sh"

as=()
((EUID == 0)) || as=("$(type -P unshare)" -r)
"${as[@]}" true 2>/dev/null || skip_all "neither root nor a user namespace"
export XDG_CACHE_HOME=$T/cache T
mkdir -p "$T"/{bin,top/scripts,scripts,dir}
cp -R "$TOP"/scripts/{on.sh,common.sh,source} "$T/top/scripts/"
sed -i "s,/usr/share/debootstrap,$T," "$T/top/scripts/on.sh"
touch "$T"/scripts/{trixie,sid}
program() {
	printf '#!/bin/bash\n%s\n' "$2" >"$T/bin/$1"
	chmod +x "$T/bin/$1"
}
program apt-get ''
program apt-config 'echo "Acquire::http::Proxy \"http://proxy\";"'
program debootstrap 'echo "$*" >>"$T/made"
root=${@: -2:1}
mkdir -p "$root"/{etc/{apt/apt.conf.d,systemd/system,initramfs-tools/conf.d},tmp,proc,dev,sys,boot,usr/local/sbin}
touch "$root"/boot/{vmlinuz-6.1,initrd.img-6.1}
[[ ! -e $T/broken ]] || { echo "E: no mirror"; exit 1; }'
program setpriv 'shift 2; exec "$@"'
program unshare 'while [[ $1 == --* ]]; do shift; done; exec "$@"'
program mount 'echo "$*" >>"$T/mounted"'
program chroot '[[ $2 == sh ]] || { echo "${*:2}" >>"$T/made"; [[ ! -e $T/broken || $2 != update-initramfs ]]; exit; }
exec sh -c "${4/cd /cd $1}" "${@:5}"'
PATH=$T/bin:$PATH
cd "$T/top"
echo committed >file
git init -q .
git -c user.name=n -c user.email=e add . && git -c user.name=n -c user.email=e@e commit -qm one
echo changed >file

on() {
	: >"$T/made"
	run env --default-signal=INT "${as[@]}" "$T/top/scripts/on.sh" "$@"
	err=$(grep -v '^\[' <<<"$err" || :)
}
root=$T/cache/exit_cycles/on/trixie

touch "$T/broken"
on trixie true
like 'a root that cannot be made: 125, and one line' "$status:$err" '^125:on.sh: debootstrap trixie failed: E: no mirror \([^'$'\n'']*$'
ok 'half a root is none' test ! -e "$root"
touch "$root.new/half"
rm "$T/broken"
on trixie sh -c 'cat file; echo "$ON_RELEASE ${PWD##*/}"; exit 7'
is "the command's status and output, in a clone of the commit" "$status:$err:$out" $'7::committed\ntrixie exit_cycles'
like 'the root was made now' "$(<"$T/made")" "trixie ${root}[.]new http"
ok 'without what an interrupted one has left' test ! -e "$root/half"
is 'with the names of hosts' "$(cmp /etc/hosts "$root/etc/hosts" && echo same)" same
is 'and what programs expect to be mounted' "$(sed "s,$root,," "$T/mounted" | paste -sd,)" '-t proc proc /proc,--rbind /dev /dev,--rbind /sys /sys'
like 'with this machine'\''s proxy' "$(cat "$root/etc/apt/apt.conf.d/90proxy")" '"http://proxy"'
is 'the clone does not stay' "$(ls "$root/tmp")" ''
is 'apt there has the updates, too' "$(sed 's,http://[^ ]*,MIRROR,' "$root/etc/apt/sources.list" | paste -sd,)" \
	'deb MIRROR trixie main,deb MIRROR trixie-updates main,deb MIRROR trixie-security main'
no_proxy=here https_proxy=http://proxy:3128 on trixie sh -c 'echo "$https_proxy $no_proxy $T"'
is 'the command has the proxy of the environment, and nothing else of it' "$status:$out" '0:http://proxy:3128 here '
on -b "$T/dir" trixie true
is 'again: not made again' "$status:$(<"$T/made")" 0:
like '-b: is there' "$(<"$T/mounted")" "--bind $T/dir $root$T/dir"
ok '-b: its place is made' test -d "$root$T/dir"
cd "$T"
on -b dir trixie true
like '-b: of a relative name' "$status:$(tail -n 1 "$T/mounted")" "^0:--bind $T/dir $root$T/dir\$"
cd "$T/top"
on -b "$T/none" trixie true
is '-b: no such folder' "$status:$err" "125:on.sh: -b $T/none: No such folder"
on sid true
is 'a release without one of the kernels' "$status:$err" '125:on.sh: sid: no such release (one of: bookworm trixie)'
on bookworm true
is 'a release that this debootstrap does not know' "$status:$err:$(<"$T/made")" '125:on.sh: bookworm: no such release (one of: bookworm trixie):'
mv .git .gone
on trixie true
like 'a checkout that cannot be cloned' "$status:$err:$(find "$root/tmp" -name "clone*")" "^125:.*on.sh: $T/top: cannot be cloned:\$"
mv .gone .git
for signal in INT:130 TERM:143; do
	on trixie sh -c "kill -${signal%:*} \$(cut -d' ' -f4 /proc/\$PPID/stat); sleep 1"
	is "SIG${signal%:*}: its status, and no clone" "$status:$(find "$root/tmp" -name "clone*")" "${signal#*:}:"
done
on trixie
is 'no command' "$status:$err" '125:on.sh: RELEASE and COMMAND? (-h shows the usage)'

# --- the Debian of a VM is made once, too, and again if the script has changed

mkdir "$T/top/scripts/guest"
sed "s,/usr/share/debootstrap,$T,; s,/etc/os-release,$T&,; s,^make_guest() {,&\n\techo guest >>\"\$T/made\"; mkdir -p \"\$dir\"; echo \"\$key\" >\"\$dir/key\"; return," \
	"$TOP/scripts/guest/debian.sh" >"$T/top/scripts/guest/debian.sh"
guest() {
	: >"$T/made"
	run "${as[@]}" bash "$T/top/scripts/guest/debian.sh" "$@"
}
guest trixie
is 'a guest: its folder' "$status:$err:$out:$(<"$T/made")" "0::$T/cache/exit_cycles/guest/trixie:guest"
guest trixie
is 'a guest: again' "$status:$out:$(<"$T/made")" "0:$T/cache/exit_cycles/guest/trixie:"
echo '# a change' >>"$T/top/scripts/guest/debian.sh"
guest trixie
is 'a guest: by another script, made anew' "$status:$(<"$T/made")" 0:guest
# its parts, with stand-ins for what makes the file systems
program mke2fs 'for word; do
	[[ $word != */disk ]] || touch "$word"
	[[ $word != */root ]] || { rm -rf "$T/guest"; cp -R "$word" "$T/guest"; }
done'
sed "s,/usr/share/debootstrap,$T," "$TOP/scripts/guest/debian.sh" >"$T/top/scripts/guest/whole.sh"
rm -r "$T/cache/exit_cycles/guest"
whole() { run "${as[@]}" bash "$T/top/scripts/guest/whole.sh" trixie; }
touch "$T/broken"
program debootstrap "$(sed '1d; /broken/d' "$T/bin/debootstrap")"
whole
like 'a guest: one that cannot be set up is none' "$status:$(ls "$T/cache/exit_cycles/guest"):$err" '^1:trixie.lock.trixie.log.trixie.new:.*whole.sh: the guest cannot be set up'
rm "$T/broken"
: >"$T/made"
touch "$T/cache/exit_cycles/guest/trixie.new/half"
whole
is 'a guest: made anew, with all of its files' "$status:$(cd "$out" && echo *):$(<"$out/append")" '0:append disk initrd key vmlinuz:root=/dev/vda rw console=ttyS0'
is 'a guest: its name, and its disk' "$(cd "$T/guest/etc" && cat hostname hosts fstab initramfs-tools/{conf.d/,}modules | paste -sd,):$(wc -c <"$T/guest/etc/machine-id")" \
	'guest,127.0.1.1 guest,/dev/vda / ext4 defaults 0 0,MODULES=list,virtio_pci,virtio_blk:33'
is 'a guest: it looks at its second disk, and root needs no password' "$(sed 1d "$T/made" | paste -sd,)" \
	'systemctl -q enable seed.service,systemctl -q mask serial-getty@hvc0.service,passwd -q -d root,update-initramfs -u'
guest sid
like 'a guest: of no release that is known' "$status:$err" '^1:debian.sh: sid: no release that is known here'
mkdir "$T/etc"
echo VERSION_CODENAME=sid >"$T/etc/os-release"
guest
like 'a guest: nor is this machine of one' "$status:$err" '^1:debian.sh: sid: no release that is known here'
guest trixie sid
like 'a guest: of one release only' "$status:$err" '^1:debian.sh: sid: not understood'
mkdir "$T/few"
for name in bash cat dirname env grep paste tr; do ln -s "$(type -P $name)" "$T/few/"; done
sed -i "s,^PATH+=.*,PATH=$T/few," "$T"/top/scripts/{guest/debian,on}.sh
guest trixie
is 'a guest: no debootstrap here' "$status:$err" '1:debian.sh: debootstrap: not found (scripts/deps.sh test)'
on trixie true
is 'no debootstrap here' "$status:$err" '125:on.sh: debootstrap: not found (scripts/deps.sh test)'

done_testing
