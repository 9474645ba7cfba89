#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# reload applies the difference: a new peer and a new allowed IP work, a removed peer is out, unchanged peers keep
# their sessions and lose nothing; a config with an error changes nothing and is explained.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init reload

change() # JQ-FILTER
{
	jq "$1" "$LAB_DIR/gwa.json" >"$LAB_DIR/new.json" && mv "$LAB_DIR/new.json" "$LAB_DIR/gwa.json"
}

must 'gateway and stock peer start' usual_lab
must 'tunnel' session_up lana 10.3.0.2
shake=$(last_handshake peer wg0 a)
cp "$LAB_DIR/gwa.json" "$LAB_DIR/good.json"
must 'a stream runs' stream_start out lana lanp 10.3.0.2 1000 60

change ".wireguard[0].peers += [$(peer_entry new '' 10.9.0.7/32 10.7.0.0/16)]"
check 'reload with a new peer' ctl a reload
check 'wg shows it' eval 'on gwa wg show strait0 peers | grep -qF "$(key_public new)"'
check 'its prefix is routed to the tunnel' eval 'on gwa ip route show 10.7.0.0/16 | grep -q strait0'
change '.wireguard[0].peers |= map(select(.name != "new"))'
check 'reload without it' ctl a reload
check 'it is gone' eval '! on gwa wg show strait0 peers | grep -qF "$(key_public new)"'
check 'its route, too' eval '[ -z "$(on gwa ip route show 10.7.0.0/16)" ]'

change '.ports[0].adresses = []'
check 'a config with an unknown key is refused' not ctl a reload
ctl a reload >"$LAB_DIR/refusal" 2>&1
check 'and the key is named' grep -q adresses "$LAB_DIR/refusal"
cp "$LAB_DIR/good.json" "$LAB_DIR/gwa.json"
check 'reload of the good one, unchanged: nothing needs a restart' eval 'ctl a reload --json | holds ".needs_restart == []"'
change '.wireguard[0].addresses += ["10.9.77.1/24"]'
check 'reload with one more address' ctl a reload
check 'it is there' eval 'on gwa ip address show dev strait0 | grep -q 10.9.77.1/24'
change '.dataplane.packets = 20000'
check 'reload with a larger pool: that needs a restart' eval 'ctl a reload --json | holds ".needs_restart | length == 1"'
change '.dataplane.packets = 20001'
check 'which people are told, too' eval 'ctl a reload | grep -q "needs a restart to take effect: .*packets"'
cp "$LAB_DIR/good.json" "$LAB_DIR/gwa.json"

stream_end out now
check 'the stream lost nothing' stream_judge out
check 'the session is the same' equal "$(last_handshake peer wg0 a)" "$shake"
check 'traffic goes on' ping_ok lanp 10.1.0.2
lab_finish
