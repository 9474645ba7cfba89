#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# ./run relay with the sample of configs/: with its placeholder it does not start; with a secret it relays coturn's
# client, whose credential straitctl made, to the network that the sample names and to no other.
#
#     client 198.51.100.11 --+
#     peer   198.51.100.1  --+-- wan -- gwr: eth1, which ./run relay gives to strait as 198.51.100.2
#            10.20.0.5, 10.99.0.5
#
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
lab_init relay_command
command -v turnutils_uclient >/dev/null || lab_skip "turnutils_uclient (package coturn) is not installed"

SAMPLE=$LAB_ROOT/configs/relay-node.json
CONFIG=$LAB_DIR/relay-node.json
ECHO_PORT=3480

boxes()
{
	wan_box wan && box gwr && box client && box peer || return
	plug gwr eth1 && plug client eth0 && plug peer eth0 || return
	address client eth0 198.51.100.11/24 && address peer eth0 198.51.100.1/24 10.20.0.5/32 10.99.0.5/32
}

# What its comments say is to be done, and a secret as they make it.
sample_filled()
{
	sed -e "s|REPLACE: a secret of your own|$(openssl rand -base64 32)|" -e 's|// *\("allow_peers": .*\)|, \1|' "$SAMPLE" >"$CONFIG" &&
		chmod 600 "$CONFIG" && grep -q '^[^/]*"allow_peers"' "$CONFIG"
}

placeholder_refused()
{
	local out
	out=$(on gwr timeout 90 "$LAB_ROOT/run" relay "$SAMPLE" 2>&1) && return 1
	printf '%s\n' "$out"
	grep -q 'secrets.*placeholder' <<<"$out" && not grep -q 'straitd is' <<<"$out"
}

up()
{
	on gwr timeout 10 "$STRAITCTL" status --json | holds '.straitd.applied and .straitd.dataplane.connected'
}

mint() # [--user ID]
{
	"$STRAITCTL" credentials mint --ttl 1h "$@" --json "$CONFIG"
}

# Indications: channel numbers of this client are older than RFC 8656.
uclient() # PEER CREDENTIAL
{
	local out
	out=$(on client timeout 40 turnutils_uclient -s -c -u "$(jq -r .username <<<"$2")" -w "$(jq -r .password <<<"$2")" \
		-e "$1" -r "$ECHO_PORT" -n 10 -m 1 -l 170 -z 5 198.51.100.2 2>&1)
	printf '%s\n' "$out" | tail -n 12
	grep -q 'Total lost packets 0 (0.000000%)' <<<"$out"
}

private_refused()
{
	local out
	out=$(not uclient 10.99.0.5 "$(mint)") && grep -q 'error 403' <<<"$out"
}

sessions_of() # USER: how many, and all by it
{
	equal "$(on gwr "$STRAITCTL" turn sessions --json | jq --arg u "$1" '[.sessions[] | select(.user == $u)] | length')" 1
}

must 'boxes' boxes
check 'the sample is refused for its placeholder' placeholder_refused
must 'a secret and a network of peers for it' sample_filled
# A shell lets its background processes ignore SIGINT; a terminal does not.
bg relay gwr env --default-signal=INT "$LAB_ROOT/run" relay "$CONFIG"
# It looks at packages and at the build first.
must './run relay starts both daemons' wait_until 90 up
bg echo peer turnutils_peer -p "$ECHO_PORT" -L 10.20.0.5
anna=$(mint --user anna) nobody=$(mint)
uclient 10.20.0.5 "$anna" >"$LAB_DIR/anna.out" &
first=$!
check 'a credential of nobody by name is relayed' uclient 10.20.0.5 "$nobody"
check "so is anna's" eval 'wait "$first" || { cat "$LAB_DIR/anna.out"; false; }'
check 'the sessions are under their names' eval 'sessions_of "$(jq -r .username <<<"$anna")" && sessions_of "$(jq -r .username <<<"$nobody")"'
check 'by the lcores' at_least "$(on gwr "$STRAITCTL" turn stats --json | jq '.lcores.packets_to_peers')" 20
check 'another private network is refused' private_refused
check 'Ctrl-C ends it with 0' bg_stop relay INT
lab_finish
