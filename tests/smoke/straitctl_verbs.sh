#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# straitctl: each verb as a table and as JSON, exit statuses with and without daemons, trace and capture.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init straitctl_verbs

status_of()
{
	"$@" >/dev/null 2>&1
	echo $?
}

must 'boxes' eval 'wan_box wan && site_boxes a && peer_boxes'
gateway_config a . "$(site_peer_entry peer "192.0.2.3:$WG_PORT")"
check 'without daemons status ends with 3' equal "$(status_of ctl a status)" 3
check 'config check --json' eval 'ctl a config check --json "$LAB_DIR/gwa.json" | holds .good'
check 'config check needs none' equal "$(status_of ctl a config check "$LAB_DIR/gwa.json")" 0
must 'peer starts' stock_peer a=
must 'gateway starts' gateway_start a
must 'tunnel' session_up lana 10.3.0.2
for verb in status peers ports stages drops routes neighbours; do
	check "$verb" eval "[ \"\$(ctl a $verb | wc -l)\" -ge 1 ]"
	check "$verb --json" eval "ctl a $verb --json | holds 'type == \"object\"'"
done
check 'peers names the peer and its session' eval 'ctl a peers | grep -w peer'
check 'routes has the way into the tunnel' eval 'ctl a routes | grep 10.3.0.0/24 | grep -q strait0'
check 'neighbours has the peer' eval 'ctl a neighbours | grep -q 192.0.2.3'
check 'an unknown verb ends with 2' equal "$(status_of ctl a stauts)" 2
check 'and a suggestion' eval 'ctl a stauts 2>&1 | grep -q status'
check 'an unknown option ends with 2' equal "$(status_of ctl a status --nonsense)" 2
check 'an unknown peer ends with 1' equal "$(status_of ctl a peers nobody)" 1
check 'completion' eval 'ctl a completion bash | bash -n'

bg ping lana ping -q -n -i 0.05 10.3.0.2
check 'trace shows the stages of a packet' eval 'ctl a trace --count 5 >"$LAB_DIR/trace" && grep -q wg_encrypt "$LAB_DIR/trace"'
check 'capture of a port' ctl a capture wan --count 6 --write "$LAB_DIR/wan.pcapng"
check 'is pcapng with WireGuard in it' eval '[ "$(tcpdump -n -r "$LAB_DIR/wan.pcapng" "udp port $WG_PORT" 2>/dev/null | wc -l)" -ge 3 ]'
check 'trace --json: a line for each packet' eval 'ctl a trace --json --count 5 >"$LAB_DIR/trace.json" &&
	holds -s "length == 5 and all(.[]; .hops | length > 0)" "$LAB_DIR/trace.json"'
check 'capture --json' eval 'ctl a capture wan --json --count 7 --write "$LAB_DIR/json.pcapng" >"$LAB_DIR/capture.json"'
check 'counts what is in the file' holds --argjson n "$(tcpdump -n -r "$LAB_DIR/json.pcapng" 2>/dev/null | wc -l)" \
	'.packets == $n and $n == 7 and .bytes >= 7 * 60 and .original_bytes == .bytes' "$LAB_DIR/capture.json"
check 'capture of a tunnel interface' ctl a capture strait0 --count 6 --write "$LAB_DIR/tun.pcapng"
check 'has the inner packets' eval '[ "$(tcpdump -n -r "$LAB_DIR/tun.pcapng" icmp 2>/dev/null | wc -l)" -ge 3 ]'
check 'capture of a peer' ctl a capture peer peer --count 4 --write "$LAB_DIR/peer.pcapng"
check 'has its inner packets' eval '[ "$(tcpdump -n -r "$LAB_DIR/peer.pcapng" icmp 2>/dev/null | wc -l)" -ge 2 ]'
bg_stop ping
bg ping lana ping -q -n -i 0.002 10.3.0.2
check 'capture of more packets than are held at once' ctl a capture wan --count 1200 --write "$LAB_DIR/many.pcapng"
bg_stop ping
bg_stop dp-a KILL
check 'with one daemon away status ends with 4' equal "$(status_of ctl a status)" 4
bg_stop straitd-a
check 'host remove' ctl a host remove "$LAB_DIR/gwa.json"
check 'takes the devices away' not on gwa ip link show dev lan
lab_finish
