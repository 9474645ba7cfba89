#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A tunnel inside a tunnel: strait1's peer is reached through strait0. Both are sealed and opened by the lcores, and
# a tunnel whose way leads into itself is refused instead of going round.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init tunnel_in_tunnel

# The inner tunnel is 10.8.0.0/24 and fd08::/64 between strait1 and the peer's wg1; its endpoint is the peer's
# address in the outer one.
inner_key=$(key_private a-inner >/dev/null && echo "$LAB_DIR/a-inner.key")
must 'gateway and stock peer start' usual_lab ".wireguard += [{name: \"strait1\", private_key_file: \"$inner_key\", listen_port: 51821,
	mtu: 1340, addresses: [\"10.8.0.1/24\", \"fd08::1/64\"], peers: [{name: \"inner\", public_key: \"$(key_public peer-inner)\",
	endpoint: \"10.9.0.3:51821\", allowed_ips: [\"10.8.0.3/32\", \"fd08::3/128\"]}]}]"
must 'the outer tunnel' session_up lana 10.3.0.2
must 'the peer has an inner one' eval 'wireguard_go peer wg1 10.8.0.3/24 fd08::3/64 <<END
[Interface]
PrivateKey = $(key_private peer-inner)
ListenPort = 51821
[Peer]
PublicKey = $(key_public a-inner)
AllowedIPs = 10.8.0.1/32, fd08::1/128, 10.1.0.0/24, fd01::/64
END'
on peer ip link set wg1 mtu 1340
on peer ip route add 10.1.0.2/32 dev wg1
on peer ip -6 route add fd01::2/128 dev wg1
must 'the WAN is recorded' record_start wan gwa
opened=$(stage_packets a wg_accept)
check 'LAN host to the inner address of the peer, IPv4' wait_until 15 ping_ok lana 10.8.0.3 -W 1
check 'the same, IPv6' ping_ok lana fd08::3
check 'back, IPv4' ping_ok peer 10.1.0.2
check 'back, IPv6' ping_ok peer fd01::2
check 'a full packet' ping_ok lana 10.8.0.3 -M 'do' -s $((1340 - 28))
check 'one more does not fit' not ping_ok lana 10.8.0.3 -M 'do' -s $((1340 - 27))
check 'each was opened twice by the lcores' at_least "$(stage_packets a wg_accept)" $((opened + 10))
check 'the inner peer is served on lcores' equal "$(peer_field a inner endpoint_kind)" direct
record_stop wan >/dev/null
check 'on the WAN all of it is data' at_least "$(recorded wan data)" 10
check 'and nothing in the clear' equal "$(recorded wan clear)" 0

on gwa wg set strait1 peer "$(key_public peer-inner)" endpoint 10.8.0.3:51821
check 'a way into itself is told' wait_until 3 eval '[[ $(peer_field a inner last_error) = *"into the tunnel itself"* ]]'
sent=$(port_counter a wan tx_packets)
check 'the LAN host learns that there is none' eval 'on lana ping -n -c 3 -i 0.3 -W 1 10.8.0.3 | grep -q Unreachable'
check 'and nothing goes round' at_most "$(port_counter a wan tx_packets)" $((sent + 20))
check 'the outer tunnel goes on' ping_ok lanp 10.9.0.1
lab_finish
