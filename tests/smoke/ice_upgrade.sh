#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two gateways, one behind a NAT that keeps ports, one behind a symmetric NAT: no direct way, so the tunnel is
# relayed. Then the first NAT forwards WireGuard's port: the path becomes direct by itself, under a numbered
# stream of which nothing is missing, and with the same session.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=ice_sites.sh
. "$(dirname "$0")/ice_sites.sh"
lab_init ice_upgrade

must 'a site behind a NAT that keeps ports, one behind a symmetric NAT, a server' ice_lab port symmetric
must 'gateway a starts' gateway_start a
must 'gateway b starts' gateway_start b
must 'the tunnel comes up' session_up lana 10.2.0.2
check 'relayed' ice_is a b .path.relayed true
shake=$(peer_field b a handshakes)
must 'a stream runs' eval 'stream_start ab lana lanb 10.2.0.2 500 60'
must 'the first NAT forwards the port' ice_forward a
check 'a new attempt makes it direct' wait_until 40 ice_is a b .path.relayed false
check 'for b as well' wait_until 5 ice_is b a .path.relayed false
check 'the relay stands by' ice_is a b .standby.relayed true
check 'no handshake' equal "$(peer_field b a handshakes)" "$shake"
stream_end ab now
check 'each number once' stream_judge ab
lab_finish
