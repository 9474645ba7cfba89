#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A strait gateway and two NetBird-format peers (pion, grpc-go, wireguard-go), towards one of which it controls and
# towards the other it is controlled, behind each kind of NAT. Each row begins with both peers anew; those that leave the
# gateway's own NAT as it is run at once.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=nat.sh
. "$(dirname "$0")/nat.sh"
lab_init nb_nat_kinds

declare -A TEXT=() WAY=() BEFORE=() # of the peers that run

# Two peers begin, of which the gateway controls the first and is controlled by the second.
row() # TEXT P1 WAY P2 WAY; ways are direct, relayed
{
	local text=$1 p
	WAY[$2]=$3 WAY[$4]=$5
	for p in "$2" "$4"; do
		TEXT[$p]=$text BEFORE[$p]=$(peer_field a "$p" handshakes)
		must "$text: $p starts" nb_start "$p"
	done
}

# What became of all rows, and their end.
rows_end()
{
	local p text
	for p in $(printf '%s\n' "${!TEXT[@]}" | sort); do
		text=${TEXT[$p]}
		check "$text: $(ice_field a "$p" .role) with $p: connected" nb_up "$p"
		check "$text: $p is ${WAY[$p]}" path_is "$p" "${WAY[$p]}"
		check "$text: $p: one handshake" equal "$(peer_field a "$p" handshakes)" $((BEFORE[$p] + 1))
	done
	for p in "${!TEXT[@]}"; do
		bg_stop "nb-$p" KILL 2>/dev/null
		mv "$LAB_DIR/nb-$p.log" "$LAB_DIR/nb-$p.${TEXT[$p]}.log"
	done
	TEXT=() WAY=() BEFORE=()
}

nb_start() # p1|p2|...
{
	nbpeer_start "$1" "10.9.0.1${1#p}/24" a 10.9.0.1/32,10.1.0.0/24 --keep 1 --port "5182${1#p}" &&
		on "$1" ip route add 10.1.0.0/24 dev tun0
}

nb_up() # p1|p2
{
	wait_until 25 nbpeer_connected "$1" && wait_until 10 ice_is a "$1" .state connected &&
		wait_until 10 ping_ok lana "10.9.0.1${1#p}"
}

# Both sides agree.
path_is() # p1|p2 direct|relayed
{
	local types
	types="$(nbpeer_now "$1" local) $(nbpeer_now "$1" remote) $(ice_field a "$1" .path.local_type) $(ice_field a "$1" .path.remote_type)"
	echo "types: $types"
	case $types in
	*relay*relay*) [ "$2" = relayed ] && ice_is a "$1" .path.relayed true ;;
	*relay*) return 1 ;;
	*) [ "$2" = direct ] && ice_is a "$1" .path.relayed false ;;
	esac
}

must 'the peer builds' nbpeer_build
must 'services' eval 'wan_box wan && service_box && signal_start && turn_start'
must 'NAT boxes' eval 'nat_box n1 1 cone && nat_box n2 2 cone && nat_box n4 4 full && nat_box n5 5 symmetric'
must 'a NAT box behind a NAT box' nat_box n3 3 cone n2 10.20.2.9/24 10.20.2.1
must 'keys' keys_ordered p8 p6 p4 p2 a p1 p3 p5 p7

two_inside() # P1 P2 NUMBER
{
	inside_box "$1" "n$3" "10.20.$3.2/24" "10.20.$3.1" && inside_box "$2" "n$3" "10.20.$3.3/24" "10.20.$3.1"
}

must 'peers' eval 'two_inside p1 p2 2 && two_inside p3 p4 3 && two_inside p5 p6 4 && two_inside p7 p8 5'
entries=()
for n in 1 2 3 4 5 6 7 8; do
	entries+=("$(peer_entry "p$n" '' "10.9.0.1$n/32")")
done
must 'gateway' nat_gateway a n1 10.20.1.2/24 10.20.1.1 . "${entries[@]}"
must 'gateway starts' gateway_start a

row 'cone to cone' p1 direct p2 direct
row 'cone to double NAT' p3 direct p4 direct
rows_end
must 'symmetric' nat_change n1 1 symmetric
row 'symmetric to cone' p1 relayed p2 relayed
row 'symmetric to full' p5 direct p6 relayed
row 'symmetric to symmetric' p7 relayed p8 relayed
rows_end
must 'blocked' eval 'nat_change n1 1 blocked && nat_change n2 2 blocked'
row 'only the TURN server' p1 relayed p2 relayed
rows_end
must 'routers without NAT' eval 'nat_change n1 1 none && nat_change n2 2 none && nat_routes 1 n2 svc && nat_routes 2 n1 svc'
row 'routers' p1 direct p2 direct
rows_end
lab_finish
