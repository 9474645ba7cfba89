#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The NAT lab against itself: two NetBird-format peers (pion, grpc-go, wireguard-go) find each other through
# strait-signal and coturn behind each kind of NAT, and the path is of the kind that the NATs leave. They keep
# what comes while they are busy: two that lose it as NetBird's old ones may need 45 s for the next attempt.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=nat.sh
. "$(dirname "$0")/nat.sh"
lab_init nat_kinds

# Two peers connect; RELAYED says whether one end may be, must be or must not be a relay.
pair() # TEXT RELAYED [OPTION...]
{
	local text=$1 relayed=$2
	shift 2
	nbpeer_start p1 100.99.0.1/24 p2 100.99.0.2/32 --keep 1 "$@" || return
	nbpeer_start p2 100.99.0.2/24 p1 100.99.0.1/32 --keep 1 "$@" || return
	check "$text: connected" eval 'wait_until 25 nbpeer_connected p1 && wait_until 5 nbpeer_connected p2'
	check "$text: $relayed relayed" path_is "$relayed"
	check "$text: the tunnel carries a ping" wait_until 12 ping_ok p1 100.99.0.2
	bg_stop nb-p1 KILL
	bg_stop nb-p2 KILL
	mv "$LAB_DIR/nb-p1.log" "$LAB_DIR/nb-p1.$text.log"
	mv "$LAB_DIR/nb-p2.log" "$LAB_DIR/nb-p2.$text.log"
}

path_is() # not|is
{
	local types
	types="$(nbpeer_now p1 local) $(nbpeer_now p1 remote) $(nbpeer_now p2 local) $(nbpeer_now p2 remote)"
	echo "$types"
	case $1/$types in
	not/*relay*) return 1 ;;
	is/*relay*) return 0 ;;
	is/*) return 1 ;;
	esac
}

must 'the peer builds' nbpeer_build
must 'services' eval 'wan_box wan && service_box && signal_start && turn_start'
must 'NAT boxes' eval 'nat_box n1 1 cone && nat_box n2 2 cone'
must 'peers' eval 'inside_box p1 n1 10.20.1.2/24 10.20.1.1 && inside_box p2 n2 10.20.2.2/24 10.20.2.1'

pair 'cone to cone' not
must 'symmetric' nat_change n1 1 symmetric
must 'full cone' nat_change n2 2 full
pair 'symmetric to full cone' not
must 'symmetric too' nat_change n2 2 symmetric
pair 'symmetric to symmetric' is
must 'blocked' eval 'nat_change n1 1 blocked && nat_change n2 2 blocked'
pair 'only the TURN server' is

check 'signal: both keys registered again each time' at_least "$(signal_status registered)" 8
check 'signal: all was delivered' equal "$(signal_status queue_full)" 0
check 'signal: SIGTERM ends it well' bg_stop signal
lab_finish
