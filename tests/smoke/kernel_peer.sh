#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's kernel WireGuard, under qemu's software emulation, against a strait gateway: IPv4 and IPv6 inside and outside, a
# new endpoint, and a numbered stream each way over a change of keys. The gateway's times are divided by 15, so that it
# changes them every 8 s; the kernel's are real.
# shellcheck source=../qemu/kernel_peer.sh
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init kernel_peer

. "$(dirname "$0")/../qemu/kernel_peer.sh"

must 'the kernel is at hand' kernel_peer_image
must 'boxes' eval 'wan_box wan && site_boxes a'
gateway_config a '.timer_scale = 15' "$(peer_entry kernel "192.0.2.4:$WG_PORT" 10.9.0.4/32 fd09::4/128)"
must 'gateway starts' gateway_start a
must 'the kernel boots' kernel_peer_start
must 'WireGuard in the guest' guest "
ip address add 192.0.2.4/24 dev eth0; ip address add 2001:db8::4/64 dev eth0; ip link set eth0 up
ip link add wg0 type wireguard
cat >/tmp/wg.conf <<E
[Interface]
PrivateKey = $(key_private kernel)
ListenPort = 51820
[Peer]
PublicKey = $(key_public a)
AllowedIPs = 10.9.0.1/32, fd09::1/128, 10.1.0.0/24, fd01::/64
E
wg setconf wg0 /tmp/wg.conf
ip address add 10.9.0.4/24 dev wg0; ip address add fd09::4/64 dev wg0; ip link set wg0 up
ip route add 10.1.0.0/24 dev wg0; ip -6 route add fd01::/64 dev wg0"
must 'LAN to kernel, IPv4' session_up lana 10.9.0.4
check 'kernel to LAN, IPv4' guest 'ping -c 1 -W 2 10.1.0.2'
check 'kernel to LAN, IPv6' guest 'ping -c 1 -W 2 fd01::2'
check 'LAN to kernel, IPv6' ping_ok lana fd09::4
check 'a full packet' ping_ok lana 10.9.0.4 -M 'do' -s 1392

# Its ends count for the judge as if they were in the box that the guest is plugged into.
must 'streams can be judged' eval 'judge_begin from wan lana 5001 600 10.1.0.2 && judge_begin to lana wan 5002 616 10.9.0.4'
must 'the WAN is recorded' record_start wan gwa
bg recv-from lana "$NUMSTREAM" recv --port 5001 --from 10.1.0.2 --ready "$LAB_DIR/from.ready"
must 'receivers' eval 'wait_until 5 test -e "$LAB_DIR/from.ready" &&
	guest "numstream recv --port 5002 --from 10.9.0.4 --ready /tmp/ready >/tmp/recv 2>&1 &" && wait_until 5 guest "test -e /tmp/ready"'
shake=$(last_handshake gwa strait0 kernel)
bg send-to lana "$NUMSTREAM" send --to 10.9.0.4 --port 5002 --rate 150 --seconds 11 --size 616
check 'a stream from the kernel' eval 'guest "numstream send --to 10.1.0.2 --port 5001 --rate 150 --seconds 11 --size 600" >"$LAB_DIR/send-from.log"'
check 'and one to it' wait "${LAB_PROC[send-to]}"
check 'both end' eval 'wait "${LAB_PROC[recv-from]}" && wait_until 10 guest "tail -n 1 /tmp/recv | grep ended"'
unset 'LAB_PROC[recv-from]' 'LAB_PROC[send-to]'
guest 'cat /tmp/recv' >"$LAB_DIR/recv-to.log"
judge_end from
judge_end to
check 'from the kernel: each number once' stream_judge from
check 'to the kernel: each number once' stream_judge to
check 'keys were changed meanwhile' at_least "$(last_handshake gwa strait0 kernel)" $((shake + 4))
record_stop wan >/dev/null
check 'no (key, counter) pair twice' equal "$(recorded wan repeated)" 0

# A session ends after 12 s here, of which the kernel knows nothing: something sent from this side renews it in time.
must 'a ping runs' bg ping lana ping -n -i 0.3 10.9.0.4
check 'the kernel moves to another port' guest 'wg set wg0 listen-port 4545'
# What goes to the old port at first is lost.
check 'it is heard from there' wait_until 10 guest 'ping -c 1 -W 2 10.1.0.2'
check 'the gateway follows' wait_until 3 eval 'on gwa wg show strait0 endpoints | grep -q 192.0.2.4:4545'
check 'and reaches it' ping_ok lana 10.9.0.4

# What the gateway has just sent to the old address moves the kernel back there.
moved_to_ipv6()
{
	guest "wg set wg0 peer $(key_public a) endpoint [2001:db8::1]:$WG_PORT; ping -c 1 -W 2 10.1.0.2" &&
		on gwa wg show strait0 endpoints | grep -qF '[2001:db8::4]:4545'
}

check 'the kernel moves to IPv6, and the gateway follows' wait_until 20 moved_to_ipv6
check 'IPv4 inside IPv6' ping_ok lana 10.9.0.4
check 'IPv6 inside IPv6' ping_ok lana fd09::4
lab_finish
