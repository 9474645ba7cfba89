#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A UDP port per peer: at gateway a because its configuration says so, at b because strait-ice's self-test fails, so
# that libnice has sockets in a namespace of its own. The tunnel comes up directly, lcores carry it from those ports,
# straitd is killed under a stream without a number missing, and the relay takes over when the direct way is cut.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=ice_sites.sh
. "$(dirname "$0")/ice_sites.sh"
lab_init ice_port_mode

ice_status() # a|b JQ-PATH
{
	ctl "$1" status --json | jq -r ".straitd.connections[0].ice$2"
}

own_port() # a|b PEER: the base is of another port than the interface's
{
	local base
	base=$(ice_field "$1" "$2" .path.base)
	printf '%s\n' "${base##*:}"
	[ "${base##*:}" -gt 1024 ] && [ "${base##*:}" -ne 51820 ]
}

direct()
{
	ice_is a b .path.relayed false && ice_is b a .path.relayed false
}

must 'two sites behind NATs, a server' ice_lab port port '.port_mode = "per-peer"'
must 'b has the default' eval 'jq "del(.wireguard[0].ice.port_mode)" "$LAB_DIR/gwb.json" >"$LAB_DIR/new.json" &&
	mv "$LAB_DIR/new.json" "$LAB_DIR/gwb.json"'
must 'gateway a starts' gateway_start a
export STRAIT_ICE_FAIL_SELF_TEST=1
must 'gateway b starts, its self-test will fail' gateway_start b
unset STRAIT_ICE_FAIL_SELF_TEST
must 'the tunnel comes up' session_up lana 10.2.0.2
must 'directly' wait_until 60 direct
check 'a: by its configuration' equal "$(ice_status a .port_mode) $(ice_status a .port_mode_why)" 'per-peer null'
check 'b: because it must' eval 'ice_status b .port_mode_why | grep -q "self-test failed" && ice_status b .port_mode | grep -qx per-peer'
check 'a sends from a port of its own' own_port a b
check 'b sends from a port of its own' own_port b a
check 'a relay stands by' wait_until 60 ice_is a b .standby.alive true

base=$(ice_field a b .path.base)
shake=$(peer_field b a handshakes)
must 'a stream runs' stream_start ab lana lanb 10.2.0.2 300 60
bg_stop straitd-a KILL
straitd_start a
must 'straitd is back' wait_until 20 gateway_ready a
check 'from the same port' eval 'wait_until 5 ice_is a b .path.alive true && ice_is a b .path.base "$base"'
check 'which answers checks' wait_until 20 eval 'at_least "$(ice_status a .counters.checks_answered)" 1'
stream_end ab now
check 'each number once' stream_judge ab
check 'no handshake' equal "$(peer_field b a handshakes)" "$shake"

bg ping lana ping -n -i 0.1 10.2.0.2
ice_block a on
check 'cut, the relay takes over' wait_until 20 ice_is a b .path.relayed true
check 'it carries' session_up lana 10.2.0.2
bg_stop ping
ice_block a off
check 'open again, it is direct again by itself' wait_until 60 direct
check 'a new attempt works with the port that is in use' eval 'ctl b peer a reconnect && wait_until 30 direct && own_port b a'

jq '.wireguard[0].peers = []' "$LAB_DIR/gwa.json" >"$LAB_DIR/new.json" && mv "$LAB_DIR/new.json" "$LAB_DIR/gwa.json"
check 'the peer is removed' ctl a reload
check 'and its port' equal "$(ice_status a .peer_ports)" 0
lab_finish
