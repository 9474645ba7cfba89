#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A LAN port that is a tap of its own: what sits behind the kernel's end of it reaches the tunnel, and floods of garbage
# cost no packets of the pool. Host devices and the tap itself are deleted by somebody: they come back.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init tap_port

# The tap's kernel end moves into the LAN host's namespace, as a container's interface would.
lan_on_tap='.ports[0] |= (.driver = "tap" | .interface = "taplan")'
must 'boxes' eval 'wan_box wan && site_boxes a && peer_boxes'
gateway_config a "$lan_on_tap" "$(site_peer_entry peer "192.0.2.3:$WG_PORT")"
must 'peer starts' stock_peer a=
must 'gateway starts' gateway_start a
must 'the tap exists' on gwa ip link show taplan
must 'it moves to the host' ip -n "$LAB_TAG-gwa" link set taplan netns "$LAB_TAG-lana"
on lana ip link del eth0
on lana ip link set taplan up
must 'the host has its address there' host lana taplan 10.1.0.2/24 fd01::2/64 10.1.0.1 fd01::1
must 'tunnel' session_up lana 10.3.0.2
check 'IPv6 inside' ping_ok lana fd03::2
check 'from the peer' ping_ok lanp 10.1.0.2
baseline=$(pool_missing a)
check 'garbage on the tap' on lana "$WGRAW" garbage taplan --mac "$(on gwa cat /sys/class/net/lan/address)" --to 10.1.0.1 --to 10.3.0.2 \
	--to fd01::1 --to fd03::2 --source4 10.1.0.2 --source6 fd01::2 --count 8000 --rate 8000 --seed 21
check 'the pools are full again' wait_until 40 pools_are a "$baseline"

tap_is_new() # the port was opened again, and the kernel's end is where the daemon is
{
	on gwa ip link show taplan
}

for dev in strait0 wan lan; do
	on gwa ip link del "$dev"
	check "$dev is deleted: the gateway itself gets through again" wait_until 30 ping_ok gwa 10.3.0.2 -W 1
	check "$dev: the LAN, too" wait_until 20 ping_ok lana 10.3.0.2 -W 1
	check "$dev: and IPv6, from the peer" wait_until 20 ping_ok lanp fd01::2 -W 1
done
on lana ip link del taplan
check 'the tap is deleted: it comes back' wait_until 40 tap_is_new
ip -n "$LAB_TAG-gwa" link set taplan netns "$LAB_TAG-lana"
on lana ip link set taplan up
must 'moved again' host lana taplan 10.1.0.2/24 fd01::2/64 10.1.0.1 fd01::1
check 'it forwards' wait_until 20 ping_ok lana 10.3.0.2 -W 1
check 'the pools are full' wait_until 20 pools_are a "$baseline"
lab_finish
