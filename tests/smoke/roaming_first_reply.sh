#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The first reply after a peer moved goes to where it is: single pings, none repeated. While straitd is stopped the lcore
# follows to another port by itself; to another address of the same net it goes with straitd there.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init roaming_first_reply

endpoint_is() # TEXT
{
	on gwa wg show strait0 endpoints | awk '{ print $2 }' | grep -qxF "$1"
}

must 'gateway and stock peer start' usual_lab
must 'tunnel' session_up lana 10.3.0.2
shake=$(last_handshake gwa strait0 peer)
# lab.sh says who runs in the box; only a stopped straitd cannot help.
kill -STOP "${LAB_PROC[straitd-a]}"
on peer wg set wg0 listen-port 4444
check 'straitd sleeps: the first reply goes to the new port' ping_ok lanp 10.1.0.2
check 'what we send goes there, too' ping_ok lana 10.3.0.2
kill -CONT "${LAB_PROC[straitd-a]}"
check 'straitd hears of it' wait_until 5 endpoint_is 192.0.2.3:4444
on peer ip address add 192.0.2.33/24 dev eth0
on peer ip address del 192.0.2.3/24 dev eth0
on peer wg set wg0 peer "$(key_public a)" endpoint "192.0.2.1:$WG_PORT"
check 'the first reply goes to the new address' ping_ok lanp 10.1.0.2
check 'straitd hears of it' wait_until 5 endpoint_is 192.0.2.33:4444
check 'without a new handshake' equal "$(last_handshake gwa strait0 peer)" "$shake"
lab_finish
