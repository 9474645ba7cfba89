# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# 50 stock peers of one gateway, half of them relayed, in one process. Source after lab.sh and nat.sh.
#
#     lana -- gwa --+-- wan --+-- svc: strait-signal, coturn
#                             +-- peers: m1 .. m50, UDP ports 52001 .. 52050

PEERS=50

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

many_start() # [OPTION...]
{
	local n
	bg peers peers "$NBPEER" many --count "$PEERS" --keys "$LAB_DIR" --signal "$NAT_SERVICE4:$SIGNAL_PORT" \
		--gateway "$(key_public a),10.1.0.0/24,100.99.0.254/32" --relayed 26-38 --bare 39-50 \
		--url "turn:$NAT_SERVICE4:$TURN_PORT?transport=udp" --turn-user "$TURN_USER" --turn-password "$TURN_PASSWORD" "$@"
	wait_until 20 grep -q '"started"' "$LAB_DIR/peers.log" || return
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
			map(select(.status == "connected")) | length' "$LAB_DIR/peers.log")" "$PEERS"
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
	jq -s --argjson t "$1" '[.[] | select(.event == "answered" and .time > $t) | .self] | unique | length' "$LAB_DIR/peers.log"
}

answered_all() # TIME
{
	equal "$(answered_since "$1")" "$PEERS"
}

# The longest that a peer waited for its first answer after TIME.
answer_wait() # TIME
{
	jq -s --argjson t "$1" '[.[] | select(.event == "answered" and .time > $t)] | group_by(.self) |
		map(.[0].time - $t) | max * 1000 | floor' "$LAB_DIR/peers.log"
}

left_connected() # TIME: states of pion other than Connected, and lost WireGuard peers, after it
{
	jq -cs --argjson t "$1" '[.[] | select(.time > $t and ((.event == "ice" and .state != "Connected") or
		(.event == "status" and .status != "connected")))]' "$LAB_DIR/peers.log"
}

now()
{
	printf '%s\n' "${EPOCHREALTIME/,/.}"
}

milliseconds() # FROM TO
{
	jq -n "($2 - $1) * 1000 | floor"
}

# Datagrams from the LAN to m1 as fast as two processes can write them. What becomes of them on the WAN is dropped
# where it reaches the peers' box: wireguard-go would need the processors that the lcores have.
flood_start()
{
	on peers nft -f - <<-END || return
		table netdev flood {
			chain in {
				type filter hook ingress device "eth0" priority 0
				udp dport 52001 meta length > 1000 drop
			}
		}
	END
	bg flood1 lana bash -c 'exec dd if=/dev/zero bs=1200 status=none >/dev/udp/100.99.0.1/9'
	bg flood2 lana bash -c 'exec dd if=/dev/zero bs=1200 status=none >/dev/udp/100.99.0.1/9'
}

flood_end()
{
	bg_stop flood1 KILL
	bg_stop flood2 KILL
	on peers nft delete table netdev flood
}

answers_since() # TIME
{
	jq -s --argjson t "$1" '[.[] | select(.event == "answered" and .time > $t)] | length' "$LAB_DIR/peers.log"
}

# Of the round trips of peers' checks since TIME, ms.
answer_p99() # TIME
{
	jq -s --argjson t "$1" '[.[] | select(.event == "answered" and .time > $t) | .ms] | sort | .[length * 99 / 100 | floor]' \
		"$LAB_DIR/peers.log"
}
