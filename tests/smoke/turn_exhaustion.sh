#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A range of 40 ports that 60 clients want: 40 get one, 20 hear 508, all end, and the range is whole again; ten times, or
# TURN_ROUNDS (`./run soak exhaustion`: a hundred). Time runs 100 times as fast, so that a port's quarantine is over when
# the next round begins. Neither ports, objects, packets nor memory are missing afterwards. Then the table's cap, while a
# numbered stream runs and loses nothing.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=relay_lab.sh
. "$(dirname "$0")/relay_lab.sh"
lab_init turn_exhaustion
command -v turnutils_peer >/dev/null || lab_skip "turnutils_peer (package coturn) is not installed"

ECHO_PORT=3480
TURNLOAD=$LAB_BUILD/tests/tools/turnload
ROUNDS=${TURN_ROUNDS:-10}
PORTS=40 CLIENTS=60
RSS_KB=4096
LIMITS='.turn.limits = {allocations_per_user: 1000, allocations_per_source: 1000, allocations_per_user_s: 0,
	new_peers_per_user_min: 0, replies_per_source_s: 0}'
RANGE='.turn.relay_ports = {min: 50000, max: 50039}'

cycle() # ROUNDS CLIENTS GOOD
{
	on peer timeout 100 "$TURNLOAD" cycle "$RELAY_ADDR" 3478 "$RELAY_USER" "$RELAY_PASS" "$RELAY_REALM" "$2" "$1" "$3" 200
}

whole_range()
{
	equal "$(relay_stat '.relay_addresses[0].ports_free')" "$PORTS"
}

# As the data plane counts them.
objects_are() # RELAYS CHANNELS
{
	local out
	out=$(on gwr "$LAB_BUILD/tests/tools/dpobjects")
	[[ $out == *"relay=$1 permission=$2 channel=$2 "* ]] || { echo "$out"; return 1; }
}

rss_kb() # PROCESS
{
	awk '/^VmRSS/ { print $2 }' "/proc/${LAB_PROC[$1]}/status"
}

alloc() # BOX SESSIONS
{
	on "$1" "$TURNLOAD" alloc "$RELAY_ADDR" 3478 "$RELAY_USER" "$RELAY_PASS" "$RELAY_REALM" 192.0.2.12 "$2"
}

once_more() # FILTER
{
	bg_stop straitd-r && relay_config "$1" && straitd_start r && wait_until 20 gateway_ready r
}

must 'relay node starts' relay_lab ".timer_scale = 100 | $RANGE | $LIMITS"
must 'a first round' cycle 1 "$CLIENTS" "$PORTS"
baseline=$(pool_missing r) dp=$(rss_kb dp-r) daemon=$(rss_kb straitd-r)
check "$ROUNDS times used up and given back" cycle "$ROUNDS" "$CLIENTS" "$PORTS"
check '508 was for those who were too many' at_least "$(relay_stat '.errors."508"')" $((ROUNDS * (CLIENTS - PORTS)))
check 'the range is whole' wait_until 10 whole_range
check 'no session is left' equal "$(relay_sessions)" 0
check 'nor an object in strait-dp' wait_until 10 objects_are 0 0
check 'the pools are as full as before' wait_until 10 pools_are r "$baseline"
check "strait-dp did not grow: $(($(rss_kb dp-r) - dp)) kB" at_most "$(($(rss_kb dp-r) - dp))" "$RSS_KB"
check "straitd did not grow: $(($(rss_kb straitd-r) - daemon)) kB" at_most "$(($(rss_kb straitd-r) - daemon))" "$RSS_KB"

bg echo peer turnutils_peer -p "$ECHO_PORT" -L 192.0.2.12
must 'straitd once more, with time as it is and a table of 20 allocations' once_more "$LIMITS | .turn.limits.allocations = 20"
must 'ten sessions, with a channel each' alloc client 10
must 'one that talks' relay_stream stream udp 200 170
check 'whoever is one too many hears 508' cycle 3 "$CLIENTS" 9
check 'those that were there are as they were' objects_are 11 11
must 'the stream ends' relay_stream_end stream
check 'and lost nothing' relay_stream_holds stream '.sent > 20 and .heard == .sent and .twice == 0'
lab_finish
