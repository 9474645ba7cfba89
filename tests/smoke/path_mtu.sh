#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
#   lana - gwa ---- wan ---- router ==== peer - lanp        ==== has an MTU of 1300
#
# A router in the middle refuses large IPv6 datagrams of the lcores: its ICMP reaches the kernel by the tap, the peer's
# path MTU shrinks, and TCP goes on in outer fragments.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init path_mtu

narrow_lab()
{
	wan_box wan && site_boxes a || return
	box peer && box lanp && box router && plug router north || return
	wire router south peer eth0 1300 || return
	wire peer eth1 lanp eth0 || return
	address router north 2001:db8::254/64 && address router south 2001:db8:7::1/64 || return
	address peer eth0 2001:db8:7::3/64 && address peer eth1 10.3.0.1/24 fd03::1/64 || return
	host lanp eth0 10.3.0.2/24 fd03::2/64 10.3.0.1 fd03::1 || return
	on router sysctl -qw net.ipv6.conf.all.forwarding=1
	on peer sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	on peer ip -6 route add default via 2001:db8:7::1 || return
	gateway_config a '.routes += [{"to": "2001:db8:7::/64", "via": "2001:db8::254"}]' \
		"$(site_peer_entry peer "[2001:db8:7::3]:$WG_PORT")" || return
	stock_peer a= && gateway_start a
}

must 'gateway, router and stock peer start' narrow_lab
must 'small packets pass' session_up lana 10.3.0.2
check 'the path MTU is that of the port' equal "$(peer_field a peer path_mtu)" 1500
must 'the WAN is recorded' record_start wan gwa 'ip6'
check 'a large packet passes, once the router has spoken' wait_until 10 ping_ok lana 10.3.0.2 -M 'do' -s 1392
check 'the path MTU is the router'"'"'s' equal "$(peer_field a peer path_mtu)" 1300
bps=$(iperf_bps lana lanp 10.3.0.2 -t 2)
check 'TCP goes on' at_least "${bps%%.*}" 1000000
record_stop wan >/dev/null
check 'in outer fragments' at_least "$(recorded wan fragments)" 10
lab_finish
