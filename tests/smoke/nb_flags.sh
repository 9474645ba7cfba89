#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A strait gateway and NetBird-format peers of several ages on one network without NATs: an attribute behind
# FINGERPRINT (from v0.57), session ids, no MODE, relayed candidates alone, IPv6, and offers lost while busy.
# Data passes in both directions; at last with nothing but IPv6.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=nat.sh
. "$(dirname "$0")/nat.sh"
lab_init nb_flags

# Two peers with the same flags; towards p1 the gateway controls, towards p2 it is controlled.
row() # TEXT WAY OPTION...
{
	local text=$1 way=$2 p
	shift 2
	for p in p1 p2; do
		nbpeer_start "$p" "10.9.0.1${p#p}/24" a 10.9.0.1/32,10.1.0.0/24 "$@" || return
		on "$p" ip route add 10.1.0.0/24 dev tun0
	done
	for p in p1 p2; do
		check "$text: $p: $way" nb_connects "$p" "$way"
	done
}

nb_connects() # p1|p2 direct|relayed
{
	local relayed=false
	[ "$2" = direct ] || relayed=true
	wait_until 25 nbpeer_connected "$1" && wait_until 10 ice_is a "$1" .state connected || return
	wait_until 10 ping_ok lana "10.9.0.1${1#p}" || return
	ctl a peers "$1"
	ice_is a "$1" .path.relayed "$relayed"
}

row_end()
{
	local p
	for p in p1 p2; do
		bg_stop "nb-$p" KILL 2>/dev/null
	done
	return 0
}

speed() # p1|p2 FLOOR; both ways, bit/s
{
	at_least "$(iperf_bps lana "$1" "10.9.0.1${1#p}" -t 1)" "$2" &&
		at_least "$(iperf_bps "$1" lana 10.1.0.2 -t 1)" "$2"
}

must 'the peer builds' nbpeer_build
must 'services' eval 'wan_box wan && service_box && signal_start && turn_start'
must 'keys' keys_ordered p2 a p1
must 'peers' eval 'inside_box p1 wan 192.0.2.31/24 && inside_box p2 wan 192.0.2.32/24'
must 'IPv6 of the peers' eval 'address p1 eth0 2001:db8::31/64 && address p2 eth0 2001:db8::32/64'
must 'gateway' nat_gateway a wan 192.0.2.1/24 '' '.ports[1].addresses += ["2001:db8::1/64"]' "$(peer_entry p1 '' 10.9.0.11/32)" "$(peer_entry p2 '' 10.9.0.12/32)"
must 'gateway starts' gateway_start a

row 'as of 2023' direct --keep 1
check 'data both ways' speed p1 10000000
row_end
row 'an attribute behind FINGERPRINT' direct --keep 1 --cid
row_end
row 'session ids' direct --head
row_end
row 'no MODE' direct --keep 1 --no-mode
row_end
row 'relayed candidates alone' relayed --keep 1 --relay-only
check 'data both ways by the relay' speed p2 5000000
row_end
must 'peers lose IPv4' eval 'on p1 ip -4 address flush dev eth0 && on p2 ip -4 address flush dev eth0'
NAT_SERVICE=$NAT_SERVICE6
row 'IPv6 alone' direct --keep 1 --v6
check 'data both ways' speed p1 10000000
row_end
lab_finish
