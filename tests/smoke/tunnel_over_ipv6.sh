#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A stock peer reached over IPv6: IPv4 and IPv6 inside, both directions.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init tunnel_over_ipv6

must 'gateway and stock peer start' usual_lab . "[2001:db8::3]:$WG_PORT"
must 'the WAN is recorded' record_start wan gwa ip6
must 'LAN host reaches the host behind the peer, IPv4' session_up lana 10.3.0.2
check 'the same, IPv6' session_up lana fd03::2
check 'back, IPv4' ping_ok lanp 10.1.0.2
check 'back, IPv6' ping_ok lanp fd01::2
record_stop wan >/dev/null
check 'data went over IPv6' at_least "$(recorded wan data)" 8
check 'nothing in the clear on the WAN' equal "$(recorded wan clear)" 0
lab_finish
