#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Both ports over AF_XDP (copy mode on veth) instead of AF_PACKET; a paced stream each way loses nothing, and bursts, which
# use every packet of the pool, cost none of them, nor does garbage, which is counted exactly. A port can be taken out of the configuration and put back, any number of
# times, at no cost either.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init af_xdp_ports

xdp='.ports |= map(.driver = "af_xdp" | .force_copy = true)'
reload_with() # FILTER
{
	gateway_config a "$1" "$(site_peer_entry peer "192.0.2.3:$WG_PORT")" && ctl a reload
}

must 'gateway and stock peer start' usual_lab "$xdp"
check 'the driver is AF_XDP' eval 'ctl a ports --json | holds ".ports | map(select(.driver | test(\"xdp\"))) | length == 2"'
must 'tunnel' session_up lana 10.3.0.2
check 'IPv6 inside' ping_ok lana fd03::2
must 'streams run' eval 'stream_start out lana lanp 10.3.0.2 500 4 && stream_start in lanp lana 10.1.0.2 500 4'
stream_end out
stream_end in
check 'LAN to peer: each number once' stream_judge out
check 'peer to LAN: each number once' stream_judge in
baseline=$(pool_missing a)
check 'bursts' eval '[ "$(iperf_bps lana lanp 10.3.0.2 -t 3 -u -b 200M)" -gt 0 ]'
check 'the pools are as full as before' wait_until 10 pools_are a "$baseline"
must 'wrong headers pass the WAN' wan_passes_all
wan_mac=$(on gwa cat /sys/class/net/rwan/address)
was=$(drops_settled a)
sent=$(on peer "$WGRAW" wrong eth0 --side wan --mac "$wan_mac" --to 192.0.2.1 --to 2001:db8::1)
check "wrong frames have exact counters: $sent" wait_until 5 drops_grew_by a "$was" "$sent"
check 'garbage' on peer "$WGRAW" garbage eth0 --mac "$wan_mac" --to 192.0.2.1 --to 2001:db8::1 --count 8000 --rate 8000 --seed 31
must 'the wire takes larger frames' wan_mtu a 3400
drops_settled a >/dev/null
missed=$(port_counter a wan rx_missed)
check 'frames larger than the port takes' on peer "$WGRAW" garbage eth0 --mac "$wan_mac" --to 192.0.2.1 --size 2500 --count 100 --rate 500
check 'are counted, each' wait_until 5 eval 'equal "$(port_counter a wan rx_missed)" "$((missed + 100))"'
must 'and no more' wan_mtu a 1500
check 'the pools are as full as before' wait_until 40 pools_are a "$baseline"
for _ in 1 2 3; do
	must 'the LAN port goes' reload_with "$xdp | del(.ports[0])"
	must 'and comes back' reload_with "$xdp"
	must 'it forwards' session_up lana 10.3.0.2
	check 'IPv6 too' ping_ok lana fd03::2
done
check 'the pools are as full as before' wait_until 10 pools_are a "$baseline"
check 'clean stop' gateway_stop a
lab_finish
