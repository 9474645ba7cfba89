#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A configured peer that means no good: bodies, fields, sessions and candidates of every wrong kind by the signal service,
# forged STUN on the gateway's port. All of it is counted, a few lines are logged, and another peer's stream, session
# and path notice nothing. Afterwards an honest peer of the same key connects.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=nat.sh
. "$(dirname "$0")/nat.sh"
lab_init nb_hostile

of_signal() # FIELD
{
	ctl a status --json | jq -r ".straitd.connections[0].signal.$1"
}

of_ice() # COUNTER
{
	ctl a status --json | jq -r ".straitd.connections[0].ice.counters.$1"
}

sent() # CLASS
{
	jq -rs --arg c "$1" 'map(select(.event == "done"))[0].sent[$c]' "$LAB_DIR/hostile.log"
}

lines() # REGULAR-EXPRESSION in straitd's log
{
	grep -c "$1" "$LAB_DIR/straitd-a.log"
}

# What an operator would see of the live peer if it had been touched.
live()
{
	ctl a peers --json | jq -c '.peers[] | select(.name == "p1") | [.handshakes, .ice.path_changes, .ice.path.local,
		.ice.path.remote, .ice.attempts, .ice.path.alive]'
}

must 'the peer builds' nbpeer_build
# strait-signal would not pass on a body of 1 MB, nor who is no key.
must 'services' eval 'wan_box wan && service_box && turn_start'
bg signal svc "$NBPEER" server --listen "$NAT_SERVICE4:$SIGNAL_PORT" --anyone
must 'a service that passes on everything' wait_until 10 port_listens svc "$SIGNAL_PORT"
must 'boxes' eval 'inside_box p1 wan 192.0.2.31/24 && inside_box foe wan 192.0.2.40/24'
must 'gateway' nat_gateway a wan 192.0.2.1/24 '' . "$(peer_entry p1 '' 10.9.0.11/32)" "$(peer_entry foe '' 10.9.0.12/32)"
must 'gateway starts' gateway_start a
must 'a live peer' nbpeer_start p1 10.9.0.11/24 a 10.9.0.1/32,10.1.0.0/24 --keep 1
must 'route' on p1 ip route add 10.1.0.0/24 dev tun0
must 'it connects' wait_until 60 nbpeer_connected p1
must 'and works' session_up lana 10.9.0.11
before=$(live)
pid=${LAB_PROC[straitd-a]}
must 'a stream to it' stream_start live lana p1 10.9.0.11 300 90

key_private foe >/dev/null
must 'the hostile peer does what it can' on foe "$NBPEER" hostile --key "$LAB_DIR/foe.key" --signal "$NAT_SERVICE4:$SIGNAL_PORT" \
	--gateway "$(key_public a)" --port 192.0.2.1:51820 --address 192.0.2.40:51820 --overlay 10.9.0.11 \
	--pretend "$NAT_SERVICE4:$TURN_PORT" --pretend 192.0.2.31:51820 >"$LAB_DIR/hostile.log"

check 'boxes that do not open are counted' at_least "$(of_signal undecryptable)" 42
check 'so are strangers' at_least "$(of_signal unknown_peer)" 3
check 'what opens and is no message' at_least "$(of_signal malformed)" 5
check 'types of a later version' at_least "$(of_signal unknown_type)" 4
check 'sessions without credentials' at_least "$(ice_field a foe .messages_refused)" 50
check 'candidates that cannot be read' at_least "$(of_ice candidates_malformed)" 10
check 'names, multicast, loopback, our own overlay' at_least "$(of_ice candidates_refused)" 10
check 'candidates beyond the limit' at_least "$(of_ice candidates_too_many)" 5
check 'checks with a wrong MESSAGE-INTEGRITY' at_least "$(of_ice stun_bad_integrity)" 20
check 'checks for nobody' at_least "$(of_ice stun_unknown_user)" 20
check 'answers to no question' at_least "$(of_ice stun_unmatched)" 20
check 'answers from elsewhere' at_least "$(of_ice stun_spoofed)" 1
check 'STUN of wrong shapes' at_least "$(of_ice stun_malformed)" 20
check 'and a source that sends too much is not heard' at_least "$(of_ice stun_limited)" 1
check 'the hostile peer is not connected' not ice_is a foe .state connected
check 'nobody believes a forged address' not eval 'ctl a peers --json | grep -qF 6.6.6.6 || ctl a peer foe candidates | grep -qF 6.6.6.6'

stream_end live now
check 'the live peer lost no number' stream_judge live
check 'its path, session and attempts are as before' equal "$(live)" "$before"
check 'straitd is the same process' kill -0 "$pid"
check 'strait-ice as well' equal "$(of_ice process_deaths)" 0
check 'the log names the peer' at_least "$(lines 'messages refused.*peer=foe ')" 2
check 'and is not flooded' at_most "$(lines refused)" 6
check 'forged STUN is in it' eval 'at_least "$(lines forged)" 1 && at_most "$(lines forged)" 2'
check 'an honest peer of that key connects' eval 'nbpeer_start foe 10.9.0.12/24 a 10.9.0.1/32,10.1.0.0/24 --keep 1 &&
	on foe ip route add 10.1.0.0/24 dev tun0 && wait_until 90 nbpeer_connected foe && wait_until 15 ping_ok lana 10.9.0.12'
lab_finish
