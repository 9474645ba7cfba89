#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# 50 stock peers (pion, wireguard-go) of one gateway connect at once over its one UDP port: 25 that may do so directly,
# 13 by relays of theirs, 12 by relays of the gateway. straitd is killed under streams: it is back with all of them,
# answers their checks, and nobody leaves Connected, handshakes or loses a number.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=nat.sh
. "$(dirname "$0")/nat.sh"
# shellcheck source=many_lab.sh
. "$(dirname "$0")/many_lab.sh"
lab_init ice_many

must 'the peers build' nbpeer_build
must 'services' eval 'wan_box wan && service_box && signal_start && turn_start'
must 'a box with 50 peers' eval 'many_keys && many_box'
must 'a gateway that knows them' eval 'site_boxes a && many_gateway && gateway_start a'
begun=$(now)
must '50 peers' many_start
must 'all connect at once over one port' wait_until 60 many_connected
printf '        | in %s ms\n' "$(milliseconds "$begun" "$(now)")"
# A relay may be nominated where a direct pair would have worked.
direct=$(many_states '.relayed == false') own=$(many_states '.local_type == "relay"')
printf '        | %s directly, %s by relays of the gateway\n' "$direct" "$own"
check 'half of them relayed' eval 'at_most "$direct" 25 && at_least "$direct" 5'
check '12 by relays of the gateway' at_least "$own" 12
must 'all have a session' wait_until 20 many_shaken

# One of each kind.
for n in 1 26 39; do
	must "a stream to m$n" stream_start "m$n" lana peers "100.99.0.$n" 50 60
done
must 'handshakes are recorded' record_start shakes gwa "$HANDSHAKES"
killed=$(now)
bg_stop straitd-a KILL
straitd_start a
must 'straitd is back' wait_until 20 gateway_ready a
printf '        | in %s ms\n' "$(milliseconds "$killed" "$(now)")"
back=$(now)
check 'with all pairs' wait_until 5 eval 'equal "$(many_states .alive)" "$PEERS"'
check 'checks of all are answered again under the old credentials' wait_until 30 answered_all "$back"
printf '        | the last one waited %s ms\n' "$(answer_wait "$killed")"
check 'by the same ways as before' eval 'equal "$(many_states ".relayed == false")" "$direct" &&
	equal "$(many_states ".local_type == \"relay\"")" "$own"'
for n in 1 26 39; do
	stream_end "m$n" now
	check "each number of m$n once" stream_judge "m$n"
done
check 'no peer left Connected' equal "$(left_connected "$killed")" '[]'
bg_stop tcpdump-shakes INT
check 'no handshake' equal "$(tcpdump -nr "$LAB_DIR/shakes.pcap" 2>/dev/null | wc -l)" 0

# The lcores get more than they can carry.
flooded=$(now)
must 'full load' flood_start
sleep 8
flood_end
check 'under full load no peer gives up' equal "$(left_connected "$flooded")" '[]'
check 'and all are answered' equal "$(answered_since "$flooded")" "$PEERS"
printf '        | p99 of %s answers: %s ms\n' "$(answers_since "$flooded")" "$(answer_p99 "$flooded")"
lab_finish
