#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A gateway and NetBird-format peers on a signal server of grpc-go, with its faults: one that never says that it
# registered us, one that takes everything and delivers nothing, one that adds bodies nobody can decrypt.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=nat.sh
. "$(dirname "$0")/nat.sh"
lab_init nb_server

server_start() # [OPTION...]
{
	: >"$LAB_DIR/server.log"
	bg server svc "$NBPEER" server --listen "$NAT_SERVICE4:$SIGNAL_PORT" "$@"
	wait_until 10 grep -q listening "$LAB_DIR/server.log"
}

# The gateway's routes change: it tries the server at once, where it would come after a pause of up to 20 s.
hurry()
{
	on gwa ip route add blackhole 198.51.100.0/24 && on gwa ip route del blackhole 198.51.100.0/24
}

# What stands in for it while the gateway lives.
next_server() # [OPTION...]
{
	server_stop
	server_start "$@" && hurry
}

server_stop()
{
	bg_stop server KILL 2>/dev/null
	return 0
}

signal_field() # FIELD of the gateway's client
{
	ctl a status --json | jq -r "[.. | objects | .signal? // empty][0].$1"
}

signal_is() # FIELD VALUE
{
	equal "$(signal_field "$1")" "$2"
}

registered() # BOX...; at the server that runs now
{
	local b
	for b in "$@"; do
		grep -q "\"registered\".*$(key_public "$b")\|$(key_public "$b").*\"registered\"" "$LAB_DIR/server.log" || return
	done
}

peer_start() # p1|p2
{
	nbpeer_start "$1" "10.9.0.1${1#p}/24" a 10.9.0.1/32,10.1.0.0/24 --keep 1 && on "$1" ip route add 10.1.0.0/24 dev tun0
}

# A peer whose offer was lost offers again after 30 to 45 s, and we by then seldom enough too.
works() # p1|p2
{
	wait_until 90 nbpeer_connected "$1" && wait_until 15 ping_ok lana "10.9.0.1${1#p}"
}

must 'the peer builds' nbpeer_build
must 'services' eval 'wan_box wan && service_box && turn_start && server_start'
must 'keys' keys_ordered p2 a p1
must 'peers' eval 'inside_box p1 wan 192.0.2.31/24 && inside_box p2 wan 192.0.2.32/24'
must 'gateway' nat_gateway a wan 192.0.2.1/24 '' . "$(peer_entry p1 '' 10.9.0.11/32)" "$(peer_entry p2 '' 10.9.0.12/32)"
must 'gateway starts' gateway_start a
must 'peers start' eval 'peer_start p1 && peer_start p2'
check 'the gateway controls p1: the tunnel works' works p1
check 'and is controlled by p2: the tunnel works' works p2

must 'a server that never says that it registered us' next_server --silent
check 'the gateway comes to it' wait_until 20 registered a
check 'and does not take it for connected' signal_is up false
check 'peers do without it' eval 'ping_ok lana 10.9.0.11 && ping_ok lana 10.9.0.12'
must 'a server that delivers nothing' next_server --deaf
check 'the gateway is connected to it' wait_until 40 signal_is up true
bg_stop nb-p1 KILL 2>/dev/null
mv "$LAB_DIR/nb-p1.log" "$LAB_DIR/nb-p1.first.log"
must 'p1 begins anew' peer_start p1
check 'and finds nobody' not wait_until 3 nbpeer_connected p1
check 'p2 does without it' ping_ok lana 10.9.0.12
must 'a server that adds 100 bytes of its own to each message' next_server --stranger 100
check 'the gateway is connected to it' wait_until 30 signal_is up true
# The offer that it made at the last server is lost, and to the gateway its former self is only silent: with packets for it
# that is known within 2 s, without after 30 s.
bg ping lana ping -n -i 0.2 10.9.0.11
check 'p1 works again' works p1
bg_stop ping
check 'bodies that do not open are counted' at_least "$(signal_field undecryptable)" 1
check 'so is a sender that nobody knows' at_least "$(signal_field unknown_peer)" 1
must 'a server that adds a single byte' next_server --stranger 1
check 'the gateway is connected to it' wait_until 30 signal_is up true
bg_stop nb-p1 KILL 2>/dev/null
mv "$LAB_DIR/nb-p1.log" "$LAB_DIR/nb-p1.second.log"
must 'p1 begins anew' peer_start p1
check 'p1 works' works p1
check 'the log has not been flooded' at_most "$(wc -l <"$LAB_DIR/straitd-a.log")" 60
lab_finish
