#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Gateway and relay on one box and one set of ports, and a stock WireGuard peer that reaches the gateway only through
# an allocation on that very relay (pion's client, by UDP and by TLS). The box is behind a NAT as its configuration has
# it: clients are told an address that nothing on the wire answers for, and name the gateway by it. The peer begins; after a death of strait-dp the
# gateway begins, towards an address that the kernel would keep for itself.
#
#     lanp - peer: wireguard-go - turnpeer == wan == gwa: relay 3478, relayed 192.0.2.1:5xxxx, WireGuard 51820 - lana
#
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=relay_lab.sh
. "$(dirname "$0")/relay_lab.sh"
# shellcheck source=turn_interop_lab.sh
. "$(dirname "$0")/turn_interop_lab.sh"
lab_init turn_same_box

PROXY_PORT=51821
EXTERNAL=198.51.100.77 # what clients hear of

proxy() # NAME TRANSPORT
{
	bg "$1" peer "$TURNPEER" proxy -server "$RELAY_ADDR:3478" -user "$RELAY_USER" -password "$RELAY_PASS" \
		-realm "$RELAY_REALM" -transport "$2" -listen "127.0.0.1:$PROXY_PORT" -peer "$EXTERNAL:$WG_PORT"
	wait_until 10 grep -q '^relayed' "$LAB_DIR/$1.log"
}

told_address() # NAME
{
	awk '/^relayed/ { print $2 }' "$LAB_DIR/$1.log"
}

relayed_address() # NAME
{
	told_address "$1" | sed "s/^$EXTERNAL:/$RELAY_ADDR:/"
}

named_by_its_external_address() # NAME
{
	[[ $(told_address "$1") == "$EXTERNAL":* ]] &&
		on gwa wg set strait0 peer "$(on gwa wg show strait0 peers)" endpoint "$(told_address "$1")" &&
		endpoint_is "$(relayed_address "$1")" && both_ways
}

endpoint_is() # ADDRESS
{
	equal "$(on gwa wg show strait0 endpoints | awk '{ print $2 }')" "$1"
}

both_ways()
{
	ping_ok lana 10.3.0.2 && ping_ok lanp 10.1.0.2 && ping_ok lanp fd01::2
}

probe_peers() # PEER[/PORT]=CODE...
{
	on peer timeout 30 "$LAB_ROOT/tests/tools/turnprobe.py" peers "$RELAY_ADDR" 3478 "$RELAY_USER" "$RELAY_PASS" \
		"$RELAY_REALM" "$@"
}

# The WAN has seen the client's 5-tuple, and nothing of WireGuard's port or of the relay range.
wire_was_clean()
{
	bg_stop tcpdump-wire INT >/dev/null
	equal "$(tcpdump -nn -r "$LAB_DIR/wire.pcap" 2>/dev/null | wc -l)" 0
}

turnpeer_build || exit 1
relay_certificate
must 'gateway, relay and stock peer start' eval 'wan_box wan && site_boxes a && peer_boxes &&
	gateway_config a "$(relay_section) | .turn.relay_ports.min = 52000 |
		.turn.allow_peers += [\"10.0.0.0/8\", \"fd00::/8\"] |
		.turn.relay_addresses[0] = {address: \"$RELAY_ADDR\", external_ip: \"$EXTERNAL\"} | $(relay_all_transports)" \
		"$(site_peer_entry peer "")" && chmod 600 "$LAB_DIR/gwa.json" && gateway_start a && stock_peer "a=127.0.0.1:$PROXY_PORT"'
must 'the WAN is recorded' record_start wire gwa 'udp and not port 3478'
must 'the peer has an allocation, by UDP' proxy one udp
must 'the tunnel comes up through it' session_up lanp 10.1.0.2
check 'the gateway sees the peer at the relayed address' endpoint_is "$(relayed_address one)"
check 'both ways, IPv6 inside as well' both_ways
must 'streams run, for two seconds' eval 'stream_start out lana lanp 10.3.0.2 500 2 && stream_start in lanp lana 10.1.0.2 500 2'
stream_end out
stream_end in
check "LAN to peer: $(stream_field out received) numbers, each once" stream_judge out
check "peer to LAN: $(stream_field in received) numbers, each once" stream_judge in
check 'an endpoint at the external address is reached inside' named_by_its_external_address one
shake=$(last_handshake peer wg0 a)
must 'time passes' wait_until 3 eval '[ "$(date +%s)" -gt $((shake + 1)) ]'
bg_stop dp-a KILL
must 'strait-dp is started again' eval 'dp_start a && wait_until 20 gateway_ready a'
check 'the gateway began a handshake towards its own relay' wait_until 15 eval '[ "$(last_handshake peer wg0 a)" -gt "$shake" ]'
check 'both ways again' wait_until 5 both_ways
bg_stop one
must 'another allocation, by TLS' proxy two tls
check 'the tunnel moves to it' wait_until 30 eval 'ping_ok lanp 10.1.0.2 -W 1 && endpoint_is "$(relayed_address two)"'
check 'both ways' both_ways
check 'no port of this box is a peer, but for relays and WireGuard' probe_peers "$RELAY_ADDR/3478=403" "$RELAY_ADDR/22=403" \
	"$RELAY_ADDR6/3478=403" 10.1.0.1/22=403 fd01::1/22=403 "$RELAY_ADDR/$WG_PORT=0" "$RELAY_ADDR/52001=0" "10.1.0.1/$WG_PORT=0"
check 'nothing inside of its tunnels is' probe_peers 10.9.0.1/22=403 10.9.0.77=403 fd09::3=403 10.3.0.2=403 fd03::2/53=403
check 'what else an allow list has is one' probe_peers 10.77.0.1=0 fd77::1/53=0 192.0.2.55/53=0
must 'the box gets another address' on gwa ip address add 192.0.2.55/32 dev wan
check 'from then on it is none' wait_until 5 probe_peers 192.0.2.55/53=403
must 'the box loses it' on gwa ip address del 192.0.2.55/32 dev wan
check 'and it is one again' wait_until 5 probe_peers 192.0.2.55/53=0
check 'on the wire was nothing but what the client and the relay say' wire_was_clean
lab_finish
