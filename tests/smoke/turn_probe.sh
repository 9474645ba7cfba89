#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The relay before a client that looks closer than any that is used: ICMP errors of real peers, ports that are denied,
# data right behind an answer, SHA-256 and what a bid-down leads to, nonces of other ports, both expiries, Binding by
# TCP, an answer from the address that was asked.
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

must 'relay node starts' relay_lab ".timer_scale = $SCALE | del(.turn.secrets) | .turn.deny_peer_ports = [25, \"2500-2600\"] |
	.ports[0].addresses += [\"$SECOND_ADDR/24\"]"
bg echo peer turnutils_peer -p "$ECHO_PORT" -L 192.0.2.12
bg echo-denied peer turnutils_peer -p "$DENIED_PORT" -L 192.0.2.12
must 'echo peers listen' wait_until 5 echoes_listen
check 'a closed port of a peer is told' probe icmp 192.0.2.12
check 'over IPv6 as well' probe icmp 2001:db8::12
check 'and counted' at_least "$(relay_stat .icmp_errors_told)" 8
check 'nothing to or from a denied port' probe ports 192.0.2.12 "$ECHO_PORT" "$DENIED_PORT"
check 'which lcores counted' at_least "$(drop_count r turn_denied_port)" 1
check 'data right behind the answer arrives' probe race 192.0.2.12 "$ECHO_PORT" 40
check 'SHA-256, USERHASH, and bid-downs' probe sha256
check 'a nonce is of its port' probe elsewhere
check 'permission and channel end by their own time' probe expiry 192.0.2.12 "$ECHO_PORT" "$SCALE"
check 'Binding by TCP' binding_by_tcp
check 'who asks another address of the box hears from that' eval 'SERVER=$SECOND_ADDR probe race 192.0.2.12 "$ECHO_PORT" 3'
lab_finish
