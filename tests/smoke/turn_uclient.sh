#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# coturn's own client and STUN client against the relay: channels, indications, reserved port pairs, padding,
# DONT-FRAGMENT, refreshes, IPv6 on either side of the relay, both families, client to client, time-limited credentials.
# Nothing may get lost.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=relay_lab.sh
. "$(dirname "$0")/relay_lab.sh"
lab_init turn_uclient
command -v turnutils_uclient >/dev/null || lab_skip "turnutils_uclient (package coturn) is not installed"

ECHO_PORT=3480

# Its exit status says nothing about loss.
uclient() # [OPTION...]; to the relay's IPv4 address, or SERVER, and the echo peer's
{
	local out
	out=$(on client timeout 60 turnutils_uclient -u "$RELAY_USER" -w "$RELAY_PASS" -e 192.0.2.12 -r "$ECHO_PORT" \
		-n 10 -m 1 -l 170 -z 5 "$@" "${SERVER:-$RELAY_ADDR}" 2>&1) || { printf '%s\n' "$out" | tail -n 12; return 1; }
	grep -q 'Total lost packets 0 (0.000000%)' <<<"$out" || { printf '%s\n' "$out" | tail -n 12; return 1; }
}

uclient_refused() # WHAT-IT-SAYS [OPTION...]
{
	local says=$1 out
	shift
	if out=$(uclient "$@"); then
		return 1
	fi
	grep -q "$says" <<<"$out" || { printf '%s\n' "$out" | tail -n 12; return 1; }
}

# With both families the client gives one of them back, or none, at random; where it was the peer's, our answer to
# what follows is 443 (RFC 8656 section 10.2), and another try is due.
both_families()
{
	local out
	for _ in {1..10}; do
		out=$(uclient -c -Z) && return
		grep -q 'error 443' <<<"$out" || break
	done
	printf '%s\n' "$out"
	return 1
}

# Clients' and peers' packets are spread by their addresses and ports: whoever gets them relays them.
on_both_lcores() # STAGE
{
	equal "$(ctl r stages --per-lcore --json | jq "[.stages[] | select(.stage == \"$1\" and .packets > 0)] | length")" 2
}

uclient6() # [OPTION...]: a client that comes over IPv6
{
	SERVER=$RELAY_ADDR6 uclient "$@"
}

clients_over_ipv6()
{
	at_least "$(ctl r turn sessions --json | jq '[.sessions[] | select(.client | startswith("[2001:db8::11]:"))] | length')" 3
}

no_sessions()
{
	equal "$(relay_sessions)" 0
}

must 'relay node starts' relay_lab
bg echo peer turnutils_peer -p "$ECHO_PORT" -L 192.0.2.12
bg echo6 peer turnutils_peer -p "$ECHO_PORT" -L 2001:db8::12
check 'Binding by coturn' on client turnutils_stunclient -p 3478 "$RELAY_ADDR"
check 'over IPv6' eval 'on client turnutils_stunclient -p 3478 "$RELAY_ADDR6" | grep -q "UDP reflexive addr: \[*2001:db8::11"'
client_start 'channels, a pair of ports, reservation token' uclient
client_start 'channels' uclient -c
client_start 'Send and Data indications' uclient -s -c
client_start 'padded ChannelData' uclient -c -D
client_start 'DONT-FRAGMENT' uclient -c -g
client_start 'refreshes on the way' uclient -c -G
client_start 'an IPv6 relay address' uclient -c -x -e 2001:db8::12
client_start 'an IPv4 relay address by name' uclient -c -X
client_start 'IPv6, and IPv4 after all' uclient -c -x -X
client_start 'both families at once' both_families
client_start 'client to client within the box' uclient -y -c -m 2
client_start 'time-limited credentials' uclient -c -W "$RELAY_SECRET" -u bob
client_start 'OAuth, which is not offered: the password does' uclient -c -J
client_start 'a client over IPv6, channels' uclient6 -c -X
client_start 'a client over IPv6, indications' uclient6 -s -c -X
client_start 'a client over IPv6, an IPv6 relay address' uclient6 -c -x -e 2001:db8::12
client_start 'a client over IPv6, a pair of ports' uclient6 -X
client_start 'clients over IPv6 meet within the box' uclient6 -y -c -m 2 -x
client_start 'twenty clients, large packets' uclient -c -m 20 -n 25 -l 1200 -z 20
client_start 'a wrong password is refused' uclient_refused 'Cannot complete Allocation' -c -w wrong
client_start 'mobility is refused' uclient_refused 405 -c -M
client_start 'TCP to peers is refused' uclient_refused 442 -T -t -c
clients_judge
check 'sessions over IPv6 are listed' clients_over_ipv6
check 'the lcores did it' at_least "$(relay_stat '.lcores.packets_to_peers')" 100
check 'nothing went by the daemon' equal "$(relay_stat .packets_passed_down)" 0
check '/metrics is served by nobody' not on gwr curl -s --max-time 2 http://127.0.0.1:9641/metrics
check 'sessions are listed' eval 'ctl r turn sessions | grep -q 192.0.2.11'
check 'a kick ends each' eval 'for id in $(ctl r turn sessions --json | jq ".sessions[].id"); do ctl r turn kick $id || exit 1; done; no_sessions'
check 'both lcores took packets of clients' on_both_lcores turn_to_peer
check 'and of peers' on_both_lcores turn_to_client
lab_finish
