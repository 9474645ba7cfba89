#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# iperf3 through the tunnel, TCP and UDP, both directions, IPv4 and IPv6. The figures are printed, not judged:
# the state is that data flows all the time. Many flows keep both lcores busy: each has a queue of each port.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init throughput

flows() # TEXT MINIMUM-BPS IPERF-ARGUMENTS...
{
	local text=$1 min=$2 bps
	shift 2
	bps=$(iperf_bps "$@")
	check "$text: $((${bps:-0} / 1000000)) Mbit/s" at_least "${bps:-0}" "$min"
}

# Packets that came in on an lcore.
received() # LCORE
{
	ctl a stages --per-lcore --json | jq --argjson l "$1" '[.stages[] | select(.stage == "rx" and .lcore == $l) | .packets] | add // 0'
}

must 'gateway and stock peer start' usual_lab
must 'tunnel' session_up lana 10.3.0.2
flows 'TCP, LAN to peer, IPv4' 5000000 lana lanp 10.3.0.2
flows 'TCP, peer to LAN, IPv4' 5000000 lana lanp 10.3.0.2 -t 2 -R
flows 'TCP, LAN to peer, IPv6' 5000000 lana lanp fd03::2
flows 'TCP, peer to LAN, IPv6' 5000000 lana lanp fd03::2 -t 2 -R
flows 'UDP, LAN to peer' 8000000 lana lanp 10.3.0.2 -t 2 -u -b 10M -l 1200
flows 'UDP, peer to LAN' 8000000 lana lanp 10.3.0.2 -t 2 -u -b 10M -l 1200 -R

# One way, so that the WAN's packets, which are one flow, are few.
first=$(received 0) second=$(received 1)
flows 'UDP, 16 flows' 8000000 lana lanp 10.3.0.2 -t 1 -u -b 1M -l 1200 -P 16
check 'some of them came to lcore 0' at_least "$(received 0)" $((first + 200))
check 'and some to lcore 1' at_least "$(received 1)" $((second + 200))
lab_finish
