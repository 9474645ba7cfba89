#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# straitd is killed under a numbered stream each way and started again: nothing is lost, no session is keyed
# anew, no port unreachable leaves the box, and a handshake that came meanwhile is answered afterwards.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init kill_straitd

must 'gateway and stock peer start' usual_lab
must 'tunnel' session_up lana 10.3.0.2
must 'the WAN is recorded' record_start wan gwa
shake=$(last_handshake peer wg0 a)
must 'streams run' eval 'stream_start out lana lanp 10.3.0.2 1000 60 && stream_start in lanp lana fd01::2 1000 60'
must 'packets flow' wait_until 5 recorded_so_far wan data 500
host_side a >"$LAB_DIR/host.before"
bg_stop straitd-a KILL
check 'strait-dp lives' not pid_gone "${LAB_PROC[dp-a]}"
data=$("$WGRAW" judge "$LAB_DIR/wan.pcap" | jq .data)
check 'forwarding goes on without straitd' wait_until 5 recorded_so_far wan data $((data + 2000))
check 'no handshake so far' equal "$(last_handshake peer wg0 a)" "$shake"

# A second peer knocks while nobody is at home.
must 'a second peer has a box' second_peer_box
must 'a second peer knocks meanwhile' second_peer
on peer2 ping -n -c 1 -W 1 10.9.0.1 >/dev/null
jq --argjson p "$(peer_entry peer2 '' 10.9.0.4/32)" '.wireguard[0].peers += [$p]' "$LAB_DIR/gwa.json" >"$LAB_DIR/new.json"
mv "$LAB_DIR/new.json" "$LAB_DIR/gwa.json"
straitd_start a
must 'straitd is back' wait_until 20 gateway_ready a
check 'the knock is answered from the queue, before the peer tries again' wait_until 3 eval \
	'[ "$(last_handshake peer2 wg0 a)" -gt 0 ]'
host_side a >"$LAB_DIR/host.after"
check 'devices, addresses and routes are still there' equal "$(comm -23 <(sort "$LAB_DIR/host.before") <(sort "$LAB_DIR/host.after"))" ''
check 'a new ping passes' ping_ok lana 10.3.0.2
stream_end out now
stream_end in now
check 'LAN to peer: each number once' stream_judge out
check 'peer to LAN: each number once' stream_judge in
check 'no new handshake with the first peer' equal "$(last_handshake peer wg0 a)" "$shake"
record_stop wan >/dev/null
check 'no port unreachable left the box' equal "$(recorded wan port_unreachable)" 0
check 'no packet twice' equal "$(recorded wan repeated)" 0
check 'nothing in the clear' equal "$(recorded wan clear)" 0

# The peer remembers the time stamp of the first handshake, which was ours.
on gwa wg set strait0 peer "$(key_public peer)" remove
must 'the gateway forgets its session' on gwa wg set strait0 peer "$(key_public peer)" endpoint "192.0.2.3:$WG_PORT" \
	allowed-ips "$(site_prefixes peer | sed 's/ /,/g')"
check 'and makes a new one: our time stamps did not go back' session_up lana 10.3.0.2
check 'it is new' wait_until 5 eval '[ "$(last_handshake peer wg0 a)" -gt "$shake" ]'
lab_finish
