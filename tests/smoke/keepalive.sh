#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Persistent keepalives of 1 s hold a silent tunnel open and let the other side learn where we are.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init keepalive

must 'boxes' eval 'wan_box wan && site_boxes a && peer_boxes'
gateway_config a '.wireguard[0].peers[0].persistent_keepalive = 1' "$(site_peer_entry peer "192.0.2.3:$WG_PORT")"
must 'peer starts' stock_peer a=
must 'the WAN is recorded' record_start wan gwa 'udp and src host 192.0.2.1'
must 'gateway starts' gateway_start a
check 'a handshake without any traffic' wait_until 15 eval '[ "$(last_handshake peer wg0 a)" -gt 0 ]'
check 'and keepalives each second' wait_until 10 recorded_so_far wan data 4
check 'the peer knows the way' eval 'on peer wg show wg0 endpoints | grep -qF 192.0.2.1:'
check 'and uses it' ping_ok lanp 10.1.0.2
lab_finish
