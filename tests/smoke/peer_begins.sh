#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The gateway has no endpoint for the peer and waits; the peer begins, over IPv4 and then over IPv6.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init peer_begins

must 'boxes' eval 'wan_box wan && site_boxes a && peer_boxes'
must 'config' gateway_config a . "$(site_peer_entry peer '')"
must 'gateway starts' gateway_start a
must 'peer starts' stock_peer "a=192.0.2.1:$WG_PORT"
check 'before the peer spoke the LAN host learns that there is no way' \
	eval 'on lana ping -n -c 1 -W 3 10.3.0.2 | grep -q Unreachable'
must 'the peer begins, IPv4 outside' session_up lanp 10.1.0.2
check 'and is answered by the LAN on its own' ping_ok lana 10.3.0.2
must 'endpoint moves to IPv6' on peer wg set wg0 peer "$(key_public a)" endpoint "[2001:db8::1]:$WG_PORT"
must 'traffic over IPv6' session_up lanp fd01::2
check 'the gateway followed' wait_until 3 eval 'on gwa wg show strait0 endpoints | grep -qF "[2001:db8::3]"'
check 'and answers there' ping_ok lana fd03::2
lab_finish
