#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# WireGuard's times divided by 20 (a knob of the tests) on two strait gateways: under a stream each way keys change
# every 6 s, and nothing is lost. The real times are those of ./run soak.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init rekey_under_traffic

shakes()
{
	on gwa wg show strait0 latest-handshakes | awk '{ print $2 }'
}

must 'boxes' eval 'wan_box wan && site_boxes a && site_boxes b'
gateway_config a '.timer_scale = 20' "$(site_peer_entry b "192.0.2.2:$WG_PORT")"
gateway_config b '.timer_scale = 20' "$(site_peer_entry a "192.0.2.1:$WG_PORT")"
must 'gateway a starts' gateway_start a
must 'gateway b starts' gateway_start b
must 'tunnel' session_up lana 10.2.0.2
must 'the WAN is recorded' record_start wan gwa
must 'streams run' eval 'stream_start ab lana lanb 10.2.0.2 1000 25 && stream_start ba lanb lana fd01::2 1000 25'
first=$(shakes)
must 'a first new handshake' wait_until 12 eval '[ "$(shakes)" -gt "$first" ]'
second=$(shakes)
must 'a second one' wait_until 12 eval '[ "$(shakes)" -gt "$second" ]'
stream_end ab
stream_end ba
check 'a to b: each number once' stream_judge ab
check 'b to a: each number once' stream_judge ba
record_stop wan >/dev/null
check 'no (key, counter) pair twice' equal "$(recorded wan repeated)" 0
check 'handshakes are few: no storm' at_most "$(recorded wan initiation)" 12
lab_finish
