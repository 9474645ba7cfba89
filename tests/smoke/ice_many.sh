#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# 50 stock peers (pion, wireguard-go) of one gateway connect at once over its one UDP port: 25 that may do so directly,
# 13 by relays of theirs, 12 by relays of the gateway. straitd is killed under streams: it is back with all of them,
# answers their checks, and nobody leaves Connected, handshakes or loses a number.
#
#     lana -- gwa --+-- wan --+-- svc: strait-signal, coturn
#                             +-- peers: m1 .. m50, UDP ports 52001 .. 52050
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=nat.sh
. "$(dirname "$0")/nat.sh"
lab_init ice_many

PEERS=50
PEERS_LOG=$LAB_DIR/peers.log

many_keys()
{
	local n
	for n in $(seq "$PEERS"); do
		key_private "m$n" >/dev/null
	done
}

# From m39 on nothing passes but what goes to or comes from the services.
many_box()
{
	box peers && plug peers eth0 && address peers eth0 192.0.2.50/24 || return
	on peers nft -f - <<-END
		table ip closed {
			chain in { type filter hook input priority 0; ip saddr != $NAT_SERVICE4 udp dport 52039-52050 drop
			}
			chain out { type filter hook output priority 0; ip daddr != $NAT_SERVICE4 udp sport 52039-52050 drop
			}
		}
	END
}

many_gateway()
{
	local n entries=()
	for n in $(seq "$PEERS"); do
		entries+=("$(peer_entry "m$n" '' "100.99.0.$n/32")")
	done
	gateway_config a ".wireguard[0].signal = {url: \"http://$NAT_SERVICE4:$SIGNAL_PORT\"}
		| .wireguard[0].addresses += [\"100.99.0.254/24\"]
		| .wireguard[0].ice = {servers: [{url: \"turn:$NAT_SERVICE4:$TURN_PORT\", username: \"$TURN_USER\",
			password: \"$TURN_PASSWORD\"}]}" "${entries[@]}" && chmod 600 "$LAB_DIR/gwa.json"
}

many_start()
{
	local n
	bg peers peers "$NBPEER" many --count "$PEERS" --keys "$LAB_DIR" --signal "$NAT_SERVICE4:$SIGNAL_PORT" \
		--gateway "$(key_public a),10.1.0.0/24,100.99.0.254/32" --relayed 26-38 --bare 39-50 \
		--url "turn:$NAT_SERVICE4:$TURN_PORT?transport=udp" --turn-user "$TURN_USER" --turn-password "$TURN_PASSWORD"
	wait_until 20 grep -q '"started"' "$PEERS_LOG" || return
	for n in $(seq "$PEERS"); do
		printf 'address add 100.99.0.%d/32 dev m%d\nlink set m%d up\nroute add 10.1.0.0/24 dev m%d table %d\n' \
			"$n" "$n" "$n" "$n" $((1000 + n))
		printf 'rule add from 100.99.0.%d lookup %d\n' "$n" $((1000 + n))
	done >"$LAB_DIR/peers.ip"
	on peers ip -batch "$LAB_DIR/peers.ip"
}

many_states() # JQ-FILTER over the gateway's list of peers
{
	ctl a peers --json | jq "[.peers[] | .ice.path // {} | select($1)] | length"
}

many_connected()
{
	equal "$(many_states .alive)" "$PEERS" &&
		equal "$(jq -rs '[.[] | select(.event == "status")] | group_by(.self) | map(last) |
			map(select(.status == "connected")) | length' "$PEERS_LOG")" "$PEERS"
}

many_shaken()
{
	equal "$(ctl a peers --json | jq '[.peers[] | select(.handshake_age_ms != null)] | length')" "$PEERS"
}

# Initiations and responses of WireGuard, also within ChannelData.
HANDSHAKES='udp[8:4] = 0x01000000 or udp[8:4] = 0x02000000 or
	(udp[8] & 0xc0 = 0x40 and (udp[12:4] = 0x01000000 or udp[12:4] = 0x02000000))'

answered_since() # TIME: peers whose checks were answered after it
{
	jq -s --argjson t "$1" '[.[] | select(.event == "answered" and .time > $t) | .self] | unique | length' "$PEERS_LOG"
}

answered_all() # TIME
{
	equal "$(answered_since "$1")" "$PEERS"
}

# The longest that a peer waited for its first answer after TIME.
answer_wait() # TIME
{
	jq -s --argjson t "$1" '[.[] | select(.event == "answered" and .time > $t)] | group_by(.self) |
		map(.[0].time - $t) | max * 1000 | floor' "$PEERS_LOG"
}

left_connected() # TIME: states of pion other than Connected, and lost WireGuard peers, after it
{
	jq -cs --argjson t "$1" '[.[] | select(.time > $t and ((.event == "ice" and .state != "Connected") or
		(.event == "status" and .status != "connected")))]' "$PEERS_LOG"
}

now()
{
	printf '%s\n' "${EPOCHREALTIME/,/.}"
}

milliseconds() # FROM TO
{
	jq -n "($2 - $1) * 1000 | floor"
}

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
lab_finish
