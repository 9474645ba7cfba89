#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A tunnel for 0.0.0.0/0 and ::/0: everything but the tunnel's own packets goes in, and the tunnel does not swallow
# itself; neither while strait-dp is killed nor while it is filled anew does a packet of the LAN leave in the clear. The
# kernel would send it out if it heard it; after a clean stop, when it does, the recording shows that.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init default_route

to_far() # RECORDING: packets to or from the far address in the clear
{
	tcpdump -n -r "$LAB_DIR/$1.pcap" host 203.0.113.9 2>/dev/null | wc -l
}

kernel_leaks()
{
	on lana ping -q -n -c 1 -W 0.1 203.0.113.9
	at_least "$(to_far bare)" 1
}

everything='.wireguard[0].peers[0].allowed_ips = ["0.0.0.0/0", "::/0"]'
must 'boxes' eval 'wan_box wan && site_boxes a && peer_boxes'
gateway_config a "$everything" "$(site_peer_entry peer "192.0.2.3:$WG_PORT")"
must 'peer starts' stock_peer a=
must 'gateway starts' gateway_start a
on peer ip address add 203.0.113.9/32 dev lo
on peer ip -6 address add 2001:db8:77::9/128 dev lo
check 'the default route is the tunnel' eval 'on gwa ip route show default | grep -q strait0'
must 'the kernel would forward what it heard' kernel_would_leak a
must 'the WAN is recorded' record_start wan gwa
must 'LAN host reaches a far address through the tunnel' session_up lana 203.0.113.9
check 'the same, IPv6' session_up lana 2001:db8:77::9
check 'the gateway itself, too' ping_ok gwa 203.0.113.9
bg knock lana ping -q -i 0.001 203.0.113.9
must 'a LAN host sends without a pause' wait_until 10 recorded_so_far wan data 300
bg_stop dp-a KILL
must 'strait-dp is started again' dp_start a
must 'everything is installed again' wait_until 20 gateway_ready a
check 'the tunnel is back' wait_until 20 ping_ok lana 203.0.113.9
check 'packets were held until it was' at_least "$(drop_count a not_synced)" 1
bg_stop knock INT >/dev/null
record_stop wan >/dev/null
check 'as data packets' at_least "$(recorded wan data)" 4
check 'not in the clear' equal "$(to_far wan)" 0

# The check above can fail: without strait the kernel hears the LAN.
must 'the WAN is recorded again' record_start bare gwa
must 'clean stop' gateway_stop a
on lana ip neigh replace 10.1.0.1 lladdr "$(on gwa cat /sys/class/net/rlan/address)" dev eth0 nud permanent
check 'without strait the kernel forwards in the clear' wait_until 10 kernel_leaks
record_stop bare >/dev/null
lab_finish
