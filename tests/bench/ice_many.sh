#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A gateway with 50 stock peers (pion, wireguard-go), half of them relayed: how long straitd takes from kill -9 until it
# has all of them again, median and worst of RUNS (5); and how long answers to peers' checks take while the lcores
# get more data than they can carry. Needs root and Go; strait-signal and coturn run beside them.
#
# usage: ice_many.sh [--json FILE] [RUNS]
# shellcheck source=../smoke/lab.sh
. "$(dirname "$0")/../smoke/lab.sh"
# shellcheck source=../smoke/nat.sh
. "$(dirname "$0")/../smoke/nat.sh"
# shellcheck source=../smoke/many_lab.sh
. "$(dirname "$0")/../smoke/many_lab.sh"

LOAD_S=12
json=
if [ "${1:-}" = --json ]; then
	json=${2:?--json needs a file}
	shift 2
fi
runs=${1:-5}
lab_init ice_many

all_alive()
{
	gateway_ready a && equal "$(many_states .alive)" "$PEERS"
}

# Milliseconds from the kill; peers see each other's checks unanswered for as long.
restart_once()
{
	local killed
	killed=$(now)
	bg_stop straitd-a KILL >/dev/null 2>&1
	straitd_start a && wait_until 20 all_alive >/dev/null || return
	milliseconds "$killed" "$(now)"
}

must 'the peers build' nbpeer_build
must 'services' eval 'wan_box wan && service_box && signal_start && turn_start'
must 'a box with 50 peers' eval 'many_keys && many_box'
must 'a gateway that knows them' eval 'site_boxes a && many_gateway && gateway_start a'
must '50 peers' many_start
must 'all connect' wait_until 60 many_connected
must 'all have a session' wait_until 20 many_shaken

begun=$(now)
for ((n = 0; n < runs; n++)); do
	restart_once || { echo "run $n: straitd did not come back with all peers" >&2; exit 1; }
	sleep 2
done >"$LAB_DIR/restarts"
median=$(sort -n "$LAB_DIR/restarts" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
worst=$(sort -n "$LAB_DIR/restarts" | tail -n 1)

loaded=$(now)
must 'full load' flood_start
sleep "$LOAD_S"
flood_end
if [ "$(left_connected "$begun")" != '[]' ]; then
	echo "peers gave up: $(left_connected "$begun")" >&2
	exit 1
fi
if [ "$(answered_since "$loaded")" -ne "$PEERS" ]; then
	echo "only $(answered_since "$loaded") of $PEERS peers had answers under load" >&2
	exit 1
fi
result=$(jq -n --argjson p "$(answer_p99 "$loaded")" --argjson n "$(answers_since "$loaded")" --argjson m "$median" \
	--argjson w "$worst" '{"ice.stun_under_load.p99_ms": $p, "ice.stun_under_load.answers": $n,
		"ice.restart.50_peers.s": ($m / 1000), "ice.restart.50_peers.worst_s": ($w / 1000)}')
jq -r 'to_entries[] | "\(.key) \(.value)"' <<<"$result"
[ -z "$json" ] || printf '%s\n' "$result" >"$json"
exit 0
