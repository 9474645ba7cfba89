#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A port of driver "ring" gives back what is sent on it. A packet from behind the tunnel to a host there goes round
# until its TTL ends; the error goes back through the tunnel, and the counters say how often it went round.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init ring_port

must 'gateway and stock peer start' usual_lab '.ports += [{name: "loop", driver: "ring", mac: "02:00:00:00:09:01",
	addresses: ["10.1.9.1/24", "fd01:9::1/64"]}]'
on peer wg set wg0 peer "$(key_public a)" allowed-ips 10.9.0.1/32,fd09::1/128,10.1.0.0/16,fd01::/16
on peer ip route add 10.1.9.0/24 dev wg0
on peer ip -6 route add fd01:9::/64 dev wg0
must 'tunnel' session_up lana 10.3.0.2
check 'the gateway itself answers on it' ping_ok lanp 10.1.9.1
check 'the same, IPv6' ping_ok lanp fd01:9::1
on gwa ip neigh replace 10.1.9.2 lladdr 02:00:00:00:09:01 dev loop nud permanent
on gwa ip neigh replace fd01:9::2 lladdr 02:00:00:00:09:01 dev loop nud permanent

goes_round() # ADDRESS: the error of the last round comes back
{
	local out
	out=$(on lanp ping -n -c 1 -W 2 -t 21 "$1")
	grep -E 'Time (to live )?exceeded' <<<"$out" || { printf '%s\n' "$out"; return 1; }
}

all_came_back() { equal "$(port_counter a loop rx_packets)" "$(port_counter a loop tx_packets)"; }

baseline=$(pool_missing a)
rounds=$(port_counter a loop rx_packets)
check 'a packet goes round until its TTL ends, IPv4' wait_until 5 goes_round 10.1.9.2
check 'the same, IPv6' wait_until 5 goes_round fd01:9::2
check 'the port took in what it had sent' at_least "$(port_counter a loop rx_packets)" $((rounds + 30))
check 'and lost nothing' wait_until 10 all_came_back
check 'the drops say why it ended' at_least "$(drop_count a ttl_exceeded)" 2
ended=$(drop_count a ttl_exceeded)
on lanp timeout 20 ping -q -n -f -c 300 -t 21 10.1.9.2 >/dev/null 2>&1
check 'so does a flood' wait_until 10 drop_grew a ttl_exceeded "$ended" 200
check 'the pools are full again' wait_until 40 pools_are a "$baseline"
lab_finish
