#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A tunnel for 0.0.0.0/0 and ::/0: everything but the tunnel's own packets goes in, and the tunnel does not swallow
# itself; neither while strait-dp is killed nor while it is filled anew does a packet of the LAN leave in the clear.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init default_route

everything='.wireguard[0].peers[0].allowed_ips = ["0.0.0.0/0", "::/0"]'
must 'boxes' eval 'wan_box wan && site_boxes a && peer_boxes'
gateway_config a "$everything" "$(site_peer_entry peer "192.0.2.3:$WG_PORT")"
must 'peer starts' stock_peer a=
must 'gateway starts' gateway_start a
on peer ip address add 203.0.113.9/32 dev lo
on peer ip -6 address add 2001:db8:77::9/128 dev lo
check 'the default route is the tunnel' eval 'on gwa ip route show default | grep -q strait0'
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
check 'not in the clear' eval '[ "$(tcpdump -n -r "$LAB_DIR/wan.pcap" host 203.0.113.9 2>/dev/null | wc -l)" -eq 0 ]'
lab_finish
