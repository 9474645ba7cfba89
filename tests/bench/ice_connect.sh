#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# How long two gateways behind NATs take from the start of both straitd to the first answer through the tunnel,
# directly and through a TURN server: median of RUNS (10). And how long a ping is without answer when the
# direct path is cut while a relay stands by. Needs root; strait-signal and coturn run beside them.
#
# usage: ice_connect.sh [--json FILE] [RUNS]
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

must 'two sites behind NATs, a server' ice_lab port port
# In this shell, not in a substitution: what is started belongs to the lab.
connect direct >"$LAB_DIR/direct" || exit 1
switchover >"$LAB_DIR/switchover" || exit 1
ice_nat a symmetric
ice_nat b symmetric
connect relayed >"$LAB_DIR/relayed" || exit 1
result=$(jq -n --argjson d "$(cat "$LAB_DIR/direct")" --argjson r "$(cat "$LAB_DIR/relayed")" --argjson s "$(cat "$LAB_DIR/switchover")" \
	'{"ice.connect.direct.s": $d, "ice.connect.relayed.s": $r, "ice.switchover.s": $s}')
jq -r 'to_entries[] | "\(.key) \(.value)"' <<<"$result"
[ -z "$json" ] || printf '%s\n' "$result" >"$json"
exit 0
