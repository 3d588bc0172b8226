# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# kernels.sh - the kernels that there are patches for, and where Debian's source of
# each is. Sourced by scripts and tests that have set TOP and CACHE.
#
# Sets: KERNELS, the folders of patches/.

mapfile -t folders < <(cd "$TOP/patches" && printf '%s\n' [0-9]*/ | tr -d / | sort -V)
# shellcheck disable=SC2034 # read by those who source this file
KERNELS="${folders[*]}"
unset folders

# series_of VERSION: which of KERNELS a Debian kernel is, by what uname -r prints; or nothing.
series_of() {
	local kernel
	for kernel in $KERNELS; do
		[[ $1 != "$kernel".*-amd64 ]] || echo "$kernel"
	done
}

# tarball KERNEL: the source: of the package where it is installed, else where
# fetch.sh puts it.
tarball() {
	local installed=/usr/src/linux-source-$1.tar.xz
	if [[ -f $installed ]]; then
		echo "$installed"
	else
		echo "$CACHE/source/linux-source-$1.tar.xz"
	fi
}

# source_version KERNEL: of the package that the tarball is of.
source_version() {
	local tar
	tar=$(tarball "$1")
	# shellcheck disable=SC2016 # dpkg-query expands what stands in quotes
	if [[ $tar == "$CACHE"/* ]]; then
		cat "$CACHE/source/linux-source-$1.version"
	else
		dpkg-query -W -f '${Version}\n' "linux-source-$1" 2>/dev/null || stat -c '%s %Y' "$tar"
	fi
}

# gone KERNEL: in one line, why Debian has no source of it any more. Fails where it has.
gone() {
	[[ ! -f $(tarball "$1") ]] && cat "$CACHE/source/linux-source-$1.gone" 2>/dev/null
}

# available: those of KERNELS that are not gone, one a line; the first is the default.
available() {
	local kernel
	for kernel in $KERNELS; do
		gone "$kernel" >/dev/null || echo "$kernel"
	done
}

default_kernel() {
	local all
	all=$(available)
	echo "${all%%$'\n'*}"
}

# defines FILE: a kernel's configuration, config or autoconf.h, as the latter has it; but
# for what Debian leaves out of the one beside an image.
defines() {
	sed -n -e 's/^\(CONFIG_[^=]*\)=y$/#define \1 1/' -e 's/^\(CONFIG_[^=]*\)=m$/#define \1_MODULE 1/' \
		-e 's/^\(CONFIG_[^=]*\)=/#define \1 /' -e 's/ 0x0$/ 0/' \
		-e '/CONFIG_\(BUILD_SALT\|MODULE_SIG_ALL\|MODULE_SIG_KEY\|SYSTEM_TRUSTED_KEYS\) /d' -e '/^#define /p' "$1" | sort
}
