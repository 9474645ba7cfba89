#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A routing daemon on both tunnels' ends: BIRD speaks OSPF over strait0 with BIRD on the stock peer, and a prefix that
# was learnt is forwarded by the lcores.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init bird

bird_conf() # BOX ROUTER-ID INTERFACE DUMMY-PREFIX
{
	cat >"$LAB_DIR/bird-$1.conf" <<END
router id $2;
protocol device { scan time 2; }
protocol direct { ipv4; interface "lo"; }
protocol kernel { ipv4 { export all; import none; }; }
protocol ospf v2 {
	ipv4 { export where net ~ 10.40.0.0/13; import all; };
	area 0 {
		interface "$3" {
			type ptp;
			hello 1;
			dead 4;
		};
	};
}
END
	bg "bird-$1" "$1" bird -f -c "$LAB_DIR/bird-$1.conf" -s "/run/bird.ctl"
}

must 'gateway and stock peer start' usual_lab '.wireguard[0].peers[0].allowed_ips += ["10.40.0.0/16", "224.0.0.5/32"]
	| .wireguard[0].route_allowed_ips = false | .routes = [{to: "10.3.0.0/24", dev: "strait0"}]'
on peer wg set wg0 peer "$(key_public a)" allowed-ips 10.9.0.1/32,10.1.0.0/24,fd01::/64,fd09::1/128,10.41.0.0/16,224.0.0.5/32
must 'tunnel' session_up lana 10.3.0.2
on peer ip address add 10.40.0.1/24 dev lo
must 'bird on the peer' bird_conf peer 10.9.0.3 wg0
must 'bird on the gateway' bird_conf gwa 10.9.0.1 strait0
check 'they become neighbours' wait_until 30 eval 'on gwa birdc -s /run/bird.ctl show ospf neighbors | grep -q Full'
check 'the kernel has the learnt prefix on strait0' wait_until 20 eval 'on gwa ip route show 10.40.0.0/24 | grep -q strait0'
check 'and the lcores forward to it' wait_until 5 ping_ok lana 10.40.0.1
bg_stop bird-peer KILL
check 'the prefix goes when the neighbour is dead' wait_until 20 eval '[ -z "$(on gwa ip route show 10.40.0.0/24)" ]'
lab_finish
