#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# coturn's own client and STUN client against the relay: channels, indications, reserved port pairs, padding,
# DONT-FRAGMENT, refreshes, IPv6, both families, client to client, time-limited credentials. Nothing may get lost.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=relay_lab.sh
. "$(dirname "$0")/relay_lab.sh"
lab_init turn_uclient
command -v turnutils_uclient >/dev/null || lab_skip "turnutils_uclient (package coturn) is not installed"

ECHO_PORT=3480

# Its exit status says nothing about loss.
uclient() # [OPTION...]; to the relay's IPv4 address and the echo peer's
{
	local out
	out=$(on client timeout 40 turnutils_uclient -u "$RELAY_USER" -w "$RELAY_PASS" -e 192.0.2.12 -r "$ECHO_PORT" \
		-n 10 -m 1 -l 170 -z 5 "$@" "$RELAY_ADDR") || { printf '%s\n' "$out" | tail -n 12; return 1; }
	grep -q 'Total lost packets 0 (0.000000%)' <<<"$out" || { printf '%s\n' "$out" | tail -n 12; return 1; }
}

uclient_refused() # [OPTION...]
{
	not uclient "$@"
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

no_sessions()
{
	equal "$(relay_sessions)" 0
}

must 'relay node starts' relay_lab
bg echo peer turnutils_peer -p "$ECHO_PORT" -L 192.0.2.12
bg echo6 peer turnutils_peer -p "$ECHO_PORT" -L 2001:db8::12
check 'Binding by coturn' on client turnutils_stunclient -p 3478 "$RELAY_ADDR"
check 'channels, a pair of ports, reservation token' uclient
check 'channels' uclient -c
check 'Send and Data indications' uclient -s -c
check 'padded ChannelData' uclient -c -D
check 'DONT-FRAGMENT' uclient -c -g
check 'refreshes on the way' uclient -c -G
check 'an IPv6 relay address' uclient -c -x -e 2001:db8::12
check 'both families at once' both_families
check 'client to client within the box' uclient -y -c -m 2
check 'time-limited credentials' uclient -c -W "$RELAY_SECRET" -u bob
check 'a wrong password is refused' uclient_refused -c -w wrong
check 'mobility is refused' uclient_refused -c -M
check 'the lcores did it' at_least "$(relay_stat '.lcores.packets_to_peers')" 100
check 'nothing went by the daemon' equal "$(relay_stat .packets_passed_down)" 0
check 'sessions are listed' eval 'ctl r turn sessions | grep -q 192.0.2.11'
check 'a kick ends each' eval 'for id in $(ctl r turn sessions --json | jq ".sessions[].id"); do ctl r turn kick $id || exit 1; done; no_sessions'
lab_finish
