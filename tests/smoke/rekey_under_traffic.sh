#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# WireGuard's times divided by 20 (a knob of the tests) on two strait gateways, one of which has a stock peer, too: under a
# stream each way keys change every 6 s, and nothing is lost. The real times are those of ./run soak. Receivers have windows
# of 1024 counters and more: what leaves the lcores is never further out of order.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init rekey_under_traffic

shakes() # PEER
{
	last_handshake gwa strait0 "$1"
}

must 'boxes' eval 'wan_box wan && site_boxes a && site_boxes b && peer_boxes'
gateway_config a '.timer_scale = 20' "$(site_peer_entry b "192.0.2.2:$WG_PORT")" "$(site_peer_entry peer "192.0.2.3:$WG_PORT")"
gateway_config b '.timer_scale = 20' "$(site_peer_entry a "192.0.2.1:$WG_PORT")"
must 'the stock peer starts' stock_peer a=
must 'gateway a starts' gateway_start a
must 'gateway b starts' gateway_start b
must 'tunnel' session_up lana 10.2.0.2
must 'and with the stock peer' session_up lana 10.3.0.2
must 'the WAN is recorded' record_start wan gwa
must 'streams run' eval 'stream_start ab lana lanb 10.2.0.2 1000 150 && stream_start ba lanb lana fd01::2 1000 150'
must 'with the stock peer, too' eval 'stream_start ap lana lanp fd03::2 500 150 && stream_start pa lanp lana 10.1.0.2 500 150'
start=$SECONDS
for round in first second; do
	was=$(shakes b) was_peer=$(shakes peer)
	must "a $round new handshake" wait_until 30 eval '[ "$(shakes b)" -gt "$was" ]'
	must 'and with the stock peer' wait_until 30 eval '[ "$(shakes peer)" -gt "$was_peer" ]'
done
stream_end ab now
stream_end ba now
stream_end ap now
stream_end pa now
check 'a to b: each number once' stream_judge ab
check 'b to a: each number once' stream_judge ba
check 'a to the stock peer: each number once' stream_judge ap
check 'the stock peer to a: each number once' stream_judge pa
record_stop wan >/dev/null
check 'no (key, counter) pair twice' equal "$(recorded wan repeated)" 0
check 'no counter is far behind the highest that was sent' at_most "$(recorded wan behind)" 512
check 'handshakes are few: no storm' at_most "$(recorded wan initiation)" $((16 + (SECONDS - start)))
lab_finish
