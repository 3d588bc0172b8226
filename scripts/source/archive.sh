# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# archive.sh - reads Debian's archive of every release that has one of our kernels, on any
# release. Sourced after common.sh.
#
# apt gets lists and a configuration of its own, in $CACHE/apt: it does not touch the
# machine's and installs nothing. Debian's keyring checks the signatures.

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
SUITES="bookworm bookworm-security bookworm-backports trixie trixie-security trixie-backports"

# archive get|cache WORD...: runs apt-get or apt-cache. Root's apt would switch to another
# user, who may have no access to the cache; this is turned off.
archive() {
	"apt-$1" -q -o "Dir::Etc::sourcelist=$CACHE/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
		-o Dir::State::status=/dev/null -o "Dir::State::lists=$CACHE/apt/lists" \
		-o "Dir::Cache=$CACHE/apt" -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any "${@:2}"
}

# sources SUITE...: prints lines of a sources.list. They use the mirror from which this
# machine has its own Debian, if there is one.
sources() {
	local suite mirrors mirror
	# shellcheck disable=SC2016 # apt-get expands what stands in quotes
	mirrors=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null)
	for suite; do
		case $suite in
		*-security) mirror=$(sed -n 's/^Debian-Security //p' <<<"$mirrors" | head -n 1) ;;
		*) mirror=$(sed -n 's/^Debian //p' <<<"$mirrors" | head -n 1) ;;
		esac
		[[ $mirror || $suite != *-security ]] || mirror=http://deb.debian.org/debian-security
		echo "deb [signed-by=$KEYRING] ${mirror:-http://deb.debian.org/debian} $suite main"
	done
}

# update_archive: reads new lists, at most once an hour. A suite that has moved is left out.
update_archive() {
	local suite found=() log=$CACHE/apt/log
	type -P apt-get >/dev/null || die "no apt-get here, so Debian's archive cannot be read"
	[[ -f $KEYRING ]] || die "$KEYRING: No such file (apt-get install debian-archive-keyring)"
	[[ $(find "$CACHE/apt/updated" -mmin -60 2>/dev/null) ]] && return 0
	step "reading the lists of Debian's archive"
	mkdir -p "$CACHE/apt/lists/partial"
	# shellcheck disable=SC2086 # a list of words
	sources $SUITES >"$CACHE/apt/sources.list"
	if ! archive get update >"$log" 2>&1; then
		for suite in $SUITES; do
			sources "$suite" >"$CACHE/apt/sources.list"
			! archive get update >>"$log" 2>&1 || found+=("$suite")
		done
		((${#found[@]})) || die "Debian's archive cannot be read: $(grep '^[EW]:' "$log" | tail -n 1)"
		sources "${found[@]}" >"$CACHE/apt/sources.list"
		archive get update >>"$log" 2>&1 || die "Debian's archive cannot be read: $(grep '^[EW]:' "$log" | tail -n 1)"
	fi
	touch "$CACHE/apt/updated"
}

# releases: prints the releases in SUITES.
releases() {
	tr ' ' '\n' <<<"$SUITES" | grep -v -e - | paste -sd' '
}
