#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The first reply after a peer moved goes to where it is, and comes from the address of ours that it talks to: single pings,
# none repeated. While straitd is stopped the lcore follows to another port, and from another address, by itself; to another
# address of the peer's it goes with straitd there.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init roaming_first_reply

endpoint_is() # TEXT
{
	on gwa wg show strait0 endpoints | awk '{ print $2 }' | grep -qxF "$1"
}

# A data packet of no session, to an address that belongs to the lcores, is dropped there.
lcores_have() # ADDRESS FORMER-COUNT
{
	on peer bash -c "printf '\4\0\0\0%028d' 0 >/dev/udp/$1/$WG_PORT"
	drop_grew a wg_no_session "$2"
}

sent_from() # ADDRESS: how many packets of the recording
{
	tcpdump -n -r "$LAB_DIR/replies.pcap" src host "$1" 2>/dev/null | wc -l
}

local_is() # ADDRESS
{
	equal "$(peer_field a peer local)" "$1:$WG_PORT"
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
on gwa ip address add 192.0.2.11/24 dev wan
must 'the gateway has a second address' wait_until 10 lcores_have 192.0.2.11 "$(drop_count a wg_no_session)"
must 'what it sends is recorded' record_start replies gwa "udp src port $WG_PORT"
kill -STOP "${LAB_PROC[straitd-a]}"
on peer wg set wg0 peer "$(key_public a)" endpoint "192.0.2.11:$WG_PORT"
check 'straitd sleeps: the peer talks to that one' ping_ok lanp 10.1.0.2
kill -CONT "${LAB_PROC[straitd-a]}"
check 'straitd hears of it' wait_until 5 local_is 192.0.2.11
record_stop replies >/dev/null
check 'the reply came from there' at_least "$(sent_from 192.0.2.11)" 1
check 'and none from the old one' equal "$(sent_from 192.0.2.1)" 0
check 'without a new handshake' equal "$(last_handshake gwa strait0 peer)" "$shake"
lab_finish
