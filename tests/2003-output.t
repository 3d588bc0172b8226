#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump never reports success if its output did not arrive.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

lines '#~exit_cycles~1 vendor=vmx' 'reason name exits cycles' \
	'10 CPUID 23 46000' '- TOTAL 23 46000' >"$T/good"

run bash -c '"$0" -i "$1" >/dev/full' "$EXITDUMP" "$T/good"
is 'a full disk: status 1' "$status" 1
is 'and one line that says so' "$err" \
	'exitdump: standard output: No space left on device'

run bash -c '"$0" -i "$1" >&-' "$EXITDUMP" "$T/good"
is 'standard output closed: status 1' "$status" 1

run bash -c '"$0" --help >&-' "$EXITDUMP"
is 'and so with the help: status 1' "$status" 1

run bash -c '"$0" --version >&-' "$EXITDUMP"
is 'and so with one line of it: status 1' "$status" 1

# The reader ends before anything is written.
run bash -c 'exec 3> >(exec true); wait $!; "$0" -i "$1" >&3' "$EXITDUMP" "$T/good"
ok 'a closed pipe: no success' test "$status" -ne 0
ok 'and no crash, at most the signal' test "$status" -eq 1 -o "$status" -eq 141

# A kernel that takes only a few bytes in each write, and gives a few in each read; and each second
# time a signal comes first.
gcc -shared -fPIC -o "$T/short.so" -x c - <<'END'
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
static int calls;
static ssize_t few(int call, int fd, void *bytes, size_t n)
{
	if (calls++ % 2) {
		errno = EINTR;
		return -1;
	}
	return syscall(call, fd, bytes, n > 7 ? 7 : n);
}
ssize_t read(int fd, void *to, size_t n) { return few(SYS_read, fd, to, n); }
ssize_t write(int fd, const void *from, size_t n) { return few(SYS_write, fd, (void *)from, n); }
END
exitdump -i "$T/good" --json
sed 's/"time":[0-9.]*//' "$T/.out" >"$T/whole"
run env LD_PRELOAD="$T/short.so" "$EXITDUMP" -i "$T/good" --json
is 'read and written in parts, with signals amid: the same' "$status:$(sed 's/"time":[0-9.]*//' "$T/.out" | cmp - "$T/whole" 2>&1)" 0:

# Output to a file of one's own, in any format.
exitdump -i "$T/good" --csv -o name,exits -O "$T/file"
is '--output-file: all of it there, nothing here' "$status:$out:$err:$(<"$T/file")" $'0:::name,exits\nCPUID,23'
run bash -c 'umask 027; "$0" -i "$1" -O "$2"' "$EXITDUMP" "$T/good" "$T/mine"
is 'with the rights that umask leaves' "$status:$(stat -c %a "$T/mine")" 0:640
exitdump -i "$T/good" -O /dev/full
is 'and full: status 1' "$status:$out:$err" '1::exitdump: /dev/full: No space left on device'
exitdump -i "$T/good" -O "$T/none/file"
is 'and not to be made: status 1' "$status:$out:$err" "1::exitdump: $T/none/file: No such file or directory"
tree "$T/tree" 1 1
exitdump -S "$T/tree" --json -O "$T/file" 0.01 3
is 'over intervals: all of them' "$status:$out:$err:$(wc -l <"$T/file")" 0:::3
for closed in '>&-' '<&-' '>&- 2>&-' '<&- >&- 2>&-'; do
	run bash -c "exec \"\$0\" -S \"\$1\" -a -o vm --csv -O \"\$2\" 0.01 3 $closed" "$EXITDUMP" "$T/tree" "$T/file"
	is "closed streams, $closed: all of them as well" "$status:$out:$err:$(paste -sd, "$T/file")" 0:::vm,1000-11,1000-11,1000-11
done
run bash -c '"$0" -S "$1" -r NONE --csv -o name -O "$2" 2>&-' "$EXITDUMP" "$T/tree" "$T/file"
is 'a message that has no stream: not in the file' "$status:$out:$err:$(<"$T/file")" 0:::name
exitdump run -S "$T/tree" -O "$T/file" --json -- sh -c 'echo out; echo err >&2; exit 3'
is 'run: the command has the streams for itself' "$status:$out:$err:$(head -c 12 "$T/file")" $'3:out:err:{"version":2'
exitdump run -S "$T/tree" -O "$T/none/file" -- touch "$T/ran"
is 'run: no such file: nothing is run' "$status:$out:$(ls "$T/ran" 2>/dev/null)" 1::

# run -o FILE writes the output to a file, as in perf stat.
exitdump run -S "$T/tree" -o "$T/file" --output name,exits --csv -- true
is 'run -o: a file, and --output the columns' "$status:$out:$err:$(<"$T/file")" 0:::name,exits
exitdump -S "$T/tree" run -O "$T/file" -- true
like 'run -O: the same' "$status:$out:$err:$(<"$T/file")" '^0:::.*TOTAL'
exitdump -S "$T/tree" -o exits --csv run -O "$T/chosen" -- true
is 'in front of run -o is the columns' "$status:$(<"$T/chosen")" 0:exits
cd "$T"
for list in exits name,p99 +p99 +x; do
	exitdump run -S "$T/tree" -o "$list" -- touch ran
	is "run -o $list: columns are meant, so nothing is run" "$status:$out:$err:$(ls ran "$list" 2>/dev/null)" \
		"1::exitdump: run: -o $list: here -o names the output file (for columns: --output $list; for a file of that name: -O):"
done
for file in exits,x x,exits ./exits; do
	exitdump run -S "$T/tree" -o "$file" -- true
	is "run -o $file: a file" "$status:$out:$err:$(head -c 1 "$file" | wc -c)" 0:::1
done

done_testing
