#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# How long two gateways behind NATs take from the start of both straitd to the first answer through the tunnel,
# directly and through a TURN server: median of RUNS (10). How long a ping is without answer when the
# direct path is cut while a relay stands by. And from the new start of a site (strait-dp, straitd, strait-ice)
# that was killed to the first answer, median of RESTARTS (3). Needs root; strait-signal and coturn run beside them.
#
# usage: ice_connect.sh [--json FILE] [RUNS [RESTARTS]]
# shellcheck source=../smoke/lab.sh
. "$(dirname "$0")/../smoke/lab.sh"
# shellcheck source=../smoke/ice_sites.sh
. "$(dirname "$0")/../smoke/ice_sites.sh"

json=
if [ "${1:-}" = --json ]; then
	json=${2:?--json needs a file}
	shift 2
fi
runs=${1:-10}
restarts=${2:-3}
lab_init ice_connect

dp_ready() # a|b
{
	on "gw$1" timeout 5 "$STRAITCTL" stages --json | holds '.stages | length > 0'
}

# Seconds from the start of both straitd to the first answer.
connect_once()
{
	local start first
	dp_start a && dp_start b || return
	wait_until 10 dp_ready a && wait_until 10 dp_ready b || return
	: >"$LAB_DIR/ping.log"
	start=$EPOCHREALTIME
	straitd_start a && straitd_start b || return
	bg ping lana ping -n -D -i 0.02 10.2.0.2
	wait_until 30 grep -q 'bytes from' "$LAB_DIR/ping.log" >/dev/null || return
	first=$(awk -F'[][]' '/bytes from/ { print $2; exit }' "$LAB_DIR/ping.log")
	awk -v a="$start" -v b="$first" 'BEGIN { printf "%.3f\n", b - a }'
}

connect_end()
{
	local p
	for p in ping straitd-a straitd-b dp-a dp-b; do
		[ -z "${LAB_PROC[$p]:-}" ] || bg_stop "$p" >/dev/null 2>&1
	done
}

median() # NUMBERS on stdin
{
	sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

connect() # TEXT; prints the median
{
	local n out=$LAB_DIR/times
	: >"$out"
	for ((n = 0; n < runs; n++)); do
		connect_once >>"$out" || { echo "run $n of $1 did not connect" >&2; exit 1; }
		connect_end
	done
	median <"$out"
}

# Seconds without an answer when the direct path is cut.
switchover()
{
	connect_once >/dev/null || exit 1
	if ! wait_until 30 ice_is a b .standby.relayed true || ! wait_until 10 ice_is b a .standby.relayed true; then
		echo "no relay stands by" >&2
		exit 1
	fi >"$LAB_DIR/wait.log"
	sleep 1
	: >"$LAB_DIR/ping.log"
	ice_block a on
	wait_until 15 ice_is a b .path.relayed true >/dev/null
	sleep 1
	awk -F'[][]' '/bytes from/ { if (last && $2 - last > max) max = $2 - last; last = $2 } END { printf "%.3f\n", max }' \
		"$LAB_DIR/ping.log"
	ice_block a off
	connect_end
}

# When the first answer after that moment came.
answered_after() # SECONDS
{
	awk -F'[][]' -v a="$1" '/bytes from/ && $2 > a { printf "%.3f\n", $2 - a; found = 1; exit } END { exit !found }' \
		"$LAB_DIR/ping.log"
}

# Seconds from the new start of site a, all of which was killed, to the first answer.
restart_once()
{
	local ice start
	ice=$(ctl a status --json | jq -r '.straitd.connections[0].ice.pid')
	bg_stop straitd-a KILL 2>/dev/null
	bg_stop dp-a KILL 2>/dev/null
	[ "$ice" -le 1 ] || kill -KILL "$ice" 2>/dev/null
	start=$EPOCHREALTIME
	dp_start a && straitd_start a || return
	wait_until 30 answered_after "$start" >/dev/null || return
	answered_after "$start"
}

restart() # TEXT; prints the median
{
	local n out=$LAB_DIR/times
	: >"$out"
	connect_once >/dev/null || { echo "$1 did not connect" >&2; exit 1; }
	for ((n = 0; n < restarts; n++)); do
		sleep 1 # the pair is older than what a new attempt leaves behind
		restart_once >>"$out" || { echo "restart $n of $1 did not connect" >&2; exit 1; }
	done
	connect_end
	median <"$out"
}

must 'two sites behind NATs, a server' ice_lab port port
# In this shell, not in a substitution: what is started belongs to the lab.
connect direct >"$LAB_DIR/direct" || exit 1
switchover >"$LAB_DIR/switchover" || exit 1
restart direct >"$LAB_DIR/restart_direct" || exit 1
ice_nat a symmetric
ice_nat b symmetric
connect relayed >"$LAB_DIR/relayed" || exit 1
restart relayed >"$LAB_DIR/restart_relayed" || exit 1
result=$(jq -n --argjson d "$(cat "$LAB_DIR/direct")" --argjson r "$(cat "$LAB_DIR/relayed")" --argjson s "$(cat "$LAB_DIR/switchover")" \
	--argjson rd "$(cat "$LAB_DIR/restart_direct")" --argjson rr "$(cat "$LAB_DIR/restart_relayed")" \
	'{"ice.connect.direct.s": $d, "ice.connect.relayed.s": $r, "ice.switchover.s": $s,
	"ice.restart.direct.s": $rd, "ice.restart.relayed.s": $rr}')
jq -r 'to_entries[] | "\(.key) \(.value)"' <<<"$result"
[ -z "$json" ] || printf '%s\n' "$result" >"$json"
exit 0
