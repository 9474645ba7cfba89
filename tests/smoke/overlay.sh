#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What wg set changed survives a kill -9 of straitd and a reload, the sessions with it; straitctl shows and drops it; a
# broken overlay is kept aside and the configuration goes on.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init overlay

restart()
{
	bg_stop straitd-a KILL
	straitd_start a
	wait_until 20 gateway_ready a
}

must 'gateway and stock peer start' usual_lab
must 'tunnel' session_up lana 10.3.0.2
check 'nothing is changed yet' eval 'ctl a overlay show | grep -q nothing'
new=$(key_public new)
must 'wg set adds a peer' on gwa wg set strait0 peer "$new" allowed-ips 10.7.0.0/24 persistent-keepalive 25 \
	endpoint 192.0.2.77:1234 preshared-key <(key_private psk)
must 'wg set changes the configured one' on gwa wg set strait0 peer "$(key_public peer)" persistent-keepalive 21
must 'and the port' on gwa wg set strait0 listen-port 51999
must 'the tunnel is up from there' session_up lana 10.3.0.2
on gwa wg showconf strait0 >"$LAB_DIR/before.conf"
shake=$(last_handshake peer wg0 a)

must 'straitd is killed and back' restart
on gwa wg showconf strait0 >"$LAB_DIR/after.conf"
check 'all is as wg made it' eval '[ "$(sort "$LAB_DIR/before.conf")" = "$(sort "$LAB_DIR/after.conf")" ]'
check 'traffic goes on' ping_ok lana 10.3.0.2
check 'in the same session' equal "$(last_handshake peer wg0 a)" "$shake"
check 'straitctl shows the new peer' eval 'ctl a overlay show | grep -F "$new" | grep -q added'
check 'and the changed one' eval 'ctl a overlay show | grep -F "$(key_public peer)" | grep -q "persistent_keepalive 21"'
check 'and where a peer comes from' eval '[ "$(peer_field a "$new" source)" = wg ]'
check 'its file is for root alone' equal "$(on gwa stat -c %a /run/strait/overlay.json)" 600
check 'without the preshared key' eval '! on gwa grep -qF "$(key_private psk)" /run/strait/overlay.json'
check 'reload keeps it' eval 'ctl a reload && on gwa wg show strait0 peers | grep -qF "$new"'
check 'drop' eval 'ctl a overlay drop'
check 'goes back to the configuration' eval '! on gwa wg show strait0 peers | grep -qF "$new" &&
	[ "$(on gwa wg show strait0 listen-port)" = "$WG_PORT" ]'
check 'traffic is back, too' session_up lana 10.3.0.2

must 'wg set again' on gwa wg set strait0 peer "$new" allowed-ips 10.7.0.0/24
on gwa sh -c 'echo "{\"version\": 1" >/run/strait/overlay.json'
must 'restart with a broken overlay' restart
check 'the configuration goes on' eval 'ping_ok lana 10.3.0.2 && ! on gwa wg show strait0 peers | grep -qF "$new"'
check 'the overlay is kept aside' on gwa test -e /run/strait/overlay.json.bad
check 'and named' grep -q 'overlay.json.bad' "$LAB_DIR"/straitd-a*.log
lab_finish
