#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A port that reads packets from a file, over and over, and writes to another: what was recorded on a LAN goes into the tunnel, and
# what the gateway sends to that LAN is in the file.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init pcap_port

must 'boxes' eval 'wan_box wan && site_boxes a && peer_boxes'
"$LAB_ROOT/tests/tools/pcapmake.py" "$LAB_DIR/in.pcap" --count 20 --source 10.1.0.2 --to 10.3.0.2 --port 7777 \
	--mac 02:00:00:00:01:01 --from-mac 02:00:00:00:01:02
with_peer=$(site_peer_entry peer "192.0.2.3:$WG_PORT")
gateway_config a 'del(.ports[0])' "$with_peer"
must 'peer starts' stock_peer a=
bg count lanp tcpdump -n -i eth0 -c 20 'udp and dst port 7777 and src host 10.1.0.2'
must 'listening' wait_until 5 grep -q 'listening on' "$LAB_DIR/count.log"
must 'gateway starts, without a LAN' gateway_start a
must 'tunnel of the gateway itself' session_up gwa 10.3.0.2
# A file is read as soon as its port is there, so the port comes last.
gateway_config a ".ports[0] |= (del(.interface) | .driver = \"pcap\" | .rx_pcap = \"$LAB_DIR/in.pcap\"
	| .tx_pcap = \"$LAB_DIR/out.pcap\" | .mac = \"02:00:00:00:01:01\")" "$with_peer"
must 'reload adds the port' ctl a reload
check 'all 20 recorded packets come out behind the peer' wait_until 15 pid_gone "${LAB_PROC[count]}"
on gwa ip neigh replace 10.1.0.2 lladdr 02:00:00:00:01:02 dev lan nud permanent
must 'the peer sends to the LAN' eval 'for i in 1 2 3; do on lanp ping -n -c 1 -W 1 10.1.0.2; done >/dev/null; true'
must 'clean stop' gateway_stop a
check 'its packets are in the other file' eval \
	'[ "$(tcpdump -n -r "$LAB_DIR/out.pcap" "icmp[icmptype] == icmp-echo and dst host 10.1.0.2" 2>/dev/null | wc -l)" -eq 3 ]'
lab_finish
