#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two strait gateways and their LANs, each with another AEAD backend. Numbered streams both ways, IPv4 and IPv6: nothing is lost.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init site_to_site

backend() # SITE AEAD
{
	ctl "$1" status --json | holds --arg a "$2" '.strait_dp.aead == $a'
}

must 'boxes' eval 'wan_box wan && site_boxes a && site_boxes b'
gateway_config a . "$(site_peer_entry b "192.0.2.2:$WG_PORT")"
gateway_config b '.dataplane.aead = "sodium"' "$(site_peer_entry a "[2001:db8::1]:$WG_PORT")"
must 'gateway a starts' gateway_start a
must 'gateway b starts' gateway_start b
check 'a seals with ipsec_mb, b with libsodium' eval 'backend a ipsec_mb && backend b sodium'
must 'LAN to LAN, IPv4' session_up lana 10.2.0.2
must 'LAN to LAN, IPv6' session_up lanb fd01::2
must 'streams run' eval 'stream_start ab lana lanb 10.2.0.2 1000 4 && stream_start ba lanb lana fd01::2 1000 4 600'
stream_end ab
stream_end ba
check 'a to b, IPv4: each number once' stream_judge ab
check 'b to a, IPv6: each number once' stream_judge ba
lab_finish
