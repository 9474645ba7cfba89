#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Garbage on every port: Ethernet, IP, UDP, WireGuard of every wrong shape, and frames too large. Established traffic loses nothing, nothing
# answers that should be silent, every drop has a name, and afterwards the packet pools are as full as before.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init garbage

must 'gateway and stock peer start' usual_lab
must 'wrong headers pass the WAN' wan_passes_all
must 'tunnel' session_up lana 10.3.0.2
shake=$(last_handshake peer wg0 a)
baseline=$(pool_missing a)
wan_mac=$(on gwa cat /sys/class/net/rwan/address)
lan_mac=$(on gwa cat /sys/class/net/rlan/address)

# Each frame is counted, under its name, exactly.
was=$(drops_settled a)
sent=$(on peer "$WGRAW" wrong eth0 --side wan --mac "$wan_mac" --to 192.0.2.1 --to 2001:db8::1 --port "$WG_PORT")
check "wrong frames on the WAN have exact counters: $sent" wait_until 5 drops_grew_by a "$was" "$sent"
was=$(drops_settled a)
sent=$(on lana "$WGRAW" wrong eth0 --side lan --mac "$lan_mac" --to 10.3.0.2 --to fd03::2 --source4 10.1.0.2 --source6 fd01::2)
check "and on the LAN: $sent" wait_until 5 drops_grew_by a "$was" "$sent"
must 'the wire takes jumbo frames' wan_mtu a 9000
was=$(drops_settled a)
check 'frames larger than the port takes' on peer "$WGRAW" garbage eth0 --mac "$wan_mac" --to 192.0.2.1 --size 4000 --count 100
check 'are counted, each' wait_until 5 drops_grew_by a "$was" '{"rx_bad_ip": 100}'
must 'and no more' wan_mtu a 1500
must 'the WAN is recorded' record_start wan gwa 'src host 192.0.2.1'
must 'a stream runs' stream_start out lana lanp 10.3.0.2 300 60
check 'garbage on the WAN' on peer "$WGRAW" garbage eth0 --mac "$wan_mac" --to 192.0.2.1 --to 2001:db8::1 \
	--port "$WG_PORT" --count 30000 --rate 8000 --seed 11
check 'garbage on the LAN' on lana "$WGRAW" garbage eth0 --mac "$lan_mac" --to 10.1.0.1 --to 10.3.0.2 --to fd01::1 --to fd03::2 \
	--source4 10.1.0.2 --source6 fd01::2 --count 30000 --rate 8000 --seed 12
must 'packets are recorded' data_record data 5
check 'damaged packets of a live session' on peer "$WGRAW" replay eth0 "$LAB_DIR/data" --mutate any --times 1000
stream_end out now
check 'the stream lost nothing' stream_judge out
check 'traffic goes on' ping_ok lanp 10.1.0.2
check 'the session is the same' equal "$(last_handshake peer wg0 a)" "$shake"
check 'drops have names' eval '[ "$(ctl a drops --json | jq "[.drops[].packets] | add")" -ge 1000 ]'
record_stop wan >/dev/null
check 'no port unreachable from the WireGuard port' eval \
	'[ "$(tcpdump -n -r "$LAB_DIR/wan.pcap" "icmp[0] = 3 and icmp[1] = 3 and icmp[30:2] = $WG_PORT" 2>/dev/null | wc -l)" -eq 0 ]'
check 'the pools are full again' wait_until 40 pools_are a "$baseline"
check 'both daemons live' gateway_ready a
lab_finish
