#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What connected, idle peers cost the processes that keep them: a whole gateway whose peers are pion's ICE and wireguard-go,
# each with its own UDP port, found by strait-signal and shaken hands with; they send nothing but checks each 2 s and
# WireGuard's keepalive each 25 s, as NetBird's do. Resident memory and processor time of straitd and strait-ice together,
# over SECONDS. Needs root and Go.
#
# usage: ice_idle.sh [--json FILE] [PEERS...]    (1000)
# shellcheck source=../smoke/lab.sh
. "$(dirname "$0")/../smoke/lab.sh"
# shellcheck source=../smoke/nat.sh
. "$(dirname "$0")/../smoke/nat.sh"

SECONDS_MEASURED=20
json=
if [ "${1:-}" = --json ]; then
	json=${2:?--json needs a file}
	shift 2
fi
[ $# -gt 0 ] || set -- 1000
ulimit -n "$(ulimit -Hn)" # two per peer on the other side
lab_init ice_idle

config() # PEERS
{
	"$NBPEER" keys --count "$1" --keys "$LAB_DIR" >"$LAB_DIR/keys.$1" || return
	gateway_config a ".wireguard[0].signal = {url: \"http://$NAT_SERVICE4:$SIGNAL_PORT\"} | .wireguard[0].ice = {servers: []}" || return
	jq -s --slurpfile c "$LAB_DIR/gwa.json" 'map({name, public_key,
		allowed_ips: ["100.99.\(.number / 256 | floor).\(.number % 256)/32"]}) as $p | $c[0] | .wireguard[0].peers = $p' \
		"$LAB_DIR/keys.$1" >"$LAB_DIR/new.json" && mv "$LAB_DIR/new.json" "$LAB_DIR/gwa.json"
}

nominated()
{
	ctl a status --json | jq '.straitd.connections[0].ice.counters.agents_nominated'
}

shaken()
{
	ctl a peers --json | jq '[.peers[] | select(.ice.path.alive and .handshake_age_ms != null)] | length'
}

pids()
{
	printf '%s\n' "${LAB_PROC[straitd-a]}"
	ctl a status --json | jq '.straitd.connections[0].ice.pid // empty'
}

cpu_ms()
{
	local pid
	for pid in "$@"; do
		awk '{ print ($14 + $15) * 10 }' "/proc/$pid/stat"
	done | awk '{ s += $1 } END { print s }'
}

rss_kb()
{
	local pid
	for pid in "$@"; do
		awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"
	done | awk '{ s += $1 } END { print s }'
}

measure() # PEERS
{
	local n=$1 begun took before who
	config "$n" && gateway_start a || return
	bg peers peers "$NBPEER" many --count "$n" --keys "$LAB_DIR" --signal "$NAT_SERVICE4:$SIGNAL_PORT" --dark --checks=false \
		--keepalive 2s --spread 5ms --gateway "$(key_public a),10.1.0.0/24"
	begun=${EPOCHREALTIME/[.,]/}
	wait_until 150 eval "at_least \$(nominated) $n" >/dev/null || return
	took=$((${EPOCHREALTIME/[.,]/} - begun))
	wait_until 30 eval "equal \$(shaken) $n" >/dev/null || return
	sleep 5
	mapfile -t who < <(pids)
	before=$(cpu_ms "${who[@]}")
	sleep "$SECONDS_MEASURED"
	jq -n --arg n "$n" --argjson cpu $(($(cpu_ms "${who[@]}") - before)) --argjson rss "$(rss_kb "${who[@]}")" \
		--argjson took "$took" --argjson s "$SECONDS_MEASURED" '{
		("ice.peers.\($n).rss_mb"): ($rss / 1024 * 10 | round / 10),
		("ice.peers.\($n).cpu_percent"): ($cpu / $s | round / 10),
		("ice.peers.\($n).connect_s"): ($took / 1e5 | round / 10)}'
	equal "$(shaken)" "$n" >/dev/null || { echo "peers were lost meanwhile" >&2; return 1; }
	bg_stop peers KILL
	bg_stop straitd-a
	bg_stop dp-a
} 2>&1

must 'the peers build' nbpeer_build
must 'services' eval 'wan_box wan && service_box && signal_start --connection-rate 20000 --key-rate 20000 --max-per-host 16384'
must 'a box of peers' eval 'box peers && plug peers eth0 && address peers eth0 192.0.2.50/24'
must 'boxes' site_boxes a
result=
for n in "$@"; do
	result+=$(measure "$n") || { echo "$n peers: $result" >&2; exit 1; }
done
result=$(jq -s add <<<"$result")
jq -r 'to_entries[] | "\(.key) \(.value)"' <<<"$result"
[ -z "$json" ] || printf '%s\n' "$result" >"$json"
exit 0
