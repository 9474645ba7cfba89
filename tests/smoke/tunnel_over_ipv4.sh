#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A stock peer reached over IPv4: IPv4 and IPv6 inside, both directions, and from the boxes themselves.
# The lcores carried it, and nothing of it was on the WAN in the clear.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init tunnel_over_ipv4

must 'gateway and stock peer start' usual_lab
must 'the WAN is recorded' record_start wan gwa
must 'LAN host reaches the host behind the peer, IPv4' session_up lana 10.3.0.2
check 'the same, IPv6' session_up lana fd03::2
check 'back, IPv4' ping_ok lanp 10.1.0.2
check 'back, IPv6' ping_ok lanp fd01::2
check 'peer reaches the tunnel address of the gateway' ping_ok peer 10.9.0.1
check 'the same, IPv6' ping_ok peer fd09::1
check 'gateway itself reaches the host behind the peer' ping_ok gwa 10.3.0.2
check 'peer has a handshake' at_least "$(last_handshake peer wg0 a)" 1
check 'gateway shows it to wg, too' at_least "$(last_handshake gwa strait0 peer)" 1
check 'lcores decrypted' at_least "$(stage_packets a wg_accept)" 4
check 'lcores encrypted' at_least "$(stage_packets a wg_encrypt)" 4
check "straitd's socket received no data packet" equal \
	"$(ctl a status --json | jq '.straitd.handshakes | .data_dropped + .data_passed_down')" 0
record_stop wan >/dev/null
check 'nothing in the clear on the WAN' equal "$(recorded wan clear)" 0
check 'data went over IPv4' at_least "$(recorded wan data)" 8
check 'no port unreachable' equal "$(recorded wan port_unreachable)" 0
check 'clean stop' gateway_stop a
lab_finish
