#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A stock peer reached over IPv6: IPv4 and IPv6 inside, both directions. It moves to its link-local address, is called
# there, and straitd's restart does not forget the interface.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init tunnel_over_ipv6

must 'gateway and stock peer start' usual_lab . "[2001:db8::3]:$WG_PORT"
must 'the WAN is recorded' record_start wan gwa ip6
must 'LAN host reaches the host behind the peer, IPv4' session_up lana 10.3.0.2
check 'the same, IPv6' session_up lana fd03::2
check 'back, IPv4' ping_ok lanp 10.1.0.2
check 'back, IPv6' ping_ok lanp fd01::2
record_stop wan >/dev/null
check 'data went over IPv6' at_least "$(recorded wan data)" 8
check 'nothing in the clear on the WAN' equal "$(recorded wan clear)" 0

# ---- link-local addresses -----------------------------------------------------------------------------

link_local() # BOX IF
{
	on "$1" ip -6 -o address show dev "$2" scope link | awk '{ sub("/.*", "", $4); print $4; exit }'
}

endpoint_is() # ENDPOINT
{
	equal "$(on gwa wg show strait0 endpoints | awk '{ print $2 }')" "$1"
}

peer_goes_to() # ENDPOINT; a new socket is needed for wireguard-go to forget the address it spoke from
{
	on peer wg set wg0 listen-port 51821
	on peer wg set wg0 listen-port "$WG_PORT" peer "$(key_public a)" endpoint "$1"
}

data_on_lcores() # COMMAND...: it is straitd's socket that has no part in it
{
	local before
	before=$(ctl a status --json | jq '.straitd.handshakes | .data_sent + .data_passed_down + .data_dropped')
	"$@" && equal "$(ctl a status --json | jq '.straitd.handshakes | .data_sent + .data_passed_down + .data_dropped')" "$before"
}

own=$(link_local gwa wan) theirs=$(link_local peer eth0)
shake=$(last_handshake gwa strait0 peer)
must 'both have link-local addresses' eval '[ -n "$own" ] && [ -n "$theirs" ]'
must 'the peer speaks from its own' peer_goes_to "[$own%eth0]:$WG_PORT"
check 'it gets through' wait_until 10 ping_ok lanp 10.1.0.2 -W 1
check 'the gateway follows' wait_until 5 endpoint_is "[$theirs%wan]:$WG_PORT"
check 'and sends there' ping_ok lana 10.3.0.2
check 'on the lcores alone' data_on_lcores eval 'ping_ok lanp fd01::2 && ping_ok lana fd03::2'
check 'in the same session' equal "$(last_handshake gwa strait0 peer)" "$shake"
check 'straitctl says where' holds --arg e "[$theirs%wan]:$WG_PORT" '.peers[0].endpoint == $e' < <(ctl a peers --json)
bg_stop straitd-a KILL 2>/dev/null
must 'straitd is killed and back' eval 'straitd_start a && wait_until 20 gateway_ready a'
check 'the endpoint is known' endpoint_is "[$theirs%wan]:$WG_PORT"
check 'traffic goes on' ping_ok lana 10.3.0.2
must 'wg gives the peer another endpoint' on gwa wg set strait0 peer "$(key_public peer)" endpoint "[2001:db8::3]:$WG_PORT"
check 'which the gateway uses' wait_until 5 endpoint_is "[2001:db8::3]:$WG_PORT"
on peer wg set wg0 peer "$(key_public a)" remove
must 'wg names the link-local one' on gwa wg set strait0 peer "$(key_public peer)" endpoint "[$theirs%wan]:$WG_PORT"
stock_again()
{
	printf '[Peer]\nPublicKey = %s\nAllowedIPs = %s\n' "$(key_public a)" "$(site_prefixes a | sed 's/ /, /g')" >"$LAB_DIR/again.conf"
	on peer wg addconf wg0 "$LAB_DIR/again.conf"
}
must 'the peer has forgotten all of the gateway' stock_again
must 'its session at the gateway, too' eval 'bg_stop dp-a KILL 2>/dev/null; dp_start a && wait_until 30 gateway_ready a'
check 'a handshake goes to the link-local address and data follows' wait_until 20 ping_ok lana 10.3.0.2 -W 1
check 'IPv6 inside, from the peer' wait_until 5 ping_ok lanp fd01::2 -W 1
check 'the peer sees the link-local address' eval 'on peer wg show wg0 endpoints | grep -qF "[$own"' # wireguard-go's text has no interface
lab_finish
