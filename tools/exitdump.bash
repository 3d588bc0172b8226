# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# bash completion for exitdump: options, columns and commands as --help lists
# them, VMs and reasons as they are counted now.

_exitdump_columns() {
	exitdump --help | awk '/^Columns:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }'
}

_exitdump_complete() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words=''
	local head=''
	case $prev in
	-i | --input) mapfile -t COMPREPLY < <(compgen -f -- "$cur") && return ;;
	-S | --sysroot) mapfile -t COMPREPLY < <(compgen -d -- "$cur") && return ;;
	-u | --unit) words='cycles ns us auto' ;;
	-s | --sort) words=$(_exitdump_columns) ;;
	-o | --output)
		# The last name of the list is the one to complete.
		head=${cur%"${cur##*[,+]}"}
		words=$(_exitdump_columns)
		;;
	-v | --vm) words=$(exitdump list --raw -o vm,vmname 2>/dev/null | tr '\t' '\n') ;;
	-r | --reason | hist) words=$(exitdump --raw -o name 2>/dev/null | tr ' ' '?') ;;
	-n | --limit | -c | --vcpu | --tsc-khz) return ;;
	*)
		words=$(exitdump --help | grep -o -e '--[a-z-]*' | sort -u)
		[[ $cur == -* ]] || words='diff hist list run top'
		;;
	esac
	cur=${cur#"$head"}
	mapfile -t COMPREPLY < <(compgen -P "$head" -W "$words" -- "$cur")
}

complete -o default -F _exitdump_complete exitdump
