#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A preshared key on both sides, from a file; with the wrong one there is no session.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init preshared_key

psk=$LAB_DIR/psk
(umask 077 && wg genpsk >"$psk")
must 'boxes' eval 'wan_box wan && site_boxes a && peer_boxes'
gateway_config a ".wireguard[0].peers[0].preshared_key_file = \"$psk\"" "$(site_peer_entry peer "192.0.2.3:$WG_PORT")"
must 'gateway starts' gateway_start a
must 'peer starts' stock_peer a=
check 'no session without the key' not ping_ok lana 10.3.0.2 -W 1
must 'the peer gets the key' on peer wg set wg0 peer "$(key_public a)" preshared-key "$psk"
check 'now there is one' session_up lana 10.3.0.2
check 'wg shows that a key is set' eval 'on gwa wg show strait0 preshared-keys | grep -qvF "(none)"'
lab_finish
