#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Clients that others wrote, unchanged: pion's TURN client in each pair of transports, relay-only agents of pion and
# of libnice, coturn's client without numbers of RFC 5766, its STUN client and NAT discovery. Channels are those of
# RFC 8656 here.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=relay_lab.sh
. "$(dirname "$0")/relay_lab.sh"
# shellcheck source=turn_interop_lab.sh
. "$(dirname "$0")/turn_interop_lab.sh"
# shellcheck source=ice_lab.sh
. "$(dirname "$0")/ice_lab.sh"
lab_init turn_interop

NICEPAIR=$LAB_BUILD/tests/tools/nicepair

nicepair() # udp|tcp
{
	on client timeout 60 "$NICEPAIR" "$RELAY_ADDR" 3478 "$RELAY_USER" "$RELAY_PASS" "$1"
}

# Its numbers are 0x4000 to 0x7fff at random: about one bind of four is taken, the others are 400.
uclient_channel_refused()
{
	local out
	for _ in {1..12}; do
		out=$(on client timeout 20 turnutils_uclient -c -u "$RELAY_USER" -w "$RELAY_PASS" -e 192.0.2.12 -r 3480 \
			-n 2 -m 1 -l 170 -z 5 "$RELAY_ADDR" 2>&1)
		grep -q 'error 400' <<<"$out" && return
	done
	printf '%s\n' "$out" | tail -n 12
	return 1
}

uclient_indications() # what needs no channel works without the option
{
	local out
	out=$(on client timeout 40 turnutils_uclient -s -c -u "$RELAY_USER" -w "$RELAY_PASS" -e 192.0.2.12 -r 3480 \
		-n 10 -m 1 -l 170 -z 5 "$RELAY_ADDR")
	grep -q 'Total lost packets 0 (0.000000%)' <<<"$out" || { printf '%s\n' "$out" | tail -n 12; return 1; }
}

stunclient()
{
	on client timeout 10 turnutils_stunclient -p 3478 "$RELAY_ADDR" | grep -q "UDP reflexive addr: 192.0.2.11:"
}

# RFC 5780 is not served: Bindings are answered without OTHER-ADDRESS, and the client asks for nothing more.
natdiscovery()
{
	local out
	out=$(on client timeout 20 turnutils_natdiscovery -m -f "$RELAY_ADDR" 2>&1) || return
	printf '%s\n' "$out"
	at_least "$(grep -c 'UDP reflexive addr: 192.0.2.11:' <<<"$out")" 3
}

# The form of NetBird's management: its TURNConfig has type, URL, and a secret; the peer gets an expiry as user.
netbird_form()
{
	local user password
	user=$(($(date +%s) + 600))
	password=$(printf %s "$user" | openssl dgst -sha1 -hmac "$RELAY_SECRET" -binary | base64)
	RELAY_USER=$user RELAY_PASS=$password turnpeer client pair -count 20
}

turnpeer_build || exit 1
relay_certificate
must 'relay node starts' relay_lab "$(relay_all_transports)"
bg echo peer turnutils_peer -p 3480 -L 192.0.2.12
for pair in udp,udp tcp,udp tls,udp tls,tcp; do
	check "pion: client to client, $pair" turnpeer client pair -transport "${pair%,*}" -other "${pair#*,}"
done
check "pion with NetBird's time-limited credentials" netbird_form
must "pion's ICE agents are built" pion_built
pion="$PIONPEER --relay-only --server turn:$RELAY_ADDR?transport=udp $RELAY_USER $RELAY_PASS"
check 'pion: two relay-only agents connect' drive connect "$(in_box client "$pion")" "$(in_box peer "$pion")" remote=relay
check 'libnice: two relay-only agents, UDP' nicepair udp
check 'libnice: two relay-only agents, TCP' nicepair tcp
check 'turnutils_uclient: indications' uclient_indications
check 'turnutils_uclient: channel numbers of RFC 5766 get 400' uclient_channel_refused
check 'turnutils_stunclient' stunclient
check 'turnutils_natdiscovery' natdiscovery
lab_finish
