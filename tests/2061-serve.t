#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump serve answers over HTTP with the output of exitdump --openmetrics, and
# Prometheus stores it digit for digit. If the source cannot be read, serve says so and goes
# on. Slow clients do not lock others out. Its memory does not grow. It ends when told to,
# with status 0.
# shellcheck disable=SC2317 # functions that ok and trap call
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"
. "$(dirname "$0")/fixtures/prometheus.sh"

make_without() {
	make -s -C "$TOP/tools" BUILD="$T/build" PROG="$T/without" MICROHTTPD_H=
}
run make_without
is 'without libmicrohttpd exitdump is built and says what it lacks' "$status:$err:$(tail -n 1 <<<"$out")" \
	'0::exitdump is built without serve, which needs: libmicrohttpd-dev'
run "$T/without" serve
is 'and so does that exitdump' "$status:$out:$err" \
	'1::without: serve: this exitdump was built without it (to see what is missing: make clean tool)'

# refused TITLE REGEX ARGUMENT...: there is one line on standard error, and nothing else.
refused() {
	run timeout 10 "$EXITDUMP" "${@:3}"
	like "$1" "$status:$out:$err" "^1::exitdump: [^"$'\n'"]*$2[^"$'\n'"]*\$"
}
refused 'a port that is none' 'serve: 65536: not \[ADDRESS:\]PORT$' serve 65536
if [[ $err == *'built without it'* ]]; then
	skip 'the rest' 'this exitdump is built without serve'
	done_testing
fi
mkdir "$T/lib"
touch "$T/lib/libmicrohttpd.so.12"
LD_LIBRARY_PATH=$T/lib refused 'a library that cannot be loaded' 'serve: .*/libmicrohttpd[.]so[.]12: ' serve 0
refused 'an empty one' 'serve: 127.0.0.1:: not \[ADDRESS:\]PORT$' serve 127.0.0.1:
for where in 1.2.3.4.5:0 :0 '[::1:0' '[]:0' localhost:0 4294967297; do
	refused "no address: $where" 'serve: .*: not \[ADDRESS:\]PORT$' serve "$where"
done
refused 'one that is not here' 'serve: 192.0.2.7:0: Cannot assign' serve 192.0.2.7:0
refused 'too much' 'y: one argument too many' serve 0 y
for arguments in '--input x' --guest --csv '-O x'; do
	# shellcheck disable=SC2086 # an option and its value
	refused "not with $arguments" 'serve: .*not with --input' serve $arguments 0
done
refused 'keys without a limit, as everywhere' '--openmetrics needs --limit' serve --keys 0

for program in curl jq prometheus promtool; do
	command -v "$program" >/dev/null && continue
	skip 'the rest' "$program is not installed (scripts/deps.sh test)"
	done_testing
done
end_processes

# serve ARGUMENT...: starts serve; sets $pid, and $url once it answers.
as=("$EXITDUMP")
serve() {
	local i
	: >"$T/served"
	"${as[@]}" serve "$@" >>"$T/served" 2>&1 &
	pid=$!
	pids+=("$pid")
	for ((i = 0; i < 100; i++)); do
		url=$(sed -n 's/^exitdump: \(http:.*\)/\1/p' "$T/served")
		[[ $url ]] && return 0
		sleep 0.1
	done
	note "$(<"$T/served")"
	return 1
}

# ends SIGNAL: prints the status with which it ends, within ten seconds.
ends() {
	local i
	kill -s "$1" "$pid"
	for ((i = 0; i < 100; i++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "$pid" 2>/dev/null && return 1
	wait "$pid"
}

# get PATH [OPTION...]: prints "STATUS TYPE"; the answer is in the file body.
get() {
	curl -s -m 20 -o "$T/body" -w '%{http_code} %{content_type}' "${@:2}" "${url%/metrics}$1" || echo " curl: $?"
}

# --- answers

tree "$T/two" 2 2
show "$T/two"
OPENMETRICS='200 application/openmetrics-text; version=1.0.0; charset=utf-8'
ok 'it serves' serve -S "$T/root" --all-vms --buckets 0
like 'on loopback, unless told otherwise' "$url" '^http://127\.0\.0\.1:[0-9]+/metrics$'
is '/metrics: its type' "$(get /metrics)" "$OPENMETRICS"
is 'its connection ends with the answer' "$(get /metrics -D "$T/head"):$(tr -d '\r' <"$T/head" | grep -ci '^Connection: close$')" "$OPENMETRICS:1"
is 'it is what --openmetrics prints' "$(cmp "$T/body" <("$EXITDUMP" -S "$T/root" --openmetrics --all-vms --buckets) && echo same)" same
is 'what promtool says to it' "$(promtool check metrics <"$T/body" 2>&1; echo $?)" 0
is 'HEAD has no body' "$(get /metrics -I):$(grep -c -e '^Content-Length: [1-9]' -e kvm_ "$T/body")" "$OPENMETRICS:1"
is '/ says where, in one line' "$(get /):$(wc -l <"$T/body"):$(<"$T/body")" '200 text/plain; charset=utf-8:1:exitdump: the counters are at /metrics'
for path in /metrics/ /metric /../etc/passwd '//metrics'; do
	is "$path is not there" "$(get "$path" --path-as-is)" '404 text/plain; charset=utf-8'
done
for method in POST PUT DELETE OPTIONS; do
	is "$method is not allowed" "$(get /metrics -X "$method" -D "$T/head" -d x=1):$(grep -ci '^Allow: GET, HEAD' "$T/head")" \
		'405 text/plain; charset=utf-8:1'
done
like 'a header that is too long' "$(get /metrics -H "X: $(printf '%09000d' 0)")" '^4[0-9][0-9] '
is 'and then it still answers' "$(get /metrics)" "$OPENMETRICS"

port=${url%/metrics} port=${port##*:}
refused 'a port in use' "serve: $port: Address already in use" serve -S "$T/root" "$port"

other=("$pid" "$url")
serve -S "$T/root" || :
like 'the port is 9913, unless told otherwise' "$(head -n 1 "$T/served")" \
	'^exitdump: (http://127\.0\.0\.1:9913/metrics|serve: 9913: Address already in use)$'
[[ ! $url ]] || ends TERM
# A port that has a name in /etc/services, and that nobody uses.
for named in $(awk '$2 ~ /\/tcp$/ && $2 + 0 > 1023 { print $2 + 0 }' /etc/services 2>/dev/null | tail -n 5); do
	serve -S "$T/root" "$named" 2>/dev/null >&2 || continue
	is 'a port with a name: its number' "$url" "http://127.0.0.1:$named/metrics"
	ends TERM
	break
done
pid=${other[0]} url=${other[1]}

# --- the source disappears and comes back

show "$T/nothing"
is 'nothing to read: 503' "$(get /metrics)" '503 text/plain; charset=utf-8'
like 'and why, in one line' "$(wc -l <"$T/body"):$(<"$T/body")" $'^1:[^\n]*exit_cycles: No such file [^\n]*$'
get /metrics >"$T/again"
is 'which standard error has as well, once' "$(tail -n +2 "$T/served")" "exitdump: $(<"$T/body")"
tree "$T/four" 4 2
show "$T/four"
is 'it goes on' "$(get /metrics):$(grep -c '^kvm_exits_total.*REASON_0"' "$T/body")" "$OPENMETRICS:4"
show "$T/nothing"
get /metrics >"$T/again"
is 'gone again: said again' "$(grep -c ': No such file' "$T/served")" 2
mkdir -p "$T/four/sys/module/kvm/parameters"
echo N >"$T/four/sys/module/kvm/parameters/exit_cycles"
show "$T/four"
is 'nothing is counted: it is served, and said once' "$(get /metrics; get /metrics):$(grep -c 'nothing is counted at present' "$T/served")" \
	"$OPENMETRICS$OPENMETRICS:1"

# --- clients that are slow

# More clients than serve accepts at once; each has sent only half of its request.
trap '' PIPE
slow=()
for ((i = 0; i < 100; i++)); do
	exec {fd}<>"/dev/tcp/127.0.0.1/$port"
	printf 'GET /metrics HTTP/1.1\r\nHost: ' >&"$fd" || :
	slow+=("$fd")
done
is '100 slow clients keep nobody out' "$(get /metrics -m 5)" "$OPENMETRICS"
for fd in "${slow[@]}"; do
	exec {fd}>&-
done

exec {fd}<>"/dev/tcp/127.0.0.1/$port"
printf 'GET ' >&"$fd"
is 'one that says nothing more is cut off' "$(timeout 20 cat <&"$fd"; echo $?)" 0
exec {fd}>&-

# A client that asks for much and reads nothing.
tree "$T/large" 50 4 -v reasons=25
show "$T/large"
exec {fd}<>"/dev/tcp/127.0.0.1/$port"
printf 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n' >&"$fd"
is 'nor does one that does not read' "$(get /metrics -m 5)" "$OPENMETRICS"
exec {fd}>&-
show "$T/two"

# --- it does not grow

kb() { awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"; }
requests() { curl -s "$url?[1-$1]" | grep -c '^# EOF'; }
is 'some requests' "$(requests 500)" 500
before=$(kb)
is 'thousands of them' "$(requests 5000)" 5000
# One whose headers have no end, and one whose body has none.
exec {fd}<>"/dev/tcp/127.0.0.1/$port"
{ (printf "GET /metrics HTTP/1.1\r\nHost: x\r\n"; timeout 10 yes "X: y") | head -c 5000000 >&"$fd"; } 2>/dev/null || :
held=$(kb)
exec {fd}>&-
ok "headers without end are not kept: $before KB, then $held KB" test "$held" -le $((before + 1000))
is 'a body without end is not read' "$(get /metrics -X POST -T - </dev/zero)" '405 text/plain; charset=utf-8'
ok "memory: $before KB, then $(kb) KB" test "$(kb)" -le $((before + 200))
is 'no file is left open' "$(find "/proc/$pid/fd" -lname '*root*' | wc -l)" 0
ok 'it ends with SIGTERM' ends TERM

# Sixteen clients ask for 9 MB each, and read nothing.
tree "$T/huge" 40 2 -v reasons=25
show "$T/huge"
ok 'large answers' serve -S "$T/root" --all-vcpus --buckets 0
port=${url%/metrics} port=${port##*:}
is 'one' "$(get /metrics)" "$OPENMETRICS"
bytes=$(stat -c %s "$T/body") one=$(kb)
slow=()
for ((i = 0; i < 16; i++)); do
	exec {fd}<>"/dev/tcp/127.0.0.1/$port"
	printf 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n' >&"$fd"
	slow+=("$fd")
done
is 'the 17th gets its own' "$(get /metrics):$(stat -c %s "$T/body")" "$OPENMETRICS:$bytes"
ok "16 answers of $bytes bytes that nobody reads: $one KB, then $(kb) KB" test "$(kb)" -le $((one + 65536))
is 'the last five of the others have theirs, too' "$(for fd in "${slow[@]:11}"; do timeout 20 cat <&"$fd" | sed '1,/^\r$/d' | wc -c; done | sort -u)" "$bytes"
for fd in "${slow[@]}"; do
	exec {fd}>&-
done
ok 'then it ends' ends TERM
show "$T/two"

# --- other cases

ok 'where there is nothing yet it serves as well' serve -S "$T/nothing" 0
is 'and says so' "$(get /metrics)" '503 text/plain; charset=utf-8'
ok 'it ends with SIGINT' ends INT
ok 'and can be started at once on the same port' serve -S "$T/root" "$(sed "s,.*:,,; s,/.*,," <<<"${url#http:}")"
ends TERM
{
	printf '# exit_cycles 1\tvendor=svm\n'
	lines 'reason name key exits cycles total max' '123 io 0x70 40 40 400 4'
} >"$T/two/sys/kernel/debug/kvm/exit_cycles_keys"
ok 'keys' serve -S "$T/root" --keys --limit 5 0
is 'they are gauges of their own' "$(get /metrics):$(grep '^kvm_key_exits{' "$T/body")" \
	"$OPENMETRICS:"'kvm_key_exits{reason="io",key="0x70",what="RTC, out"} 40'
ends TERM
if [[ -e /proc/net/if_inet6 ]]; then
	ok 'IPv6' serve -S "$T/root" '[::1]:0'
	is 'it answers there' "${url%:*}:$(get /metrics -g)" "http://[::1]:$OPENMETRICS"
	ends TERM
else
	skip 'IPv6' 'this kernel has none'
fi

# with_rights FILE...: from here on, exitdump runs with the rights of the service that these
# files make. Others cannot enter debugfs, as on a real host.
with_rights() {
	local rights
	rights=$(sed -n 's/^AmbientCapabilities=//p' "$@" | tr "[:upper:]" "[:lower:]" | sed 's/\<cap_/,+/g; s/ //g' | tr -d '\n')
	as=(setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps "-all$rights" --ambient-caps "-all$rights"
		--bounding-set "-all$rights" --no-new-privs "$T/exitdump")
}
unit=$TOP/tools/fleet/exitdump-serve
if ((EUID == 0)); then
	install -m 755 "$EXITDUMP" "$T/exitdump"
	chmod 755 "$T"
	chmod 700 "$T/two/sys/kernel/debug"
	with_rights "$unit.service"
	ok 'with the rights that the unit gives' serve -S "$T/root" --all-vms 0
	is 'it reads debugfs' "$(get /metrics)" "$OPENMETRICS"
	ends TERM
else
	skip 'the rights of the unit' 'not root'
fi

# --- Prometheus

serve -S "$T/root" --all-vms --buckets 0
serve_url=${url#http://}
cat >"$T/prometheus.yml" <<END
global: { scrape_interval: 1s }
scrape_configs:
  - job_name: exitdump
    static_configs: [ targets: [ '${serve_url%/metrics}' ] ]
END
start_prometheus

ok 'Prometheus scrapes it' comes 1 'up{job="exitdump"}'
is 'and has all of it, digit for digit' "$(stored exitdump)" \
	"$("$EXITDUMP" -S "$T/root" --openmetrics --all-vms --buckets | grep -v '^#' | sort)"
tree "$T/more" 2 2 -v step=9
show "$T/more"
ok 'it follows' comes 360 'sum(kvm_exits_total{reason="REASON_9"})'
show "$T/nothing"
ok 'what cannot be read is down' comes 0 'up{job="exitdump"}'
ok 'and no number stands still' comes '' 'kvm_exits_total'
ends TERM

# --- by BPF

if ! "$EXITDUMP" --bpf 0.01 1 >/dev/null 2>"$T/.err"; then
	skip 'by BPF' "$(<"$T/.err")"
	done_testing
fi
((EUID)) || with_rights "$unit.service" "$unit-bpf.conf"
ok 'by BPF' serve --bpf --all-vms 0
is 'counters from its start on' "$(get /metrics):$(grep '^kvm_exits_uncounted' "$T/body")" "$OPENMETRICS:kvm_exits_uncounted_total 0"
is 'again and again' "$(requests 20)" 20
ok 'it ends with SIGTERM' ends TERM

done_testing
