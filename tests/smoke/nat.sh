# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# NATs, a signal server and a STUN/TURN server for scripts that connect peers by ICE. Source it after
# lab.sh. All of it hangs on the bridge "wan":
#
#     inside --+-- NAT box (br0 | out0) --+            192.0.2.100, 2001:db8::100
#              +-- more of the inside   +-- wan --+-- svc: strait-signal (10000), coturn (3478)
#     inside ---- NAT box ---- NAT box -+         +-- boxes without NAT, 192.0.2.N
#
# A NAT box's inside is a bridge, so "plug BOX IF NAT-BOX" puts a box behind it as "plug BOX IF" puts it on
# the WAN. Inside of NAT box number N: 10.20.N.0/24, gateway .1.

NAT_SERVICE4=192.0.2.100
NAT_SERVICE6=2001:db8::100
SIGNAL_PORT=10000
TURN_PORT=3478
TURN_USER=strait
TURN_PASSWORD=a-password-of-the-lab
TURN_REALM=strait.test
STRAIT_SIGNAL=$LAB_BUILD/control/signal/server/strait-signal
NBPEER=$LAB_BUILD/tests/interop/nbpeer

# What each kind does to UDP that leaves through it and to what comes unasked:
#   cone       keeps the port; lets in only answers (Linux' masquerade, most home routers)
#   full       keeps the port; whoever knows it may send to the last inside address 10.20.N.2
#   symmetric  another random port for each destination
#   blocked    as cone, and no UDP but to the TURN server
#   none       no NAT: a router; nat_routes tells the others the way
nat_rules() # KIND NUMBER
{
	local snat=masquerade forward="" dnat=""
	case $1 in
	none) return ;;
	cone) ;;
	full) dnat="iifname \"out0\" meta l4proto udp dnat to 10.20.$2.2" ;;
	symmetric) snat='masquerade fully-random' ;;
	blocked) forward="meta l4proto udp ip daddr != $NAT_SERVICE4 drop
			meta l4proto udp ip daddr $NAT_SERVICE4 udp dport != $TURN_PORT drop" ;;
	*)
		echo "no NAT kind $1" >&2
		return 1
		;;
	esac
	# What comes unasked is dropped before conntrack would keep its port from those inside.
	cat <<-END
	table ip nat {
		chain pre { type nat hook prerouting priority dstnat; $dnat
		}
		chain post { type nat hook postrouting priority srcnat; oifname "out0" $snat
		}
	}
	table ip filter {
		chain unasked { type filter hook input priority 0; iifname "out0" ct state new drop
		}
		chain through { type filter hook forward priority 0; iifname "br0" jump leaving
			iifname "out0" ct status dnat accept
			iifname "out0" ct state new drop
		}
		chain leaving {
			$forward
		}
	}
	END
}

nat_box() # NAME NUMBER KIND [OUTSIDE-BOX OUTSIDE-ADDRESS GATEWAY]; outside is the WAN by default
{
	local b=$1 n=$2 kind=$3
	box "$b" || return
	on "$b" ip link add br0 type bridge mcast_snooping 0 forward_delay 0 || return
	on "$b" ip link set br0 up
	address "$b" br0 "10.20.$n.1/24" || return
	plug "$b" out0 "${4:-wan}" || return
	address "$b" out0 "${5:-192.0.2.$((20 + n))/24}" || return
	on "$b" ip route add default via "${6:-$NAT_SERVICE4}" || return
	on "$b" sysctl -qw net.ipv4.ip_forward=1
	nat_change "$b" "$n" "$kind"
}

# Another kind for a NAT box that lives; what UDP it had translated is forgotten, while TCP goes on.
nat_change() # NAME NUMBER KIND
{
	{ echo 'flush ruleset'; nat_rules "$3" "$2"; } >"$LAB_DIR/$1.nft" || return
	on "$1" nft -f "$LAB_DIR/$1.nft" && nat_forget "$1"
}

# The way to what is behind NAT box NUMBER, for boxes on the WAN.
nat_routes() # NUMBER BOX...
{
	local n=$1 b
	shift
	for b in "$@"; do
		on "$b" ip route add "10.20.$n.0/24" via "192.0.2.$((20 + n))" || return
	done
}

nat_forget() # NAME
{
	on "$1" conntrack -D -p udp >/dev/null 2>&1 || true
}

# No UDP passes but to and from the server, or everything again.
nat_cut() # NAME on|off
{
	on "$1" nft 'delete table ip cut' 2>/dev/null
	[ "$2" = on ] || return 0
	on "$1" nft -f - <<-END
		table ip cut {
			chain forward {
				type filter hook forward priority filter - 10
				ip saddr != $NAT_SERVICE4 ip daddr != $NAT_SERVICE4 meta l4proto udp drop
			}
		}
	END
}

# A plain box behind a NAT box, or on the WAN with NAT-BOX "wan" and ADDRESS/LEN.
inside_box() # NAME NAT-BOX ADDRESS/LEN [GATEWAY]
{
	box "$1" || return
	plug "$1" eth0 "$2" || return
	address "$1" eth0 "$3" || return
	[ -z "${4:-}" ] || on "$1" ip route add default via "$4"
}

# ---- services ------------------------------------------------------------------------------------

service_box()
{
	box svc || return
	plug svc eth0 || return
	address svc eth0 "$NAT_SERVICE4/24" "$NAT_SERVICE6/64" || return
	# coturn closes an allocation whose send finds no route.
	on svc ip route add default dev eth0
}

signal_start() # [OPTION...]
{
	bg signal svc "$STRAIT_SIGNAL" --listen "[::]:$SIGNAL_PORT" --run-dir /run/strait-signal "$@"
	wait_until 10 port_listens svc "$SIGNAL_PORT"
}

signal_status() # a figure of strait-signal's status
{
	on svc "$STRAIT_SIGNAL" --status --json --run-dir /run/strait-signal | jq -r ".$1"
}

turn_start()
{
	bg turn svc turnserver -n --no-cli --no-tls --no-dtls --log-file stdout --simple-log \
		--pidfile /run/turn.pid --userdb /run/turn.db --listening-port "$TURN_PORT" \
		--listening-ip "$NAT_SERVICE4" --listening-ip "$NAT_SERVICE6" \
		--relay-ip "$NAT_SERVICE4" --relay-ip "$NAT_SERVICE6" \
		--lt-cred-mech --fingerprint --user "$TURN_USER:$TURN_PASSWORD" --realm "$TURN_REALM"
	wait_until 10 port_listens svc "$TURN_PORT"
}

# ---- gateways -------------------------------------------------------------------------------------

# Keys such that each controls those named behind it: the greater in base64.
keys_ordered() # NAME...
{
	local n=0 names=("$@") key
	for ((n = 0; n < $#; n++)); do
		key=$(umask 077 && wg genkey | tee "$LAB_DIR/new.$n" | wg pubkey)
		printf '%s %s\n' "$key" "$LAB_DIR/new.$n"
	done | LC_ALL=C sort -r >"$LAB_DIR/keys"
	n=0
	while read -r _ key; do
		mv "$key" "$LAB_DIR/${names[n]}.key" && n=$((n + 1))
	done <"$LAB_DIR/keys"
}

# Boxes and configuration of a gateway whose WAN is the inside of a NAT box, or the WAN itself with NAT-BOX "wan".
# Its peers are found by ICE. FILTER is a jq expression on the configuration. The script starts the daemons.
nat_gateway() # a|b NAT-BOX ADDRESS/LEN GATEWAY FILTER PEER-ENTRY...
{
	local site=$1 inside=$2 own=$3 gateway=$4 filter=$5 n
	shift 5
	n=$(site_number "$site")
	(umask 077 && printf '%s\n' "$TURN_PASSWORD" >"$LAB_DIR/turn.password")
	box "lan$site" && box "gw$site" || return
	wire "lan$site" eth0 "gw$site" rlan && plug "gw$site" rwan "$inside" || return
	host "lan$site" eth0 "10.$n.0.2/24" "fd0$n::2/64" "10.$n.0.1" "fd0$n::1" || return
	gateway_config "$site" "$(nat_gateway_filter "$own" "$gateway") | $filter" "$@"
}

nat_gateway_filter() # ADDRESS/LEN GATEWAY
{
	local service=$NAT_SERVICE4 routes=''
	case $1 in *:*) service="[$NAT_SERVICE6]" ;; esac
	[ -z "$2" ] || routes="| .routes = [{to: \"0.0.0.0/0\", via: \"$2\"}]"
	cat <<-END
		.ports[1].addresses = ["$1"] $routes
		| .wireguard[0].signal = {url: "http://$service:$SIGNAL_PORT"}
		| .wireguard[0].ice = {servers: [{url: "stun:$service:$TURN_PORT"},
			{url: "turn:$service:$TURN_PORT", username: "$TURN_USER", password_file: "$LAB_DIR/turn.password"}]}
	END
}

ice_field() # a|b PEER JQ-PATH; of the object "ice"
{
	ctl "$1" peers --json | jq -r --arg p "$2" ".peers[] | select(.name == \$p) | .ice$3"
}

ice_is() # a|b PEER JQ-PATH WANTED
{
	equal "$(ice_field "$1" "$2" "$3")" "$4"
}

# ---- the NetBird-format peer ----------------------------------------------------------------------

nbpeer_build()
{
	[ -n "$(command -v go)" ] || lab_skip 'no Go compiler'
	STRAIT_BUILD=$LAB_BUILD "$LAB_ROOT/tests/interop/build"
}

# Starts one with a key of its box's name; its events are LAB_DIR/nb-BOX.log. Further words go to nbpeer.
nbpeer_start() # BOX TUNNEL-ADDRESS/LEN PEER-NAME PEER-ALLOWED-IP [OPTION...]
{
	local b=$1 own=$2 peer=$3 allowed=$4 service=${NAT_SERVICE:-$NAT_SERVICE4}
	shift 4
	[ -n "$peer" ] && set -- --peer "$(key_public "$peer"),$allowed" "$@"
	case $service in *:*) service="[$service]" ;; esac
	key_private "$b" >/dev/null
	bg "nb-$b" "$b" "$NBPEER" peer --key "$LAB_DIR/$b.key" --signal "$service:$SIGNAL_PORT" \
		--tun tun0 --url "stun:$service:$TURN_PORT" --url "turn:$service:$TURN_PORT?transport=udp" \
		--turn-user "$TURN_USER" --turn-password "$TURN_PASSWORD" \
		--wait-min 100ms --wait-max 300ms "$@"
	wait_until 10 on "$b" ip link show tun0 >/dev/null || return
	address "$b" tun0 "$own" && on "$b" ip link set tun0 up
}

# The last status event of a peer, a field of it.
nbpeer_now() # BOX FIELD
{
	jq -rs --arg f "$2" '[.[] | select(.event == "status")] | last | .[$f] // ""' "$LAB_DIR/nb-$1.log"
}

nbpeer_connected() # BOX
{
	equal "$(nbpeer_now "$1" status)" connected
}
