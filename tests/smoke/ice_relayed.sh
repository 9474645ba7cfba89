#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two gateways behind symmetric NATs: the tunnel comes up through the TURN server. straitd is killed under a
# numbered stream and started again: nothing is lost, nobody handshakes. An allocation by TCP ends with straitd: what is
# sent meanwhile is lost, and another one comes by itself, for the same session. So it does when the TURN server was
# away when the attempt began.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=ice_sites.sh
. "$(dirname "$0")/ice_sites.sh"
lab_init ice_relayed

# How often b missed its peer. A better pair that is nominated later on is no such event.
b_losses()
{
	on gwb timeout 1 "$STRAITCTL" events | jq -s 'map(select(.event == "lost" or .event == "switched")) | length'
}

b_noticed_nothing()
{
	equal "$(b_losses)" 0 && ice_is b a .state connected
}

# At one end or the other, whose relay it is.
by_channel()
{
	local own other
	for own in a b; do
		other=$([ "$own" = a ] && echo b || echo a)
		[ "$(peer_field "$own" "$other" endpoint_kind)" = channel ] &&
			at_least "$(ice_field "$own" "$other" .path.channel)" 16384 && return
	done
	return 1
}

punted() # by both gateways
{
	printf '%s\n' $(($(stage_packets a punt) + $(stage_packets b punt)))
}

must 'two sites behind symmetric NATs, a server' ice_lab symmetric symmetric
must 'gateway a starts' gateway_start a
must 'gateway b starts' gateway_start b
must 'the tunnel comes up' session_up lana 10.2.0.2
check 'a is connected' ice_is a b .state connected
check 'relayed' ice_is a b .path.relayed true
check 'b agrees' ice_is b a .path.relayed true

check 'lcores have a bound channel' wait_until 10 by_channel
sealed=$(stage_packets a wg_encrypt) opened=$(stage_packets b wg_accept) up=$(punted)

must 'a stream runs' eval 'stream_start ab lana lanb 10.2.0.2 500 60'
shake=$(peer_field b a handshakes)
bg_stop straitd-a KILL
straitd_start a
must 'straitd is back' wait_until 20 gateway_ready a
check 'on the path that it had' wait_until 5 ice_is a b .state connected
check 'b never noticed' b_noticed_nothing
check 'no handshake' equal "$(peer_field b a handshakes)" "$shake"

stream_end ab now
check 'each number once' stream_judge ab
sent=$(stream_field ab received)
check 'lcores sealed and opened it' wait_until 10 eval 'at_least "$(stage_packets a wg_encrypt)" $((sealed + sent)) &&
	at_least "$(stage_packets b wg_accept)" $((opened + sent))'
check 'next to nothing of it went up' at_most "$(punted)" $((up + sent / 5))
check 'the channel is still there' wait_until 10 by_channel

change() # a|b FILTER on the configuration
{
	jq "$2" "$LAB_DIR/gw$1.json" >"$LAB_DIR/new.json" && mv "$LAB_DIR/new.json" "$LAB_DIR/gw$1.json" && ctl "$1" reload
}

must 'b has no TURN server' change b 'del(.wireguard[0].ice.servers[1])'
must 'that of a is reached by TCP' change a '.wireguard[0].ice.servers[1].url += "?transport=tcp"'
must 'a new attempt' ctl a peer b reconnect
must 'relays by TCP' wait_until 60 ice_is a b .path.relay_transport tcp
check 'it carries' wait_until 20 ping_ok lana 10.2.0.2 -W 1
shake=$(peer_field b a handshakes)
bg_stop straitd-a KILL
begun=${EPOCHREALTIME/[.,]/}
straitd_start a
check 'straitd is killed and started: the tunnel is back' wait_until 60 ping_ok lana 10.2.0.2 -W 1
printf '        | after %s ms\n' $(((${EPOCHREALTIME/[.,]/} - begun) / 1000))
check 'by a new allocation by TCP' wait_until 20 ice_is a b .path.relay_transport tcp
check 'in the same session' equal "$(peer_field b a handshakes)" "$shake"

failed=$(ctl a status --json | jq '.straitd.connections[0].ice.counters.agents_failed')
bg_stop turn KILL
check 'TURN server: an attempt begins that finds none' wait_until 20 ice_is a b .state connecting
must 'TURN server starts again' ice_turn_start
check 'the tunnel is back' wait_until 60 ping_ok lana 10.2.0.2 -W 1
check 'by that attempt' equal "$(ctl a status --json | jq '.straitd.connections[0].ice.counters.agents_failed')" "$failed"
lab_finish
