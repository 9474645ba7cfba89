# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Two strait gateways behind NATs that find each other by strait-signal and coturn. Source after lab.sh.
#
#     lana -- gwa -- nata --+              +-- natb -- gwb -- lanb
#                           +-- wan -- srv      srv: strait-signal (10000), coturn (3478)
#
# Site N is 192.168.N.2 behind a NAT box that is 192.0.2.1N outside. The server is 192.0.2.9.

STRAIT_SIGNAL=${STRAIT_SIGNAL:-$LAB_BUILD/control/signal/server/strait-signal}
ICE_TURN_SECRET=some_secret

# The wires of a site behind a NAT; gateway_config needs ice_filter.
ice_site_boxes() # a|b
{
	local n
	n=$(site_number "$1")
	box "lan$1" && box "gw$1" && box "nat$1" || return
	wire "lan$1" eth0 "gw$1" rlan || return
	host "lan$1" eth0 "10.$n.0.2/24" "fd0$n::2/64" "10.$n.0.1" "fd0$n::1" || return
	wire "gw$1" rwan "nat$1" in || return
	plug "nat$1" out || return
	address "nat$1" in "192.168.$n.1/24" || return
	address "nat$1" out "192.0.2.1$n/24" || return
	on "nat$1" sysctl -qw net.ipv4.ip_forward=1
}

# port: the NAT keeps source ports. symmetric: each destination gets a port at random. As home routers
# they drop what nobody inside asked for.
ice_nat() # a|b port|symmetric
{
	local flags=
	[ "$2" = symmetric ] && flags='fully-random'
	on "nat$1" nft -f - <<-END
		flush ruleset
		table ip nat {
			chain post {
				type nat hook postrouting priority srcnat
				oifname "out" masquerade $flags
			}
		}
		table ip filter {
			chain input {
				type filter hook input priority filter
				iifname "out" ct state new drop
			}
			chain forward {
				type filter hook forward priority filter
				iifname "out" ct state new drop
			}
		}
	END
}

# Nothing but what goes to or comes from the server passes between the sites, or everything again.
ice_block() # a|b on|off
{
	on "nat$1" nft "delete table ip block" 2>/dev/null
	[ "$2" = on ] || return 0
	on "nat$1" nft -f - <<-END
		table ip block {
			chain forward {
				type filter hook forward priority filter - 10
				ip saddr != 192.0.2.9 ip daddr != 192.0.2.9 meta l4proto udp drop
			}
		}
	END
}

# A port forward for WireGuard: everybody reaches the gateway on it.
ice_forward() # a|b
{
	on "nat$1" nft -f - <<-END
		table ip nat {
			chain pre {
				type nat hook prerouting priority dstnat
				iifname "out" udp dport 51820 dnat to 192.168.$(site_number "$1").2
			}
		}
		insert rule ip filter forward ct status dnat accept
		insert rule ip filter input ct status dnat accept
	END
}

# Another address outside, as after a line that was cut; nothing is left of what it had translated.
ice_readdress() # a|b ADDRESS
{
	on "nat$1" ip address flush dev out
	address "nat$1" out "$2/24" && on "nat$1" conntrack -F
}

ice_signal_start()
{
	bg signal srv "$STRAIT_SIGNAL" --listen 192.0.2.9:10000 || return
	wait_until 10 port_listens srv 10000
}

ice_turn_start()
{
	bg turn srv turnserver -n --log-file=stdout --no-tls --no-dtls --no-cli --no-tcp-relay -L 192.0.2.9 -E 192.0.2.9 \
		--use-auth-secret --static-auth-secret="$ICE_TURN_SECRET" --realm=strait.test --userdb="$LAB_DIR/turn.db" \
		--allow-loopback-peers --pidfile="$LAB_DIR/turn.pid" || return
	wait_until 10 port_listens srv 3478
}

ice_server()
{
	box srv && plug srv eth0 && address srv eth0 192.0.2.9/24 || return
	# coturn closes a relay socket whose send finds no route.
	on srv ip route add default via 192.0.2.11 || return
	ice_signal_start && ice_turn_start
}

# The difference to a gateway with a public address. MORE is a jq expression for .wireguard[0].ice.
ice_filter() # a|b [MORE]
{
	local n
	n=$(site_number "$1")
	(umask 077 && printf '%s\n' "$ICE_TURN_SECRET" >"$LAB_DIR/turn.secret")
	printf '.ports[1].addresses = ["192.168.%d.2/24"]
		| .routes = [{to: "0.0.0.0/0", via: "192.168.%d.1"}]
		| .wireguard[0].signal = {url: "http://192.0.2.9:10000"}
		| .wireguard[0].ice = ({servers: [{url: "stun:192.0.2.9:3478"},
			{url: "turn:192.0.2.9:3478", secret_file: "%s"}]} | %s)' \
		"$n" "$n" "$LAB_DIR/turn.secret" "${2:-.}"
}

# Everything up to the gateways, which the script starts.
ice_lab() # NAT-OF-A NAT-OF-B [MORE]
{
	wan_box wan && ice_site_boxes a && ice_site_boxes b || return
	ice_nat a "$1" && ice_nat b "$2" && ice_server || return
	gateway_config a "$(ice_filter a "${3:-.}")" "$(site_peer_entry b '')" || return
	gateway_config b "$(ice_filter b "${3:-.}")" "$(site_peer_entry a '')"
}

ice_field() # a|b PEER JQ-PATH; of the object "ice"
{
	ctl "$1" peers --json | jq -r --arg p "$2" ".peers[] | select(.name == \$p) | .ice$3"
}

ice_is() # a|b PEER JQ-PATH WANTED
{
	equal "$(ice_field "$1" "$2" "$3")" "$4"
}
