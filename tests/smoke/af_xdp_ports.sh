#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Both ports over AF_XDP (copy mode on veth) instead of AF_PACKET; a paced stream each way loses nothing.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init af_xdp_ports

must 'gateway and stock peer start' usual_lab '.ports |= map(.driver = "af_xdp" | .force_copy = true)'
check 'the driver is AF_XDP' eval 'ctl a ports --json | jq -e ".ports | map(select(.driver | test(\"xdp\"))) | length == 2"'
must 'tunnel' session_up lana 10.3.0.2
check 'IPv6 inside' ping_ok lana fd03::2
must 'streams run' eval 'stream_start out lana lanp 10.3.0.2 500 4 && stream_start in lanp lana 10.1.0.2 500 4'
stream_end out
stream_end in
check 'LAN to peer: each number once' stream_judge out
check 'peer to LAN: each number once' stream_judge in
check 'clean stop' gateway_stop a
lab_finish
