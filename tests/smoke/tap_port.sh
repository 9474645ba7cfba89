#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A LAN port that is a tap of its own: what sits behind the kernel's end of it reaches the tunnel.
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
lab_finish
