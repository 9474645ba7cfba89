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

# Each packet that is sent is dropped for the reason, and none for another.
replayed() # TEXT REASON COUNT REPLAY-OPTION...
{
	local text=$1 reason=$2 count=$3 was
	shift 3
	was=$(drops_settled a)
	must "$text" on peer "$WGRAW" replay eth0 "$LAB_DIR/data" "$@"
	check "$count are dropped as $reason" wait_until 5 drops_grew_by a "$was" "{\"$reason\": $count}"
}

for round in 1 2 3; do
	replayed "round $round: they are sent again" wg_replay 10
done
for mode in tag body; do
	replayed "damaged ($mode) packets are sent" wg_bad_tag 100 --mutate "$mode" --times 10
done
replayed 'packets with a random index are sent' wg_no_session 100 --mutate index --times 10
replayed 'packets with a wrong UDP checksum from elsewhere' udp_bad_checksum 100 --mutate udpsum --sport 7 --times 10
replayed 'and from where the peer is: their counters are known' wg_replay 100 --mutate udpsum --times 10
check 'the LAN host got none of them' equal "$(icmp_in)" "$delivered"
check 'the session goes on' ping_ok lana 10.3.0.2
check 'it is the same' equal "$(last_handshake gwa strait0 peer)" "$shake"
lab_finish
