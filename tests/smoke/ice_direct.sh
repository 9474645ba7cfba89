#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two gateways behind port-preserving NATs: the tunnel comes up by itself and directly, a relay stands by. Then one NAT
# gets another address while nobody sends: that is noticed, and a direct pair is there again before somebody does.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=ice_sites.sh
. "$(dirname "$0")/ice_sites.sh"
lab_init ice_direct

must 'two sites behind NATs, a server' ice_lab port port
must 'gateway a starts' gateway_start a
must 'gateway b starts' gateway_start b
must 'the tunnel comes up' session_up lana 10.2.0.2
check 'a is connected' ice_is a b .state connected
# libnice may nominate the relay first; ten times the aim of 1.5 s for what follows.
check 'directly' wait_until 15 ice_is a b .path.relayed false
check 'on both sides' wait_until 15 ice_is b a .path.relayed false
check 'roles are opposite' not equal "$(ice_field a b .role)" "$(ice_field b a .role)"
check 'one handshake was enough' equal "$(peer_field a b handshakes)" 1
check 'a relay stands by at a' wait_until 20 ice_is a b .standby.relayed true
check 'a relay stands by at b' wait_until 5 ice_is b a .standby.relayed true
check 'and the path is still direct' ice_is b a .path.relayed false
check 'no new handshake for it' equal "$(peer_field a b handshakes)" 1

reconnects()
{
	ctl a status --json | jq '.straitd.connections[0].signal.reconnects'
}

before=$(reconnects)
must "a's NAT gets another address" ice_readdress a 192.0.2.71
begun=${EPOCHREALTIME/[.,]/}
check 'quiet as it is, the dead signal stream is noticed' wait_until 25 eval 'at_least "$(reconnects)" $((before + 1))'
printf '        | after %s ms\n' $(((${EPOCHREALTIME/[.,]/} - begun) / 1000))
# Both sides, as it has to be the new attempt's pair.
by_new_address()
{
	[[ $(ice_field b a .path.remote) == 192.0.2.71:* ]] && ice_is b a .path.relayed false && ice_is a b .path.relayed false
}
begun=${EPOCHREALTIME/[.,]/}
check 'a direct pair by the new address is there before anybody sends' wait_until 60 by_new_address
printf '        | after %s ms\n' $(((${EPOCHREALTIME/[.,]/} - begun) / 1000))
check 'the tunnel works again' wait_until 20 ping_ok lana 10.2.0.2 -W 1
check 'directly' by_new_address
check 'in the same session' equal "$(peer_field a b handshakes)" 1
lab_finish
