#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A port that plays a file over and over as fast as the lcore takes it: the contract goes on (a reload is answered, a sync ends),
# the tunnel is set up beside it, and the pools are full again when the port is gone.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init pcap_flood

must 'boxes' eval 'wan_box wan && site_boxes a && peer_boxes'
"$LAB_ROOT/tests/tools/pcapmake.py" "$LAB_DIR/in.pcap" --count 20 --source 10.1.0.2 --to 10.3.0.2 --port 7777 \
	--mac 02:00:00:00:01:01 --from-mac 02:00:00:00:01:02
flooded=".ports += [{name: \"flood\", driver: \"pcap\", rx_pcap: \"$LAB_DIR/in.pcap\", tx_pcap: \"/dev/null\",
	infinite_rx: true, mac: \"02:00:00:00:01:01\"}]"
with_peer=$(site_peer_entry peer "192.0.2.3:$WG_PORT")
gateway_config a . "$with_peer"
must 'peer starts' stock_peer a=
must 'gateway starts' gateway_start a
baseline=$(pool_missing a)
gateway_config a "$flooded" "$with_peer"
must 'the port comes' ctl a reload
check 'the flood is there' wait_until 10 eval '[ "$(port_counter a flood rx_packets)" -ge 10000 ]'
check 'a session comes about beside it' wait_until 20 ping_ok gwa 10.3.0.2
check 'a change is taken beside it' ctl a reload
bg_stop straitd-a KILL 2>/dev/null
must 'straitd starts again' straitd_start a
check 'and sees its sync end' wait_until 20 gateway_ready a
gateway_config a . "$with_peer"
check 'the port goes' ctl a reload
check 'the rest is as before' session_up lana 10.3.0.2
check 'the pools are full again' wait_until 30 pools_are a "$baseline"
lab_finish
