#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What reload must also get right: a peer of another key under the same name, the listen port, a peer on another
# interface, an address less, a name of any letters. And answers leave from the address that a peer came to.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init reload_corners
NAME="Zoë's Büro 2 → 東京"

change() # JQ-ARGUMENT...
{
	jq "$@" "$LAB_DIR/gwa.json" >"$LAB_DIR/new.json" && mv "$LAB_DIR/new.json" "$LAB_DIR/gwa.json"
}

knows() # INTERFACE KEY-OWNER
{
	on gwa wg show "$1" peers | grep -qF "$(key_public "$2")"
}

tunnel_both_ways()
{
	wait_until 30 ping_ok lana 10.3.0.2 -W 1 && wait_until 10 ping_ok lanp fd01::2 -W 1
}

# The peer's side follows: its key, and which port or address of a it talks to.
peer_set() # WG-ARGUMENT...
{
	on peer wg set wg0 "$@"
}

must 'gateway and stock peer start' usual_lab
must 'tunnel' tunnel_both_ways

# Name.
change --arg n "$NAME" '.wireguard[0].peers[0].name = $n'
check 'reload: a name with spaces and letters of any kind' ctl a reload
check 'peers shows it' eval 'ctl a peers --json | holds --arg n "$NAME" "any(.peers[]; .name == \$n)"'
check 'peers NAME finds it' ctl a peers "$NAME"
bg capture gwa "$STRAITCTL" capture peer "$NAME" --count 2 --write "$LAB_DIR/name.pcapng"
check 'capture peer NAME takes its packets' wait_until 15 eval \
	'ping_ok lana 10.3.0.2 -W 1; [ "$(stat -c %s "$LAB_DIR/name.pcapng" 2>/dev/null || echo 0)" -gt 300 ]'

# Key.
old=$(key_public peer)
key_private changed >/dev/null
peer_set private-key "$LAB_DIR/changed.key"
change --arg k "$(key_public changed)" '.wireguard[0].peers[0].public_key = $k'
check 'reload: the peer has another key' ctl a reload
check 'wg knows the new one only' eval 'knows strait0 changed && ! on gwa wg show strait0 peers | grep -qF "$old"'
check 'traffic passes under it' tunnel_both_ways

# Port.
change '.wireguard[0].listen_port = 51999'
check 'reload: the port moved' ctl a reload
check 'wg shows it' equal "$(on gwa wg show strait0 listen-port)" 51999
check 'nobody listens at the old one' eval '! on gwa ss -Hlun "sport = :51820" | grep -q .'
peer_set peer "$(key_public a)" endpoint 192.0.2.1:51999
check 'traffic passes by the new port' tunnel_both_ways

# Another interface, with the same key.
change '.wireguard += [.wireguard[0] | .name = "strait1" | .listen_port = 52000 | .addresses = ["10.8.0.1/24"]] |
	.wireguard[0].peers = []'
check 'reload: the peer is on another interface' ctl a reload
check 'there only' eval 'knows strait1 changed && ! knows strait0 changed'
check 'its prefix is routed there' eval 'on gwa ip route show 10.3.0.0/24 | grep -q strait1'
peer_set peer "$(key_public a)" endpoint 192.0.2.1:52000
check 'traffic passes there' tunnel_both_ways

# Two addresses, and one less.
change '.ports[1].addresses += ["192.0.2.101/24"] | .wireguard[1].peers[0] |= del(.endpoint)'
check 'reload: a second address of the WAN' ctl a reload
# From nothing, so that it begins with a handshake.
peer_set peer "$(key_public a)" remove
peer_set peer "$(key_public a)" endpoint 192.0.2.101:52000 allowed-ips 10.1.0.0/24,fd01::/64,10.9.0.1/32
check 'the peer reaches it' wait_until 30 ping_ok lanp 10.1.0.2 -W 1
check 'the peer hears from it only' equal "$(on peer wg show wg0 endpoints | awk '{ print $2 }')" 192.0.2.101:52000
check 'traffic from this side goes the same way' ping_ok lana 10.3.0.2
check 'the peer still hears from it only' equal "$(on peer wg show wg0 endpoints | awk '{ print $2 }')" 192.0.2.101:52000
change '.ports[1].addresses |= map(select(. != "192.0.2.101/24"))'
check 'reload: without it' ctl a reload
check 'the kernel has it no longer' eval '! on gwa ip address show dev wan | grep -q 192.0.2.101'
check 'this side goes on from the other address' wait_until 30 ping_ok lana 10.3.0.2 -W 1
lab_finish
