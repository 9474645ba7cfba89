#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# kill -9 of straitd with 10 000 sessions: none is lost, each is refreshed and its channel bound again under its
# credentials and nonce of before. A numbered stream over a channel runs all the while and loses nothing. Then they
# end, and all ports are back.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=relay_lab.sh
. "$(dirname "$0")/relay_lab.sh"
lab_init turn_restart
command -v turnutils_peer >/dev/null || lab_skip "turnutils_peer (package coturn) is not installed"

ECHO_PORT=3480
COUNT=${TURN_RESTART_COUNT:-10000}

said() # WORD: the client's last line about it says that all went well
{
	grep "^$1 " "$LAB_DIR/many.log" | tail -n 1 | grep -qF "{0: $COUNT}" || { tail -n 5 "$LAB_DIR/many.log"; return 1; }
}

tell() # WORD
{
	echo "$1" >&"$TELL"
	wait_until 60 said "$1"
}

relayed() # as strait-dp counts, whoever of the daemons is there
{
	on gwr "$STRAITCTL" stages --json | jq '[.stages[] | select(.stage == "turn_to_client") | .packets] | add'
}

ports_free()
{
	relay_stat '.relay_addresses[0].ports_free'
}

must 'relay node starts' relay_lab ".turn.relay_ports = {min: 20000, max: 49999} |
	.turn.limits = {allocations_per_user: 20000, allocations_per_source: 20000, allocations_per_user_s: 0,
		new_peers_per_user_min: 0, replies_per_source_s: 0}"
mkfifo "$LAB_DIR/tell"
exec {TELL}<>"$LAB_DIR/tell"
ulimit -n "$(ulimit -Hn)"
bg many client bash -c 'exec "$@" <"'"$LAB_DIR"'/tell"' - "$LAB_ROOT/tests/tools/turnraw.py" many \
	"$RELAY_ADDR" 3478 "$RELAY_USER" "$RELAY_PASS" "$RELAY_REALM" "$COUNT" 192.0.2.12
must 'sessions begin' wait_until 60 said allocate
must 'each has a channel' wait_until 60 said bind
bg echo peer turnutils_peer -p "$ECHO_PORT" -L 192.0.2.12
must 'a stream over a channel' relay_stream stream udp 200 170
check 'sessions are counted' equal "$(relay_sessions)" "$((COUNT + 1))"
bg_stop straitd-r KILL
before=$(relayed)
check 'the lcores go on without straitd' wait_until 10 eval 'at_least "$(relayed)" "$((before + 100))"'
straitd_start r
must 'straitd is back' wait_until 20 gateway_ready r
check 'no session is lost' equal "$(relay_sessions)" "$((COUNT + 1))"
check 'all are refreshed under their old nonces' tell refresh
check 'their channels are bound again' tell rebind
must 'the stream ends' relay_stream_end stream
check 'of the stream nothing is lost' relay_stream_holds stream '.sent > 200 and .heard == .sent and .twice == 0'
check 'its session ends by hand' ctl r turn kick "$(ctl r turn sessions --json | jq '.sessions[] | select(.bytes_to_peer > 0) | .id')"
check 'all of them end' tell free
check 'no session is left' equal "$(relay_sessions)" 0
check 'all ports are back' wait_until 10 eval '[ "$(ports_free)" -eq 30000 ]'
lab_finish
