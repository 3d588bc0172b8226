# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# bash completion for exitdump: options and columns come from --help, VMs and
# reasons from the running kernel. A guest's name may be hostile text: it is
# compared and quoted, never expanded.

_exitdump_columns() {
	exitdump --help | awk '/^Columns:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }'
}

_exitdump_vms() {
	exitdump list --raw -o vm,vmname 2>/dev/null | tr '\t' '\n' | grep -vx -e -
}

# _exitdump_offer CUR [HEAD] <WORDS: offers the lines that begin with CUR (plain or
# quoted). Each is offered quoted, with HEAD in front.
_exitdump_offer() {
	local word quoted
	while IFS= read -r word; do
		printf -v quoted %q "$word"
		[[ $word != "$1"* && $quoted != "$1"* ]] || COMPREPLY+=("$2$quoted")
	done
}

# If it offers nothing, bash completes files.
_exitdump_complete() {
	local cur=${COMP_WORDS[COMP_CWORD]} word option='' command='' arguments=0 rest=''
	local i head
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $option ]]; then
			[[ $word == = ]] || option=''	# bash splits --unit=us into three words
		elif [[ $rest || $word != -* ]]; then
			[[ $command ]] && ((++arguments))
			command=${command:-$word}
		else
			case $word in
			--) rest=1 ;;
			-[cinoOrsSuv] | --input | --limit | --names | --output | --output-file | --qmp | --reason | --sort | \
				--symbols | --sysroot | --than | --tsc-khz | --unit | --vcpu | --vm) option=$word ;;
			esac
		fi
		[[ $command != run || $arguments == 0 ]] || return 0	# the command's own
	done
	[[ ! $option || $cur != = ]] || cur=''
	head=${cur%"${cur##*[,+]}"}	# only the last word of a list is completed

	case $option:$command in
	-u:* | --unit:*) _exitdump_offer "$cur" < <(printf '%s\n' cycles ns us auto) ;;
	-s:* | --sort:*)
		[[ ${cur#"$head"} != -* ]] || head+=-
		_exitdump_offer "${cur#"$head"}" "$head" < <(_exitdump_columns)
		;;
	-o:run) ;;	# a file
	-o:* | --output:*) _exitdump_offer "${cur#"$head"}" "$head" < <(_exitdump_columns) ;;
	-v:* | --vm:*) _exitdump_offer "$cur" < <(_exitdump_vms) ;;
	-r:* | --reason:*)
		_exitdump_offer "${cur#"$head"}" "$head" < <(exitdump --raw -o name 2>/dev/null)
		;;
	-*) ;;
	*)
		if [[ $cur == -* && ! $rest ]]; then
			_exitdump_offer "$cur" < <(exitdump --help | grep -o -e '--[a-z][a-z-]*' | sort -u)
		elif [[ ! $command ]]; then
			_exitdump_offer "$cur" < <(printf '%s\n' compare diff hist list off on reset run serve set slow top why)
		elif [[ $command == run ]]; then
			_exitdump_offer "$cur" < <(compgen -c -- "$cur" | sort -u)
		elif [[ $command == set ]]; then
			_exitdump_offer "$cur" < <(printf '%s\n' guest keys slow)
		elif [[ $command == compare ]]; then
			_exitdump_offer "$cur" < <(_exitdump_vms)
		elif [[ $command == hist || $command == why ]]; then
			_exitdump_offer "${cur#"$head"}" "$head" < <(exitdump --raw -o name 2>/dev/null)
		fi
		;;
	esac
}

complete -o default -F _exitdump_complete exitdump
