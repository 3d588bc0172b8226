# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # shared with lab.sh
# verdict.sh - decides how a lab ended: its exit status, and the part of its log to show.
# Sourced by lab.sh.

# log_since_modules: only data races in the account's code count. A race in other kernel code
# gets another name, which $BAD does not match.
log_since_modules() {
	tr -d '\r\0' <"$tmp/console" | sed -n '/^lab: modules$/,$p' |
		if [[ $debug == kcsan ]]; then
			awk -f "$TOP/scripts/lab/races.awk" "$tmp/symbols" -
		else
			cat
		fi
}

# show_log TEXT: prints TEXT, then the first bad part of the log and the log's end. Before the
# modules were loaded, it takes the whole log.
show_log() {
	echo "$PROGRAM: $*" >&2
	if grep -aq '^lab: modules' "$tmp/console"; then
		log_since_modules
	else
		tr -d '\r\0' <"$tmp/console"
	fi | BAD=$BAD awk '{ line[NR] = $0; if (!bad && $0 ~ ENVIRON["BAD"]) bad = NR }
		END { for (i = 1; i <= NR; i++) if (i > NR - 200 || bad && i >= bad && i < bad + 60) print line[i] }' >&2
	{
		tail -n 5 "$tmp/machine.out"
		grep -a ">>PANIC<<" "$tmp/machine.log" || true
	} >&2 2>/dev/null
}

# tell_races: prints the data races in other kernel code, and how often each was seen.
tell_races() {
	[[ $debug == kcsan ]] || return 0
	log_since_modules | sed -n "s/.*lab: data race of the kernel's own: //p" | sort | uniq -c |
		while read -r times where; do
			echo "$PROGRAM: not the account's: data race in $where ($times)" >&2
		done
}

# judge STATUS: turns the machine's status and log into the lab's status, and exits with it.
judge() {
	local status bad
	tell_races
	judged=1
	if ! { head -c 4096 /dev/zero >"$tmp/full"; } 2>/dev/null; then
		show_log "${tmp%/*}: no space left, so the log is not whole"
		exit $ENDED
	elif grep -aq '^Kernel panic' "$tmp/console"; then
		show_log "the kernel panicked"
		exit $PANIC
	elif (($1 == 124)); then
		show_log "it hung: not done after $seconds s"
		exit $HANG
	fi
	bad=$(log_since_modules | grep -aE "$BAD" | head -n 1 || true)
	if [[ $bad ]]; then
		show_log "the kernel's log has: $bad"
		exit $BAD_LOG
	fi
	status=$(log_since_modules | sed -n 's/^lab: exit //p' | tail -n 1)
	if [[ $status ]]; then
		exit "$status"
	fi
	status=$(log_since_modules | sed -n 's/^lab: failed: //p')
	[[ $status ]] && die "$machine: $status"
	show_log "the machine ended before the command did"
	exit $ENDED
}
