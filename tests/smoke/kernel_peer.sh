#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's kernel WireGuard, under qemu's software emulation, against a strait gateway: IPv4 and IPv6 inside, a stream
# from it, a new endpoint.
# shellcheck source=../qemu/kernel_peer.sh
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init kernel_peer

. "$(dirname "$0")/../qemu/kernel_peer.sh"

must 'the kernel is at hand' kernel_peer_image
must 'boxes' eval 'wan_box wan && site_boxes a'
gateway_config a . "$(peer_entry kernel '' 10.9.0.4/32 fd09::4/128)"
must 'gateway starts' gateway_start a
must 'the kernel boots' kernel_peer_start
must 'WireGuard in the guest' guest "
ip address add 192.0.2.4/24 dev eth0; ip link set eth0 up
ip link add wg0 type wireguard
cat >/tmp/wg.conf <<E
[Interface]
PrivateKey = $(key_private kernel)
ListenPort = 51820
[Peer]
PublicKey = $(key_public a)
Endpoint = 192.0.2.1:$WG_PORT
AllowedIPs = 10.9.0.1/32, fd09::1/128, 10.1.0.0/24, fd01::/64
E
wg setconf wg0 /tmp/wg.conf
ip address add 10.9.0.4/24 dev wg0; ip address add fd09::4/64 dev wg0; ip link set wg0 up
ip route add 10.1.0.0/24 dev wg0; ip -6 route add fd01::/64 dev wg0"
must 'kernel to LAN, IPv4' wait_until 15 guest 'ping -c 1 -W 2 10.1.0.2'
check 'kernel to LAN, IPv6' guest 'ping -c 1 -W 2 fd01::2'
check 'LAN to kernel, IPv4' ping_ok lana 10.9.0.4
check 'LAN to kernel, IPv6' ping_ok lana fd09::4
check 'a full packet' ping_ok lana 10.9.0.4 -M 'do' -s 1392
bg recv lana "$NUMSTREAM" recv --port 5000 --from 10.1.0.2 --ready "$LAB_DIR/recv.ready"
must 'receiver' wait_until 5 test -e "$LAB_DIR/recv.ready"
check 'a stream from the kernel' guest 'numstream send --to 10.1.0.2 --port 5000 --rate 300 --seconds 4 --size 800'
wait "${LAB_PROC[recv]}"
unset 'LAB_PROC[recv]'
check 'most of it arrived, nothing twice' eval \
	'[ "$(tail -n 1 "$LAB_DIR/recv.log" | jq .received)" -ge 1000 ] && [ "$(tail -n 1 "$LAB_DIR/recv.log" | jq .duplicates)" -eq 0 ]'
check 'the kernel moves to another port' guest 'wg set wg0 listen-port 4545'
# The answer to the first packet may still go to the old port.
check 'it is heard from there' wait_until 10 guest 'ping -c 1 -W 2 10.1.0.2'
check 'the gateway follows' wait_until 3 eval 'on gwa wg show strait0 endpoints | grep -q 192.0.2.4:4545'
check 'and reaches it' ping_ok lana 10.9.0.4
lab_finish
