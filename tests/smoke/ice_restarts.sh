#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two gateways behind NATs, connected directly, a relay standing by, under a stream: signal server, TURN server and
# strait-ice are killed and come back, and no number is missing. Then with nothing but the relay: the TURN server is
# killed, and the tunnel is back soon after it; strait-dp is killed, and so it is again.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=ice_sites.sh
. "$(dirname "$0")/ice_sites.sh"
lab_init ice_restarts

connections() # a|b JQ-PATH
{
	ctl "$1" status --json | jq -r ".straitd.connections[0]$2"
}

signal_is() # UP
{
	equal "$(connections a .signal.up)" "$1" && equal "$(connections b .signal.up)" "$1"
}

direct() # and a relay stands by
{
	ice_is a b .path.relayed false && ice_is b a .path.relayed false &&
		ice_is a b .standby.alive true && ice_is b a .standby.alive true
}

relayed()
{
	ice_is a b .path.relayed true && ice_is a b .path.alive true && ice_is b a .path.alive true
}

now_ms()
{
	printf '%s\n' "$((${EPOCHREALTIME/[.,]/} / 1000))"
}

ice_dies() # a|b SIGNAL
{
	local pid
	pid=$(connections "$1" .ice.pid)
	at_least "$pid" 2 && kill -s "$2" "$pid" && wait_until 5 ice_gone "$1" "$pid"
}

ice_gone() # a|b PID
{
	not equal "$(connections "$1" .ice.pid)" "$2" >/dev/null
}

# A new attempt while the pair goes on, which needs strait-ice to be started again.
attempt_works() # a|b PEER
{
	local before
	before=$(connections "$1" .ice.counters.agents_nominated)
	ctl "$1" peer "$2" reconnect && wait_until 20 nominated_more "$1" "$before"
}

nominated_more() # a|b COUNT
{
	at_least "$(connections "$1" .ice.counters.agents_nominated)" $(($2 + 1))
}

must 'two sites behind NATs, a server' ice_lab port port
must 'gateways start' eval 'gateway_start a && gateway_start b'
must 'the tunnel comes up' session_up lana 10.2.0.2
must 'directly, and a relay stands by' wait_until 60 direct
must 'a stream runs' stream_start ab lana lanb 10.2.0.2 300 120

bg_stop signal KILL
check 'signal server: both notice that it is gone' wait_until 20 signal_is false
must 'signal server starts' ice_signal_start
check 'signal server: both are back' wait_until 30 signal_is true
check 'a new attempt works' attempt_works a b
must 'strait-ice is killed' ice_dies a KILL
check 'strait-ice: it starts again with the next attempt' attempt_works a b
must 'strait-ice aborts' ice_dies b ABRT
check 'strait-ice: it starts again with the next attempt' attempt_works b a
check 'still direct' wait_until 60 direct
bg_stop turn KILL
check 'TURN server: the direct pair goes on' eval 'ice_is a b .path.relayed false && ice_is a b .path.alive true'
must 'TURN server starts' ice_turn_start
stream_end ab now
check 'each number once' stream_judge ab

ice_block a on
ice_block b on
must 'only the relay is left, and taken' wait_until 60 relayed
check 'it carries' wait_until 10 ping_ok lana 10.2.0.2
bg_stop turn KILL
must 'TURN server starts again' ice_turn_start
begun=$(now_ms)
check 'TURN server: the tunnel is back by a new allocation' wait_until 60 ping_ok lana 10.2.0.2 -W 1
printf '        | after %s ms\n' "$(($(now_ms) - begun))"

bg_stop dp-a KILL
must 'strait-dp starts' dp_start a
must 'strait-dp: all is installed again' wait_until 20 gateway_ready a
begun=$(now_ms)
check 'strait-dp: the tunnel is back' wait_until 60 ping_ok lana 10.2.0.2 -W 1
printf '        | after %s ms\n' "$(($(now_ms) - begun))"
check 'by the relay' wait_until 10 relayed
lab_finish
