#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The direct path of two gateways is cut while data flows, a TCP stream of iperf3 among it: the relay that stands by
# takes over within 2 s, and carries the stream. When it heals, the direct path is used again, and does so. A peer that is removed leaves nothing installed.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=ice_sites.sh
. "$(dirname "$0")/ice_sites.sh"
lab_init ice_switchover

must 'two sites behind NATs, a server' ice_lab port port
must 'gateway a starts' gateway_start a
must 'gateway b starts' gateway_start b
must 'the tunnel comes up' session_up lana 10.2.0.2
must 'directly, with a relay beside it' eval \
	'wait_until 20 ice_is a b .standby.relayed true && wait_until 5 ice_is b a .standby.relayed true && ice_is a b .path.relayed false'
shake=$(peer_field a b handshakes)

# The stream goes on: so many bytes more on a kind of path.
carries() # direct|relayed
{
	local before
	before=$(ice_field a b ".bytes.tx_$1")
	wait_until 20 eval 'at_least "$(ice_field a b ".bytes.tx_'"$1"'")" '$((before + 1000000))
}

bg iperf-server lanb iperf3 -s -1
must 'iperf3 listens' wait_until 5 port_listens lanb 5201
bg iperf lana iperf3 -c 10.2.0.2 -b 10M -t 300
check 'iperf3 runs directly' carries direct
bg ping lana ping -n -D -i 0.1 10.2.0.2
wait_until 5 grep -q 'icmp_seq=5 ' "$LAB_DIR/ping.log"
ice_block a on
check 'a switches to the relay' wait_until 5 ice_is a b .path.relayed true
check 'b switches to the relay' wait_until 5 ice_is b a .path.relayed true
check 'the tunnel carries packets' session_up lana 10.2.0.2
check 'and the stream' carries relayed
for site in a b; do
	on "gw$site" timeout 1 "$STRAITCTL" events >"$LAB_DIR/events-$site.log"
done
# The longest time between two answers of the ping.
longest=$(awk -F'[][]' '/bytes from/ { if (last && $2 - last > max) max = $2 - last; last = $2 } END { printf "%d", max * 1000 }' \
	"$LAB_DIR/ping.log")
check "no answer for $longest ms, at most 2000" at_most "$longest" 2000
ice_block a off
check 'healed, the path is direct again' wait_until 20 ice_is a b .path.relayed false
check 'for b as well' wait_until 20 ice_is b a .path.relayed false
check 'and carries the stream' carries direct
check 'no handshake in all of it' equal "$(peer_field a b handshakes)" "$shake"

jq '.wireguard[0].peers = []' "$LAB_DIR/gwa.json" >"$LAB_DIR/new.json" && mv "$LAB_DIR/new.json" "$LAB_DIR/gwa.json"
check 'the peer is removed' ctl a reload
check 'nothing of it is installed' eval '[ "$(ctl a peers --json | jq ".peers | length")" = 0 ]'
lab_finish
