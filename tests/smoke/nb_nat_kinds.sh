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

# row TEXT WAY-TO-P1 WAY-TO-P2: direct, relayed
row()
{
	local text=$1 p
	local -A way=([p1]=$2 [p2]=$3) before=()
	for p in p1 p2; do
		before[$p]=$(peer_field a "$p" handshakes)
		nb_start "$p" || return
	done
	for p in p1 p2; do
		check "$text: $(ice_field a "$p" .role) with $p: connected" nb_up "$p" "${before[$p]}"
		check "$text: $p is ${way[$p]}" path_is "$p" "${way[$p]}"
	done
	check "$text: one handshake each" one_handshake "${before[p1]}" "${before[p2]}"
	for p in p1 p2; do
		bg_stop "nb-$p" KILL 2>/dev/null
		mv "$LAB_DIR/nb-$p.log" "$LAB_DIR/nb-$p.$text.log"
	done
}

nb_start() # p1|p2
{
	nbpeer_start "$1" "10.9.0.1${1#p}/24" a 10.9.0.1/32,10.1.0.0/24 --keep 1 --port "5182${1#p}" &&
		on "$1" ip route add 10.1.0.0/24 dev tun0
}

nb_up() # p1|p2 HANDSHAKES-BEFORE
{
	wait_until 25 nbpeer_connected "$1" && wait_until 10 ice_is a "$1" .state connected &&
		wait_until 10 ping_ok lana "10.9.0.1${1#p}"
}

one_handshake() # BEFORE-OF-P1 BEFORE-OF-P2
{
	equal "$(peer_field a p1 handshakes) $(peer_field a p2 handshakes)" "$(($1 + 1)) $(($2 + 1))"
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
must 'keys' keys_ordered p2 a p1
must 'peers' eval 'inside_box p1 n2 10.20.2.2/24 10.20.2.1 && inside_box p2 n2 10.20.2.3/24 10.20.2.1'
must 'gateway' eval 'nat_gateway a n1 10.20.1.2/24 10.20.1.1 . "$(peer_entry p1 "" 10.9.0.11/32)" "$(peer_entry p2 "" 10.9.0.12/32)"'
must 'gateway starts' gateway_start a

row 'cone to cone' direct direct
must 'symmetric' nat_change n1 1 symmetric
row 'symmetric to cone' relayed relayed
must 'full' nat_change n2 2 full
row 'symmetric to full' direct relayed
must 'symmetric too' nat_change n2 2 symmetric
row 'symmetric to symmetric' relayed relayed
must 'blocked' eval 'nat_change n1 1 blocked && nat_change n2 2 blocked'
row 'only the TURN server' relayed relayed
lab_finish
