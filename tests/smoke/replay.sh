#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Packets sent a second time, old ones, and damaged ones: dropped by name, nothing reaches the LAN, the session
# and the endpoint stay as they are.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init replay

icmp_in() # echo requests that the LAN host got
{
	on lana awk '/^IcmpMsg:/ && !names { split($0, n); names = 1; next } /^IcmpMsg:/ {
		split($0, v); for (i in n) if (n[i] == "InType8") print v[i] }' /proc/net/snmp
}

must 'gateway and stock peer start' usual_lab
must 'tunnel' session_up lana 10.3.0.2
must 'packets are recorded' data_record data 10
shake=$(last_handshake gwa strait0 peer)
delivered=$(icmp_in)
for round in 1 2 3; do
	before=$(drop_count a wg_replay)
	must "round $round: they are sent again" on peer "$WGRAW" replay eth0 "$LAB_DIR/data"
	check "round $round: ten replays are counted" wait_until 3 drop_grew a wg_replay "$before" 10
done
for mode in tag body; do
	before=$(drop_count a wg_bad_tag)
	must "damaged ($mode) packets are sent" on peer "$WGRAW" replay eth0 "$LAB_DIR/data" --mutate "$mode" --times 10
	check "they fail the tag" wait_until 3 drop_grew a wg_bad_tag "$before" 100
done
before=$(drop_count a wg_no_session)
must 'packets with a random index are sent' on peer "$WGRAW" replay eth0 "$LAB_DIR/data" --mutate index --times 10
check 'they find no session' wait_until 3 drop_grew a wg_no_session "$before" 100
before=$(drop_count a udp_bad_checksum)
must 'packets with a wrong UDP checksum from elsewhere' on peer "$WGRAW" replay eth0 "$LAB_DIR/data" --mutate udpsum --sport 7 --times 10
check 'they fail the checksum' wait_until 3 drop_grew a udp_bad_checksum "$before" 100
before=$(drop_count a wg_replay)
must 'and from where the peer is' on peer "$WGRAW" replay eth0 "$LAB_DIR/data" --mutate udpsum --times 10
check 'their counters are known' wait_until 3 drop_grew a wg_replay "$before" 100
check 'the LAN host got none of them' equal "$(icmp_in)" "$delivered"
check 'the session goes on' ping_ok lana 10.3.0.2
check 'it is the same' equal "$(last_handshake gwa strait0 peer)" "$shake"
lab_finish
