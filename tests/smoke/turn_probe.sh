#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The relay before a client that looks closer than any that is used: ICMP errors of real peers, ports that are denied,
# data right behind an answer, SHA-256 and what a bid-down leads to, nonces of other ports, both expiries, also under a
# stream, error codes that no client provokes, Binding by TCP, an answer from the address that was asked.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=relay_lab.sh
. "$(dirname "$0")/relay_lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init turn_probe
command -v turnutils_peer >/dev/null || lab_skip "turnutils_peer (package coturn) is not installed"

ECHO_PORT=3480
DENIED_PORT=2525
SECOND_ADDR=192.0.2.9
SCALE=100

probe() # PROBE ARGUMENT...; SERVER= for another address
{
	on client timeout 30 "$LAB_ROOT/tests/tools/turnprobe.py" "$1" "${SERVER:-$RELAY_ADDR}" 3478 \
		"$RELAY_USER" "$RELAY_PASS" "$RELAY_REALM" "${@:2}"
}

echoes_listen()
{
	at_least "$(on peer ss -Hlun "sport = :$ECHO_PORT or sport = :$DENIED_PORT" | wc -l)" 2
}

# XOR-MAPPED-ADDRESS of 20 bytes of request.
binding_by_tcp()
{
	printf '\x00\x01\x00\x00\x21\x12\xa4\x42twelve bytes' | on client timeout 5 nc -q 1 "$RELAY_ADDR" 3478 |
		head -c 24 | od -An -tx1 | tr -d ' \n' | grep -q '^0101000c2112a4427477656c766520627974657300200008$'
}

# Of all that was sent, counted where it was relayed or dropped.
nothing_unaccounted() # SESSION
{
	local s sent
	s=$(ctl r turn session "$1" --json) sent=$(tail -n 1 "$LAB_DIR/crossing.log")
	jq -c '{packets_to_peer, packets_to_client, dropped_to_peer, dropped_to_client}' <<<"$s"
	jq -n --argjson s "$s" --argjson x "$sent" --argjson channel "$(drop_count r turn_no_channel)" \
		--argjson permission "$(drop_count r turn_no_permission)" '
		$x.sent == $s.packets_to_peer + $channel and $s.packets_to_peer == $s.packets_to_client + $permission and
		$s.packets_to_client == $x.heard' | holds .
}

RELAY=".timer_scale = $SCALE | del(.turn.secrets) | .turn.deny_peer_ports = [25, \"2500-2600\"] |
	.turn.users += [{name: \"codes\", password: \"codes\"}, {name: \"second\", password: \"second\"}] |
	.ports[0].addresses += [\"$SECOND_ADDR/24\"]"
must 'relay node starts' relay_lab "$RELAY"
bg echo peer turnutils_peer -p "$ECHO_PORT" -L 192.0.2.12
bg echo-denied peer turnutils_peer -p "$DENIED_PORT" -L 192.0.2.12
must 'echo peers listen' wait_until 5 echoes_listen
# Its permission ends after 3 s, its channel after 6.
must 'a stream begins' relay_stream crossing udp 100 170
crossing=$(ctl r turn sessions --json | jq '.sessions[0].id')
check 'a closed port of a peer is told' probe icmp 192.0.2.12
check 'over IPv6 as well' probe icmp 2001:db8::12
check 'and counted' at_least "$(relay_stat .icmp_errors_told)" 8
check 'data right behind the answer arrives' probe race 192.0.2.12 "$ECHO_PORT" 40
check 'SHA-256, USERHASH, and bid-downs' probe sha256
check 'a nonce is of its port' probe elsewhere
check 'Binding by TCP' binding_by_tcp
check 'who asks another address of the box hears from that' eval 'SERVER=$SECOND_ADDR probe race 192.0.2.12 "$ECHO_PORT" 3'
must 'the channel of the stream ends' wait_until 15 eval 'at_least "$(drop_count r turn_no_channel)" 20'
must 'the stream ends' relay_stream_end crossing
check 'it came back until its permission was over, and nothing of it later' relay_stream_holds crossing \
	'.heard >= 50 and .heard == .last + 1 and .twice == 0 and .seconds > 1.5 and .seconds < 4.5 and .sent > .heard + 50'
check 'each datagram is counted once' nothing_unaccounted "$crossing"
check 'nothing to or from a denied port' probe ports 192.0.2.12 "$ECHO_PORT" "$DENIED_PORT"
check 'which lcores counted' at_least "$(drop_count r turn_denied_port)" 1
check 'permission and channel end by their own time' probe expiry 192.0.2.12 "$ECHO_PORT" "$SCALE"
must 'one allocation for each user' relay_reload "$RELAY | .turn.limits.allocations_per_user = 1"
check '420, 440, 441, 486' eval 'RELAY_USER=codes RELAY_PASS=codes probe codes second second'
lab_finish
