# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# kernels.sh - the kernels for which there are patches, and the place of Debian's source of
# each. Sourced by scripts and tests after they have set TOP and CACHE.
#
# Sets: KERNELS, the folders of patches/.

mapfile -t folders < <(cd "$TOP/patches" && printf '%s\n' [0-9]*/ | tr -d / | sort -V)
# shellcheck disable=SC2034 # read by those who source this file
KERNELS="${folders[*]}"
unset folders

# series_of VERSION: prints the folder in KERNELS for a Debian kernel whose uname -r is VERSION;
# nothing if there is none.
series_of() {
	local kernel
	for kernel in $KERNELS; do
		[[ $1 != "$kernel".*-amd64 ]] || echo "$kernel"
	done
}

# tarball KERNEL: prints the path of the source: the installed package's, else the place where
# fetch.sh puts it.
tarball() {
	local installed=/usr/src/linux-source-$1.tar.xz
	if [[ -f $installed ]]; then
		echo "$installed"
	else
		echo "$CACHE/source/linux-source-$1.tar.xz"
	fi
}

# source_version KERNEL: prints the version of the package from which the tarball comes.
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

# gone KERNEL: prints in one line why Debian no longer has its source. Fails if it has.
gone() {
	[[ ! -f $(tarball "$1") ]] && cat "$CACHE/source/linux-source-$1.gone" 2>/dev/null
}

# available: prints the KERNELS that are not gone, one a line; the first is the default.
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

# defines FILE: prints a kernel's configuration (FILE is a config or an autoconf.h) in the
# form of autoconf.h, without the symbols that Debian leaves out of the config beside an image.
defines() {
	sed -n -e 's/^\(CONFIG_[^=]*\)=y$/#define \1 1/' -e 's/^\(CONFIG_[^=]*\)=m$/#define \1_MODULE 1/' \
		-e 's/^\(CONFIG_[^=]*\)=/#define \1 /' -e 's/ 0x0$/ 0/' \
		-e '/CONFIG_\(BUILD_SALT\|MODULE_SIG_ALL\|MODULE_SIG_KEY\|SYSTEM_TRUSTED_KEYS\) /d' -e '/^#define /p' "$1" | sort
}
