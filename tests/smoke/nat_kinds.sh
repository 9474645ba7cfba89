#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The NAT lab against itself: two NetBird-format peers (pion, grpc-go, wireguard-go) find each other through
# strait-signal and coturn behind each kind of NAT, all pairs at once, and the path is of the kind that the NATs leave. They keep
# what comes while they are busy: two that lose it as NetBird's old ones may need 45 s for the next attempt.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=nat.sh
. "$(dirname "$0")/nat.sh"
lab_init nat_kinds

declare -A TEXT=() RELAYED=() # of the first peer of each pair

# Peers pN and pN+1 begin, behind NAT boxes of the same numbers. RELAYED says whether one end may be a relay or must be.
pair() # TEXT RELAYED N KIND KIND
{
	local n=$3 m=$(($3 + 1))
	TEXT[$n]=$1 RELAYED[$n]=$2
	must "$1: NAT boxes" eval "nat_box n$n $n $4 && nat_box n$m $m $5"
	must "$1: peers" eval "inside_box p$n n$n 10.20.$n.2/24 10.20.$n.1 && inside_box p$m n$m 10.20.$m.2/24 10.20.$m.1 &&
		peer_start $n $m && peer_start $m $n"
}

peer_start() # N PEER
{
	nbpeer_start "p$1" "100.99.0.$1/24" "p$2" "100.99.0.$2/32" --keep 1
}

path_is() # N not|is
{
	local types n=$1 m=$(($1 + 1))
	types="$(nbpeer_now "p$n" local) $(nbpeer_now "p$n" remote) $(nbpeer_now "p$m" local) $(nbpeer_now "p$m" remote)"
	echo "$types"
	case $2/$types in
	not/*relay*) return 1 ;;
	is/*relay*) return 0 ;;
	is/*) return 1 ;;
	esac
}

must 'the peer builds' nbpeer_build
must 'services' eval 'wan_box wan && service_box && signal_start && turn_start'
pair 'cone to cone' not 1 cone cone
pair 'symmetric to full cone' not 3 symmetric full
pair 'symmetric to symmetric' is 5 symmetric symmetric
pair 'only the TURN server' is 7 blocked blocked
for n in 1 3 5 7; do
	check "${TEXT[$n]}: connected" eval "wait_until 25 nbpeer_connected p$n && wait_until 25 nbpeer_connected p$((n + 1))"
	check "${TEXT[$n]}: ${RELAYED[$n]} relayed" path_is "$n" "${RELAYED[$n]}"
	check "${TEXT[$n]}: the tunnel carries a ping" wait_until 12 ping_ok "p$n" "100.99.0.$((n + 1))"
done

registered=$(signal_status registered)
check 'signal: all keys registered' at_least "$registered" 8
bg_stop nb-p1 KILL
mv "$LAB_DIR/nb-p1.log" "$LAB_DIR/nb-p1.first.log"
must 'a peer starts again' peer_start 1 2
check 'signal: its key registers again' wait_until 10 eval "at_least \"\$(signal_status registered)\" $((registered + 1))"
check 'signal: all was delivered' equal "$(signal_status queue_full)" 0
check 'signal: SIGTERM ends it well' bg_stop signal
lab_finish
