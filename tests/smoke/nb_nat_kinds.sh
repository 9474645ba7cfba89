#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A strait gateway and two NetBird-format peers (pion, grpc-go, wireguard-go), towards one of which it controls and
# towards the other it is controlled, behind each kind of NAT. Each row begins with both peers anew.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=nat.sh
. "$(dirname "$0")/nat.sh"
lab_init nb_nat_kinds

# row TEXT WAY-TO-P1 WAY-TO-P2: direct, relayed. Of PEERS, the first is controlled.
PEERS=(p1 p2)
row()
{
	local text=$1 p
	local -A way=([${PEERS[0]}]=$2 [${PEERS[1]}]=$3) before=()
	for p in "${PEERS[@]}"; do
		before[$p]=$(peer_field a "$p" handshakes)
		nb_start "$p" || return
	done
	for p in "${PEERS[@]}"; do
		check "$text: $(ice_field a "$p" .role) with $p: connected" nb_up "$p" "${before[$p]}"
		check "$text: $p is ${way[$p]}" path_is "$p" "${way[$p]}"
	done
	for p in "${PEERS[@]}"; do
		check "$text: $p: one handshake" equal "$(peer_field a "$p" handshakes)" $((before[$p] + 1))
	done
	for p in "${PEERS[@]}"; do
		bg_stop "nb-$p" KILL 2>/dev/null
		mv "$LAB_DIR/nb-$p.log" "$LAB_DIR/nb-$p.$text.log"
	done
}

nb_start() # p1|p2|...
{
	nbpeer_start "$1" "10.9.0.1${1#p}/24" a 10.9.0.1/32,10.1.0.0/24 --keep 1 --port "5182${1#p}" &&
		on "$1" ip route add 10.1.0.0/24 dev tun0
}

nb_up() # p1|p2 HANDSHAKES-BEFORE
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
must 'NAT boxes' eval 'nat_box n1 1 cone && nat_box n2 2 cone'
must 'a NAT box behind a NAT box' nat_box n3 3 cone n2 10.20.2.9/24 10.20.2.1
must 'keys' keys_ordered p4 p2 a p1 p3
must 'peers' eval 'inside_box p1 n2 10.20.2.2/24 10.20.2.1 && inside_box p2 n2 10.20.2.3/24 10.20.2.1'
must 'peers behind two' eval 'inside_box p3 n3 10.20.3.2/24 10.20.3.1 && inside_box p4 n3 10.20.3.3/24 10.20.3.1'
entries=()
for n in 1 2 3 4; do
	entries+=("$(peer_entry "p$n" '' "10.9.0.1$n/32")")
done
must 'gateway' nat_gateway a n1 10.20.1.2/24 10.20.1.1 . "${entries[@]}"
must 'gateway starts' gateway_start a

row 'cone to cone' direct direct
PEERS=(p3 p4)
row 'cone to double NAT' direct direct
PEERS=(p1 p2)
must 'symmetric' nat_change n1 1 symmetric
row 'symmetric to cone' relayed relayed
must 'full' nat_change n2 2 full
row 'symmetric to full' direct relayed
must 'symmetric too' nat_change n2 2 symmetric
row 'symmetric to symmetric' relayed relayed
must 'blocked' eval 'nat_change n1 1 blocked && nat_change n2 2 blocked'
row 'only the TURN server' relayed relayed
must 'routers without NAT' eval 'nat_change n1 1 none && nat_change n2 2 none && nat_routes 1 n2 svc && nat_routes 2 n1 svc'
row 'routers' direct direct
lab_finish
