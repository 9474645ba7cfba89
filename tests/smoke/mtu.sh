#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Sizes: an inner packet that is too big is refused with the right ICMP, or cut when it may be; TCP learns a
# smaller MSS; an outer packet that is too big for the path is cut, and outer fragments are put together again.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init mtu

# The largest ping payload that passes with DF set, as the sender learns it.
path_mtu_learnt() # BOX ADDRESS
{
	on "$1" ip route get "$2" | grep -o 'mtu [0-9]*' | cut -d ' ' -f 2
}

must 'gateway and stock peer start' usual_lab
must 'tunnel' session_up lana 10.3.0.2
check 'a full inner packet of 1420 passes, IPv4' ping_ok lana 10.3.0.2 -M 'do' -s 1392
check 'the same, IPv6' ping_ok lana fd03::2 -M 'do' -s 1372
check '1421 with DF does not, IPv4' not ping_ok lana 10.3.0.2 -M 'do' -s 1393
check 'the host learnt 1420' equal "$(path_mtu_learnt lana 10.3.0.2)" 1420
check '1421 does not, IPv6' not ping_ok lana fd03::2 -M 'do' -s 1373
check 'the host learnt 1420, IPv6' equal "$(path_mtu_learnt lana fd03::2)" 1420
on lana ip route flush cache
check '1500 without DF is cut and passes, IPv4' ping_ok lana 10.3.0.2 -M dont -s 1472
check '4000 in fragments passes, IPv4' ping_ok lana 10.3.0.2 -M dont -s 4000
# The first one teaches either host the MTU.
check '4000 in fragments passes, IPv6' wait_until 5 ping_ok lana fd03::2 -s 4000
check 'and from the other side' ping_ok lanp 10.1.0.2 -M dont -s 4000

bg syn lanp tcpdump -n -i eth0 -c 1 'tcp[tcpflags] & tcp-syn != 0'
wait_until 5 grep -q 'listening on' "$LAB_DIR/syn.log"
iperf_bps lana lanp 10.3.0.2 -n 1000 >/dev/null
wait_until 3 grep -q mss "$LAB_DIR/syn.log" >/dev/null
check 'MSS of a connection into the tunnel is 1380' grep -q 'mss 1380' "$LAB_DIR/syn.log"

# A path of 1300 outside: the kernel route of the gateway knows it.
on gwa ip route add 192.0.2.3/32 dev wan mtu 1300
must 'the WAN is recorded' record_start narrow gwa
check 'a full inner packet passes over a narrow path' wait_until 5 ping_ok lana 10.3.0.2 -M 'do' -s 1392
record_stop narrow >/dev/null
check 'as outer fragments' at_least "$(recorded narrow fragments)" 2
on gwa ip route del 192.0.2.3/32 dev wan
# And the other direction: the peer's kernel cuts, the lcores put together.
on peer ip route add 192.0.2.1/32 dev eth0 mtu 1300
before=$(stage_packets a reassemble)
check 'outer fragments from the peer are put together' ping_ok lanp 10.1.0.2 -M 'do' -s 1392
check 'by the lcores' at_least "$(stage_packets a reassemble)" $((before + 1))
lab_finish
