#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two gateways behind symmetric NATs have no direct way: their tunnel is relayed by a strait relay node, with
# time-limited credentials as NetBird's management gives them. Its lcores carry what they say; while its straitd is
# killed and started again they go on, without a missing number. So it is with two plain hosts behind the same NATs,
# which know ICE (libnice) and nothing of strait.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=relay_lab.sh
. "$(dirname "$0")/relay_lab.sh"
# shellcheck source=ice_sites.sh
. "$(dirname "$0")/ice_sites.sh"
lab_init ice_strait_relay

RELAY_ADDR=192.0.2.9
RELAY_ADDR6=2001:db8::9

# In place of ice_server: the relay node, with the signal service on its kernel's side.
ice_server()
{
	box gwr && plug gwr rwan || return
	relay_config ".ports[0].addresses = [\"$RELAY_ADDR/24\", \"$RELAY_ADDR6/64\"] |
		.turn.secrets = [\"$ICE_TURN_SECRET\"] | .turn.rfc5766_channel_numbers = false" || return
	gateway_start r && bg signal gwr "$STRAIT_SIGNAL" --listen 192.0.2.9:10000 && wait_until 10 port_listens gwr 10000
}

# Both ways: a's data goes in by an allocation of its own or out by one of b's.
relayed()
{
	relay_stat '.lcores | .packets_to_peers + .packets_to_clients'
}

# A plain host behind the NAT of a site.
phone_box() # a|b
{
	local n
	n=$(site_number "$1")
	box "phone$1" && wire "phone$1" eth0 "nat$1" in2 || return
	address "nat$1" in2 "192.168.1$n.1/24" && address "phone$1" eth0 "192.168.1$n.2/24" || return
	on "phone$1" ip route add default via "192.168.1$n.1"
}

# 200 numbers each way; what the NATs leave of their candidates is up to them.
phones_talk()
{
	timeout 60 "$LAB_BUILD/tests/tools/nicepair" "$RELAY_ADDR" 3478 "$RELAY_USER" "$RELAY_PASS" udp 200 \
		"/proc/${LAB_HOLDER[phonea]}/ns/net" "/proc/${LAB_HOLDER[phoneb]}/ns/net"
}

must 'two sites behind symmetric NATs, a strait relay node' ice_lab symmetric symmetric
must 'a plain host beside either gateway' eval 'phone_box a && phone_box b'
check 'the two hosts talk, relayed' phones_talk
check "by the relay's lcores: $(relayed) packets" at_least "$(relayed)" 400
printf '\n'
ctl r turn sessions
printf '\n'
must 'gateway a starts' gateway_start a
must 'gateway b starts' gateway_start b
must 'the tunnel comes up' session_up lana 10.2.0.2
check 'a relays' ice_is a b .path.relayed true
check 'b relays' ice_is b a .path.relayed true
before=$(relayed)
must 'a stream runs' stream_start ab lana lanb 10.2.0.2 500 60
must 'it passes the lcores of the relay' wait_until 10 eval '[ "$(relayed)" -ge "$((before + 500))" ]'
bg_stop straitd-r KILL
straitd_start r
check "the relay's straitd is killed, and back" wait_until 20 gateway_ready r
stream_end ab now
check "each number once: $(stream_field ab received)" stream_judge ab
check 'sessions of both gateways' at_least "$(relay_sessions)" 1
printf '\n'
ctl r turn sessions
ctl r turn stats | sed -n '/^lcores/,$p'
lab_finish
