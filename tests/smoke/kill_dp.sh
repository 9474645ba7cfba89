#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# strait-dp is killed under traffic and started again: straitd reinstalls everything but keys and handshakes
# anew. No (key, counter) pair is on the wire twice, the LAN is never on the WAN in the clear, and host devices,
# addresses and routes stay.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init kill_dp

must 'gateway and stock peer start' usual_lab
must 'tunnel' session_up lana 10.3.0.2
must 'the kernel would forward what it heard' kernel_would_leak a
must 'the WAN is recorded' record_start wan gwa
host_side a >"$LAB_DIR/host.before"
shake=$(last_handshake peer wg0 a)
must 'a stream runs' stream_start out lana lanp 10.3.0.2 500 60
must 'and one back' stream_start in lanp lana fd01::2 500 60
must 'packets flow' wait_until 5 recorded_so_far wan data 300
bg_stop dp-a KILL
check 'straitd lives' not pid_gone "${LAB_PROC[straitd-a]}"
check 'straitd says that it is alone' wait_until 5 eval 'ctl a status --json | holds ".straitd.dataplane.connected == false"'
check 'the kernel stays deaf on the raw interfaces' eval 'on gwa nft list ruleset | grep -q "hook ingress"'
host_side a >"$LAB_DIR/host.during"
check 'devices, addresses and routes stay' diff "$LAB_DIR/host.before" "$LAB_DIR/host.during"
# wg's times are in seconds.
must 'time passes' wait_until 3 eval '[ "$(date +%s)" -gt $((shake + 1)) ]'
must 'strait-dp is started again' dp_start a
must 'everything is installed again' wait_until 20 gateway_ready a
check 'a new handshake came by itself' wait_until 15 eval '[ "$(last_handshake peer wg0 a)" -gt "$shake" ]'
check 'traffic flows, out' ping_ok lana 10.3.0.2
check 'traffic flows, in' ping_ok lanp 10.1.0.2
stream_end out now
stream_end in now
check 'the stream came through again' at_least "$(stream_field out received)" 300
check 'no number twice, out' equal "$(stream_field out duplicates)" 0
check 'no number twice, in' equal "$(stream_field in duplicates)" 0
host_side a >"$LAB_DIR/host.after"
check 'devices, addresses and routes are as before' diff "$LAB_DIR/host.before" "$LAB_DIR/host.after"
record_stop wan >/dev/null
check 'no (key, counter) pair twice' equal "$(recorded wan repeated)" 0
check 'nothing in the clear on the WAN, at any time' equal "$(recorded wan clear)" 0
check 'no port unreachable' equal "$(recorded wan port_unreachable)" 0
lab_finish
