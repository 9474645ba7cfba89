#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What the gateway answers itself: no peer for a destination, TTL at its end, no route; one echo gets one reply.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init icmp

says() # BOX PATTERN PING-ARGUMENT...
{
	local b=$1 pattern=$2
	shift 2
	on "$b" ping -n -c 1 -W 2 "$@" | grep -E "$pattern"
}

must 'gateway and stock peer start' usual_lab
must 'tunnel' session_up lana 10.3.0.2
on gwa ip route add 10.66.0.0/16 dev strait0
on gwa ip -6 route add fd66::/64 dev strait0
on gwa ip route add blackhole 10.67.0.0/16
on gwa ip route add prohibit 10.68.0.0/16
on gwa ip route add unreachable 10.69.0.0/16
check 'nobody has this prefix, IPv4: host unreachable' wait_until 3 says lana 'Destination Host Unreachable' 10.66.0.1
check 'nobody has this prefix, IPv6: address unreachable' wait_until 3 says lana 'Address unreachable' fd66::1
check 'TTL 1 ends here, IPv4' says lana 'Time to live exceeded' -t 1 10.3.0.2
check 'hop limit 1 ends here, IPv6' says lana 'Time exceeded' -t 1 fd03::2
check 'TTL 1 through the tunnel ends here, IPv4' says lanp 'From 10.9.0.1.*Time to live exceeded' -t 2 10.1.0.2
check 'prohibit route: filtered' wait_until 3 says lana 'Packet filtered' 10.68.0.1
check 'unreachable route: unreachable' wait_until 3 says lana 'Destination Host Unreachable' 10.69.0.1
before=$(drop_count a route_blackhole)
on lana ping -n -c 2 -i 0.2 -W 1 10.67.0.1 >/dev/null
check 'blackhole route: silence, counted' wait_until 3 drop_grew a route_blackhole "$before" 2
check 'no route: network unreachable' wait_until 3 says lana 'Destination (Net|Host) Unreachable' 172.16.5.5

for target in 10.1.0.1 10.9.0.1 10.3.0.2 fd01::1 fd09::1 fd03::2; do
	out=$(on lana ping -n -c 5 -i 0.2 "$target")
	check "one echo, one reply: $target" eval 'grep -q "5 received" <<<"$out" && ! grep -q DUP <<<"$out"'
done
out=$(on wan ip link show gwa >/dev/null && on peer ping -n -c 5 -i 0.2 192.0.2.1)
check 'one echo, one reply on the WAN itself' eval 'grep -q "5 received" <<<"$out" && ! grep -q DUP <<<"$out"'
lab_finish
