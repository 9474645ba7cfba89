#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# iperf3 through the tunnel, TCP and UDP, both directions, IPv4 and IPv6. The figures are printed, not judged:
# the state is that data flows all the time.
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

must 'gateway and stock peer start' usual_lab
must 'tunnel' session_up lana 10.3.0.2
flows 'TCP, LAN to peer, IPv4' 5000000 lana lanp 10.3.0.2
flows 'TCP, peer to LAN, IPv4' 5000000 lana lanp 10.3.0.2 -t 2 -R
flows 'TCP, LAN to peer, IPv6' 5000000 lana lanp fd03::2
flows 'TCP, peer to LAN, IPv6' 5000000 lana lanp fd03::2 -t 2 -R
flows 'UDP, LAN to peer' 8000000 lana lanp 10.3.0.2 -t 2 -u -b 10M -l 1200
flows 'UDP, peer to LAN' 8000000 lana lanp 10.3.0.2 -t 2 -u -b 10M -l 1200 -R
lab_finish
