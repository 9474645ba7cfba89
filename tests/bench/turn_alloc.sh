#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Full sessions a second: Allocate (challenged first), CreatePermission and ChannelBind, each authenticated and answered,
# by clients that share the machine with the server. AF_PACKET over a veth, one lcore.
#   usage: turn_alloc.sh [--json FILE] [--sessions N] [--rounds N]
# shellcheck source=../smoke/lab.sh
. "$(dirname "$0")/../smoke/lab.sh"
# shellcheck source=../smoke/relay_lab.sh
. "$(dirname "$0")/../smoke/relay_lab.sh"

json=
sessions=10000
rounds=5
while [ $# -gt 0 ]; do
	case $1 in
	--json) json=${2:?--json needs a file}; shift 2 ;;
	--sessions) sessions=${2:?}; shift 2 ;;
	--rounds) rounds=${2:?}; shift 2 ;;
	*) echo "usage: turn_alloc.sh [--json FILE] [--sessions N] [--rounds N]" >&2; exit 2 ;;
	esac
done
lab_init turn_alloc
TURNLOAD=$LAB_BUILD/tests/tools/turnload

# Ticks of all threads of a process, user and system.
cpu_ticks() # PROCESS
{
	awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/${LAB_PROC[$1]}/stat"
}

# A round ends with its sessions, so that each finds the same tables.
one_round()
{
	local out s d
	s=$(cpu_ticks straitd-r) d=$(cpu_ticks dp-r)
	out=$(on client "$TURNLOAD" alloc "$RELAY_ADDR" 3478 "$RELAY_USER" "$RELAY_PASS" "$RELAY_REALM" 192.0.2.12 "$sessions" 256 free) ||
		{ printf '%s\n' "$out"; return 1; }
	jq -c --argjson n "$sessions" --argjson s "$(($(cpu_ticks straitd-r) - s))" --argjson d "$(($(cpu_ticks dp-r) - d))" \
		'. + {straitd_us: (1e4 * $s / $n), dp_us: (1e4 * $d / $n)}' <<<"$out" | tee -a "$LAB_DIR/rounds"
	equal "$(relay_sessions)" 0
}

must 'relay node starts' relay_lab ".dataplane.lcores = \"1\" | .turn.relay_ports = {min: 10000, max: 65535} |
	.turn.limits = {allocations_per_user: 60000, allocations_per_source: 60000,
		allocations_per_user_s: 0, new_peers_per_user_min: 0, replies_per_source_s: 0}"
for ((i = 0; i < rounds; i++)); do
	must "round $((i + 1)) of $rounds" one_round
done
per_s=$(jq -s 'map(.per_s) | sort | .[length / 2 | floor]' "$LAB_DIR/rounds")
printf '  %-36s %9.0f\n' turn.alloc_per_s "$per_s"
jq -r '"  per s \(.per_s), asked again \(.repeats); us of CPU a session, straitd and strait-dp with its end: " +
	"client \(.client_us) straitd \(.straitd_us) strait-dp \(.dp_us)"' "$LAB_DIR/rounds"
[ -z "$json" ] || jq -s '{"turn.alloc_per_s": (map(.per_s) | sort | .[length / 2 | floor]),
	"turn.alloc.straitd_us": (map(.straitd_us) | min), "turn.alloc.dp_us": (map(.dp_us) | min),
	"turn.alloc.client_us": (map(.client_us) | min)}' "$LAB_DIR/rounds" >"$json"
lab_finish
