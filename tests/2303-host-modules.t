#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: host-modules.sh takes the kernel's source from a package whose files are
# there, in whatever state dpkg has it amid an upgrade, and of the kernel's very
# version; else it refuses in one line. In a stand-in for /usr/src; nothing is built.
. "${BASH_SOURCE[0]%/*}/lib.sh"

version=6.1.0-1-amd64
headers=$T/usr/src/linux-headers-$version
mkdir -p "$headers/include/generated" "$T/top/scripts" "$T/bin"
sed "s,/usr/src/linux-source-,$T&," "$TOP/scripts/host-modules.sh" >"$T/top/scripts/host-modules.sh"
chmod +x "$T/top/scripts/host-modules.sh"
cp "$TOP/scripts/common.sh" "$T/top/scripts/"
cp -R "$TOP/patches" "$T/top/"
touch "$headers/Module.symvers" "$T/usr/src/linux-source-6.1.tar.xz" "$T/file"
echo "#define UTS_RELEASE \"$version\"" >"$headers/include/generated/utsrelease.h"
echo '#define LINUX_PACKAGE_ID " Debian 6.1.1-1"' >"$headers/include/generated/package.h"
# The programs that a build needs are not what is tried.
for name in gcc make git xz modinfo strip; do
	printf '#!/bin/sh\n' >"$T/bin/$name"
done
# shellcheck disable=SC2016 # the stub expands it
printf '#!/bin/sh\necho "$STATE"\n' >"$T/bin/dpkg-query"
chmod +x "$T"/bin/*

# try "STATE VERSION": that cannot be written to is what comes after all checks.
try() {
	run env STATE="$1" PATH="$T/bin:$PATH" XDG_CACHE_HOME="$T/file" \
		"$T/top/scripts/host-modules.sh" -k "$version" -r "$T"
}
for state in installed unpacked half-configured triggers-awaited triggers-pending; do
	try "$state 6.1.1-1"
	like "$state: taken" "$status:$err" "^1:host-modules.sh: $T/file/[^ ]*: cannot be written to"
done
for state in not-installed config-files half-installed; do
	try "$state 6.1.1-1"
	is "$state: refused" "$status:$err" \
		"1:host-modules.sh: linux-source-6.1: not installed (apt-get install linux-source-6.1=6.1.1-1)"
done
try 'unpacked 6.1.2-1'
like "of another version: refused" "$status:$err" \
	'^1:host-modules.sh: linux-source-6.1 is of 6.1.2-1, the kernel 6.1.0-1-amd64 of 6.1.1-1 \(apt-get install linux-source-6.1=6.1.1-1,'
rm "$T/usr/src/linux-source-6.1.tar.xz"
try 'unpacked 6.1.1-1'
like "without its file: refused" "$status:$err" '^1:host-modules.sh: linux-source-6.1: not installed'

done_testing
