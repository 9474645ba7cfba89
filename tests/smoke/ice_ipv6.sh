#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two gateways with IPv6 alone on the WAN: signal, STUN and TURN over IPv6. The tunnel comes up directly; when nothing but
# the TURN server is left, through it. Then the address of one changes under traffic: the session lives on.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=nat.sh
. "$(dirname "$0")/nat.sh"
lab_init ice_ipv6

gateway_v6() # a|b PEER
{
	local n
	n=$(site_number "$1")
	gateway_config "$1" ".ports[1].addresses = [\"2001:db8::$n/64\"]
		| .wireguard[0].signal = {url: \"http://[$NAT_SERVICE6]:$SIGNAL_PORT\"}
		| .wireguard[0].ice = {servers: [{url: \"turn:[$NAT_SERVICE6]:$TURN_PORT\", username: \"$TURN_USER\",
			password: \"$TURN_PASSWORD\"}]}" "$(site_peer_entry "$2" '')" && chmod 600 "$LAB_DIR/gw$1.json"
}

direct_way() # open|cut: datagrams between the gateways
{
	on wan nft "delete table bridge cut" 2>/dev/null
	[ "$1" = cut ] || return 0
	on wan nft -f - <<-END
		table bridge cut {
			chain forward {
				type filter hook forward priority 0
				ip6 saddr != $NAT_SERVICE6 ip6 daddr != $NAT_SERVICE6 meta l4proto udp drop
			}
		}
	END
}

path() # a|b PEER FIELD
{
	ctl "$1" peers --json | jq -r --arg p "$2" ".peers[] | select(.name == \$p) | .ice.path.$3"
}

path_is() # a|b PEER FIELD WANTED
{
	equal "$(path "$1" "$2" "$3")" "$4"
}

based_at() # a|b PEER ADDRESS
{
	path "$1" "$2" base | grep -F "[$3]:" && path_is "$1" "$2" alive true
}

must 'services' eval 'wan_box wan && service_box && signal_start && turn_start'
must 'two sites' eval 'site_boxes a && site_boxes b && gateway_v6 a b && gateway_v6 b a'
must 'gateways start' eval 'gateway_start a && gateway_start b'
must 'the tunnel comes up' session_up lana 10.2.0.2
check 'directly' wait_until 20 path_is a b relayed false
check 'by IPv6' based_at a b 2001:db8::1

check 'a relay stands by' wait_until 30 ice_is a b .standby.alive true
shake=$(ctl b peers --json | jq '.peers[0].handshakes')
jq '.ports[1].addresses = ["2001:db8::71/64"]' "$LAB_DIR/gwa.json" >"$LAB_DIR/new.json" && chmod 600 "$LAB_DIR/new.json" &&
	mv "$LAB_DIR/new.json" "$LAB_DIR/gwa.json"
bg ping lana ping -n -D -i 0.1 10.2.0.2
check 'another address' ctl a reload
check 'a connects from it' wait_until 20 based_at a b 2001:db8::71
check 'the tunnel carries on' session_up lana 10.2.0.2
bg_stop ping INT
longest=$(awk -F'[][]' '/bytes from/ { if (last && $2 - last > max) max = $2 - last; last = $2 }
	END { printf "%d", max * 1000 }' "$LAB_DIR/ping.log")
check "no answer for $longest ms" at_most "$longest" 10000
check 'in the same session' equal "$(ctl b peers --json | jq '.peers[0].handshakes')" "$shake"

must 'the direct way is cut' direct_way cut
check 'the relay takes over' wait_until 60 path_is a b relayed true
check 'by IPv6' eval 'path a b remote; path a b base | grep -F "[2001:db8::"'
check 'it carries' session_up lana 10.2.0.2
direct_way open
check 'open again, it is direct again by itself' wait_until 60 path_is a b relayed false
lab_finish
