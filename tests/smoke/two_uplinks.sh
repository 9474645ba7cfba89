#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two uplinks and policy routing by source: the answer to a peer leaves by the uplink it came in on, and the tunnel
# moves when the peer uses the other one. A third way is a device of the kernel that strait has no part in: straitd carries what
# goes and comes there.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init two_uplinks

must 'boxes' eval 'wan_box wan && wan_box wan2 && site_boxes a && peer_boxes'
plug gwa rwan2 wan2
plug peer eth2 wan2
address peer eth2 198.51.100.3/24
second='.ports += [{name: "up2", driver: "af_packet", interface: "rwan2", addresses: ["198.51.100.1/24"]}]
	| .routes = [{to: "0.0.0.0/0", via: "192.0.2.254", dev: "wan"},
		{to: "0.0.0.0/0", via: "198.51.100.254", dev: "up2", table: 200}]'
gateway_config a "$second" "$(site_peer_entry peer '')"
must 'gateway starts' gateway_start a
on gwa ip rule add from 198.51.100.1 table 200 priority 1000
# The peer's own address is behind both: only the source decides which uplink is right.
on peer ip address add 203.0.113.3/32 dev lo
on peer ip address add 192.0.2.254/24 dev eth0
on peer ip address add 198.51.100.254/24 dev eth2
on peer ip route add 192.0.2.1/32 dev eth0 src 203.0.113.3
on peer ip route add 198.51.100.1/32 dev eth2 src 203.0.113.3
must 'peer starts, over uplink 1' stock_peer "a=192.0.2.1:$WG_PORT"
must 'tunnel' session_up lanp 10.1.0.2
must 'uplink 2 is recorded' eval 'bg tcpdump-two wan2 tcpdump -n --immediate-mode -U -i gwa -w "$LAB_DIR/two.pcap" udp &&
	wait_until 10 grep -q "listening on" "$LAB_DIR/tcpdump-two.log"'
check 'traffic over uplink 1' ping_ok lana 10.3.0.2
must 'the peer goes to uplink 2' on peer wg set wg0 peer "$(key_public a)" endpoint "198.51.100.1:$WG_PORT"
must 'traffic over uplink 2' session_up lanp 10.1.0.2
check 'the gateway answers from there' wait_until 5 eval \
	'ping_ok lana 10.3.0.2 >/dev/null; tcpdump -n -r "$LAB_DIR/two.pcap" src host 198.51.100.1 2>/dev/null | grep -q .'
must 'uplink 1 goes away' on wan ip link set peer down
check 'traffic goes on over uplink 2, from the LAN' ping_ok lana 10.3.0.2
check 'and to it' ping_ok lanp 10.1.0.2
wire gwa plain peer eth3
address gwa plain 198.51.101.1/24
address peer eth3 198.51.101.3/24
must 'the peer goes to a device that is not ours' on peer wg set wg0 peer "$(key_public a)" endpoint "198.51.101.1:$WG_PORT"
must 'traffic by straitd, from the peer' session_up lanp 10.1.0.2
check 'the endpoint is of kind control' wait_until 5 eval 'equal "$(peer_field a peer endpoint_kind)" control'
check 'from the LAN' ping_ok lana 10.3.0.2
check 'IPv6 inside' ping_ok lana fd03::2
check 'straitd has sent and handed down' eval \
	'at_least "$(ctl a status --json | jq "[.. | .data_sent? // empty] | add")" 2 && at_least "$(ctl a status --json | jq "[.. | .data_passed_down? // empty] | add")" 2'
must 'the peer comes back' on peer wg set wg0 peer "$(key_public a)" endpoint "198.51.100.1:$WG_PORT"
must 'traffic over uplink 2 again' session_up lanp 10.1.0.2
check 'the endpoint is of an lcore again' wait_until 5 eval 'equal "$(peer_field a peer endpoint_kind)" direct'
check 'and used' ping_ok lana 10.3.0.2
lab_finish
