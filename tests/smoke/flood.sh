#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# More than 10000 initiations per second with a valid mac1 from random sources: cookies go out, the established
# tunnel loses nothing, and a legitimate peer gets in during the flood. Then over IPv6 and as fast as this machine sends,
# which no ring holds: the tunnel goes on, and the legitimate peer gets in.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init flood

under_flood()
{
	! pid_gone "${LAB_PROC[flood]}"
}

must 'gateway and stock peer start' usual_lab
on gwa ip route add 198.18.0.0/15 via 192.0.2.3
on gwa ip route add 2001:db8:77::/64 via 2001:db8::3
must 'tunnel' session_up lana 10.3.0.2
must 'a second peer has a box' second_peer_box
gateway_config a . "$(site_peer_entry peer "192.0.2.3:$WG_PORT")" "$(peer_entry peer2 '' 10.9.0.4/32)"
must 'a second peer is configured' ctl a reload
shake=$(last_handshake peer wg0 a)
baseline=$(pool_missing a)
must 'the WAN is recorded' record_start wan gwa 'udp and src host 192.0.2.1 and udp[4:2] = 72'
must 'streams run' eval 'stream_start out lana lanp 10.3.0.2 500 60 && stream_start in lanp lana 10.1.0.2 500 60'
bg flood peer "$WGFLOOD" --to 192.0.2.1 --port "$WG_PORT" --key "$(key_public a)" --rate 13000 --seconds 10
must 'cookie replies go out' wait_until 8 recorded_so_far wan cookie 10
must 'a second peer begins during the flood' second_peer
on peer2 ping -q -n -i 0.3 -w 30 -c 1 10.9.0.1 >/dev/null &
check 'flood still runs' under_flood
check 'the second peer gets in' wait_until 30 eval '[ "$(last_handshake peer2 wg0 a)" -gt 0 ]'
wait "${LAB_PROC[flood]}"
unset 'LAB_PROC[flood]'
flood_rate()
{
	tail -n 1 "$LAB_DIR/flood.log" | jq .per_second
}

check "the flood was $(flood_rate) per second" at_least "$(flood_rate)" 10000
stream_end out now
stream_end in now
check 'LAN to peer: each number once' stream_judge out
check 'peer to LAN: each number once' stream_judge in
check 'the old session was not disturbed' equal "$(last_handshake peer wg0 a)" "$shake"
check 'afterwards a ping passes at once' ping_ok lana 10.3.0.2
record_stop wan >/dev/null

shake2=$(last_handshake peer2 wg0 a)
bg flood peer "$WGFLOOD" --to 2001:db8::1 --port "$WG_PORT" --key "$(key_public a)" --rate 0 --seconds 120
# As many as the flood has packets: more than can be read while they come.
must 'cookie replies go out by IPv6' on wan timeout 30 tcpdump -n --immediate-mode -i gwa -c 10 -w /dev/null \
	'ip6 and udp and src host 2001:db8::1 and ip6[44:2] = 72'
on peer2 wg set wg0 peer "$(key_public a)" remove
on peer2 wg set wg0 peer "$(key_public a)" endpoint "[2001:db8::1]:$WG_PORT" allowed-ips 10.9.0.1/32
on peer2 ping -q -n -i 0.3 -w 60 -c 1 10.9.0.1 >/dev/null &
check 'the tunnel goes on' wait_until 5 ping_ok lana 10.3.0.2 -W 1
check 'in the old session' equal "$(last_handshake peer wg0 a)" "$shake"
check 'the second peer gets in' wait_until 60 eval '[ "$(last_handshake peer2 wg0 a)" -gt "$shake2" ]'
check 'flood still runs' under_flood
check 'the flood ends' bg_stop flood
check "it was $(flood_rate) per second" at_least "$(flood_rate)" 1000
check 'the pools are full again' wait_until 20 pools_are a "$baseline"
check 'both daemons live' gateway_ready a
lab_finish
