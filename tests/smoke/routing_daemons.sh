#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Routing daemons on both ends of a tunnel: OSPF for IPv4 and for IPv6 over strait0, with BIRD on the stock peer and first
# BIRD, then FRR on the gateway. Prefixes that were learnt are forwarded by the lcores, and go when the neighbour is dead.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init routing_daemons

bird_start() # BOX ROUTER-ID INTERFACE
{
	cat >"$LAB_DIR/bird-$1.conf" <<END
router id $2;
protocol device { scan time 2; }
protocol direct { ipv4; ipv6; interface "lo"; }
protocol kernel { ipv4 { export all; import none; }; }
protocol kernel { ipv6 { export all; import none; }; }
protocol ospf v2 {
	ipv4 { export where net ~ 10.40.0.0/13; import all; };
	area 0 { interface "$3" { type ptp; hello 1; dead 4; }; };
}
protocol ospf v3 {
	ipv6 { export where net ~ fd40::/16; import all; };
	area 0 { interface "$3" { type ptp; hello 1; dead 4; }; };
}
END
	bg "bird-$1" "$1" bird -f -c "$LAB_DIR/bird-$1.conf" -s /run/bird.ctl
}

frr_start() # BOX ROUTER-ID INTERFACE
{
	cat >"$LAB_DIR/ospfd.conf" <<END
interface $3
 ip ospf network point-to-point
 ip ospf area 0
 ip ospf hello-interval 1
 ip ospf dead-interval 4
router ospf
 ospf router-id $2
END
	cat >"$LAB_DIR/ospf6d.conf" <<END
interface $3
 ipv6 ospf6 network point-to-point
 ipv6 ospf6 area 0
 ipv6 ospf6 hello-interval 1
 ipv6 ospf6 dead-interval 4
router ospf6
 ospf6 router-id $2
END
	: >"$LAB_DIR/zebra.conf"
	local daemon
	on "$1" install -d -o frr -g frr /run/frr || return
	for daemon in zebra ospfd ospf6d; do
		on "$1" install -o frr -g frr "$LAB_DIR/$daemon.conf" /run/frr || return
		bg "frr-$daemon" "$1" "/usr/lib/frr/$daemon" -u frr -g frr -f "/run/frr/$daemon.conf" -i "/run/frr/$daemon.pid" \
			-z /run/frr/zserv.api --vty_socket /run/frr -P 0
		wait_until 10 on "$1" test -S "/run/frr/$daemon.vty" || return
	done
}

full_in_bird() # BOX PROTOCOL
{
	on "$1" birdc -s /run/bird.ctl show ospf neighbors "$2" | grep -q Full
}

routes_to() # PREFIX
{
	case $1 in
	*:*) on gwa ip -6 route show "$1" ;;
	*) on gwa ip route show "$1" ;;
	esac
}

learnt() # PREFIX
{
	routes_to "$1" | grep -q strait0
}

gone() # PREFIX
{
	local left
	left=$(routes_to "$1") && equal "$left" ''
}

forwards() # DAEMON
{
	check "$1: the kernel has the learnt IPv4 prefix on strait0" wait_until 30 learnt 10.40.0.0/24
	check "$1: and the lcores forward to it" wait_until 5 ping_ok lana 10.40.0.1
	check "$1: the kernel has the learnt IPv6 prefix on strait0" wait_until 30 learnt fd40:1::/64
	check "$1: and the lcores forward to it" wait_until 5 ping_ok lana fd40:1::1
}

# OSPF for IPv6 speaks from link-local addresses, which a WireGuard interface gets from nobody.
must 'gateway and stock peer start' usual_lab '
	.wireguard[0].addresses += ["fe80::1/64"]
	| .wireguard[0].peers[0].allowed_ips += ["10.40.0.0/16", "fd40::/16", "224.0.0.5/32", "ff02::5/128", "fe80::3/128"]
	| .wireguard[0].route_allowed_ips = false
	| .routes = [{to: "10.3.0.0/24", dev: "strait0"}, {to: "fd03::/64", dev: "strait0"}]'
on peer wg set wg0 peer "$(key_public a)" \
	allowed-ips 10.9.0.1/32,10.1.0.0/24,fd01::/64,fd09::1/128,10.41.0.0/16,224.0.0.5/32,ff02::5/128,fe80::1/128
on peer ip address add fe80::3/64 dev wg0
must 'tunnel' session_up lana 10.3.0.2
on peer ip address add 10.40.0.1/24 dev lo
on peer ip address add fd40:1::1/64 dev lo
must 'bird on the peer' bird_start peer 10.9.0.3 wg0
must 'bird on the gateway' bird_start gwa 10.9.0.1 strait0
check 'they become neighbours, IPv4' wait_until 30 full_in_bird gwa ospf1
check 'and IPv6' wait_until 30 full_in_bird gwa ospf2
forwards bird
bg_stop bird-gwa
check 'without bird the prefixes are gone' wait_until 20 eval 'gone 10.40.0.0/24 && gone fd40:1::/64'
must 'FRR on the gateway' frr_start gwa 10.9.0.1 strait0
forwards FRR
bg_stop bird-peer KILL
check 'the prefixes go when the neighbour is dead' wait_until 20 eval 'gone 10.40.0.0/24 && gone fd40:1::/64'
lab_finish
