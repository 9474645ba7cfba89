#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two gateways whose WAN is a shared-memory interface between them: memif, which needs hugepages.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init memif_port

free=$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)
[ "${free:-0}" -ge 170 ] || lab_skip "memif needs 170 free hugepages of 2 MB, there are ${free:-0}"
memif() # server|client
{
	printf '.dataplane.hugepages = "yes" | .dataplane.memory_mb = 160 | .dataplane.packets = 8192 | .ports[1] |= (del(.interface) | .driver = "memif"
		| .socket = "%s/memif.sock" | .role = "%s")' "$LAB_DIR" "$1"
}
must 'boxes' eval 'wan_box wan && site_boxes a && site_boxes b'
gateway_config a "$(memif server)" "$(site_peer_entry b "192.0.2.2:$WG_PORT")"
gateway_config b "$(memif client)" "$(site_peer_entry a "192.0.2.1:$WG_PORT")"
must 'gateway a starts' gateway_start a
must 'gateway b starts' gateway_start b
must 'LAN to LAN over memif' session_up lana 10.2.0.2
check 'IPv6 inside' ping_ok lanb fd01::2
must 'streams run' eval 'stream_start ab lana lanb 10.2.0.2 1000 4 && stream_start ba lanb lana fd01::2 1000 4'
stream_end ab
stream_end ba
check 'a to b: each number once' stream_judge ab
check 'b to a: each number once' stream_judge ba
baseline=$(pool_missing a) baseline_b=$(pool_missing b)
check 'garbage through a, over memif into b' on lana "$WGRAW" garbage eth0 --mac "$(on gwa cat /sys/class/net/rlan/address)" --to 192.0.2.2 \
	--to 10.2.0.2 --to 2001:db8::2 --source4 10.1.0.2 --source6 fd01::2 --count 8000 --rate 8000 --seed 31
check 'traffic goes on' ping_ok lana 10.2.0.2
check 'the pools of a are full again' wait_until 40 pools_are a "$baseline"
check 'and those of b' wait_until 40 pools_are b "$baseline_b"
lab_finish
