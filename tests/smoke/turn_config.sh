#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Configurations of a relay that are refused, the sample among them, and what is named; a minted credential.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=relay_lab.sh
. "$(dirname "$0")/relay_lab.sh"
lab_init turn_config

refused() # TEXT JQ-FILTER PATTERN...
{
	local text=$1 pattern out
	jq "$2" "$LAB_DIR/gwr.json" >"$LAB_DIR/bad.json" && chmod 600 "$LAB_DIR/bad.json"
	shift 2
	if out=$("$STRAITCTL" config check "$LAB_DIR/bad.json" 2>&1); then
		lab_fail "$text: taken"
		return
	fi
	for pattern in 'bad\.json' "$@"; do
		grep -qE "$pattern" <<<"$out" || { lab_fail "$text: \"$pattern\" is not in: $out"; return; }
	done
	# Whatever it says, no secret is in it.
	grep -qF "$RELAY_SECRET" <<<"$out" && { lab_fail "$text: shows the secret"; return; }
	lab_ok "$text"
}

sample_refused()
{
	local out
	out=$("$STRAITCTL" config check "$LAB_ROOT/configs/relay-node.json" 2>&1) && return 1
	grep -q 'secrets.*placeholder' <<<"$out"
}

sample_with_secret()
{
	sed "s/REPLACE: a secret of your own/$RELAY_SECRET/" "$LAB_ROOT/configs/relay-node.json" >"$LAB_DIR/sample.json"
	chmod 600 "$LAB_DIR/sample.json"
	"$STRAITCTL" config check "$LAB_DIR/sample.json"
}

minted() # the password is what another program makes of the username
{
	local json user
	json=$("$STRAITCTL" credentials mint --ttl 2h --user anna --json "$LAB_DIR/gwr.json") || return
	user=$(jq -r .username <<<"$json")
	[[ $user =~ ^[0-9]+:anna$ ]] || return
	[ "${user%%:*}" -gt "$(($(date +%s) + 7100))" ] || return
	equal "$(jq -r .password <<<"$json")" \
		"$(printf %s "$user" | openssl dgst -sha1 -hmac "$RELAY_SECRET" -binary | base64)"
}

imported() # JQ-CONDITION
{
	jq -e "$1" "$LAB_DIR/imported.json"
}

listens() # "OPTION..." JSON-OF-LISTEN
{
	local option
	cp "$LAB_ROOT/tests/data/turnserver.conf" "$LAB_DIR/some.conf"
	for option in $1; do echo "$option"; done >>"$LAB_DIR/some.conf"
	"$STRAITCTL" import "$LAB_DIR/some.conf" >"$LAB_DIR/some.json" 2>"$LAB_DIR/some.log" || return
	jq -e ".turn.listen == $2" "$LAB_DIR/some.json"
}

no_listener()
{
	chmod 600 "$LAB_DIR/some.json"
	grep -q 'neither UDP nor TCP nor TLS' "$LAB_DIR/some.log" &&
		not "$STRAITCTL" config check "$LAB_DIR/some.json" >"$LAB_DIR/out" 2>&1 && grep -q '"listen" is empty' "$LAB_DIR/out"
}

not_carried() # OPTION
{
	grep -q "$1: not carried over" "$LAB_DIR/imported.log"
}

relay_config .
check 'the good one is good' "$STRAITCTL" config check "$LAB_DIR/gwr.json"
check 'the sample is refused for its placeholder' sample_refused
check 'with a secret the sample is good' sample_with_secret
refused 'no realm' 'del(.turn.realm)' '\$\.turn\.realm'
refused 'nobody may use it' 'del(.turn.secrets, .turn.users)' '"secrets"'
refused 'no relay address' 'del(.turn.relay_addresses)' 'relay_addresses'
refused 'unknown key' '.turn.relm = 1' 'relm'
refused 'a port of its own in the range' '.turn.relay_ports = {min: 3000, max: 4000}' 'relay_ports'
key_private a >/dev/null
refused 'WireGuard in the range' ".wireguard = [{name: \"wg0\", private_key_file: \"$LAB_DIR/a.key\"}] | .turn.relay_ports = {min: 51000, max: 52000}" 'listen_port.*51820'
refused 'loopback is never a peer' '.turn.allow_peers = ["127.0.0.0/8"]' 'allow_peers\[0\]' 'loopback'
refused 'families of external_ip' '.turn.relay_addresses = [{address: "192.0.2.1", external_ip: "2001:db8::1"}]' 'external_ip'
refused 'a relay address inside of 6to4' '.turn.relay_addresses = ["2002:c000:204::1"]' 'relay_addresses\[0\]' '6to4'
refused 'a relay address inside of Teredo' '.turn.relay_addresses = [{address: "2001:0:c000:204::1"}]' 'address' 'Teredo'
refused 'ports below 1024' '.turn.relay_ports = {min: 1000, max: 4000}' 'relay_ports\.min'
refused 'a user like an expiry' '.turn.users[0].name = "1700000000"' 'users\[0\]\.name'
refused 'lifetimes' '.turn.max_lifetime_s = 100' 'max_lifetime_s' '600'
refused 'host bits' '.turn.deny_peers = ["10.0.0.1/8"]' 'deny_peers\[0\]'
refused 'a range the wrong way' '.turn.deny_peer_ports = ["10-1"]' 'deny_peer_ports\[0\]'
jq . "$LAB_DIR/gwr.json" >"$LAB_DIR/open.json"
chmod 644 "$LAB_DIR/open.json"
check 'secrets that others may read are refused' eval '! "$STRAITCTL" config check "$LAB_DIR/open.json" >"$LAB_DIR/out" 2>&1 && grep -q "chmod 600" "$LAB_DIR/out"'
printf 'of-a-file' >"$LAB_DIR/secret"
chmod 640 "$LAB_DIR/secret"
refused 'a secret file that others may read' ".turn.secrets = [{secret_file: \"$LAB_DIR/secret\"}]" 'chmod 600'
check 'a minted credential' minted
check 'coturn config: imported' eval '"$STRAITCTL" import "$LAB_ROOT/tests/data/turnserver.conf" >"$LAB_DIR/imported.json" 2>"$LAB_DIR/imported.log"'
chmod 600 "$LAB_DIR/imported.json"
check 'and good as it is' "$STRAITCTL" config check "$LAB_DIR/imported.json"
check 'address behind NAT' imported '.turn.relay_addresses == [{address: "192.0.2.1", external_ip: "198.51.100.7"}, "2001:db8:5::1"]'
check 'secrets and users' imported '.turn.secrets == ["north-wind", "south-wind"] and .turn.users == [{name: "anna", password: "secret-of-anna"}]'
check 'quotas' imported '.turn.limits == {allocations_per_user: 12, allocations: 1200, allocation_bytes_per_s: 6000000}'
check 'ranges are prefixes' imported '.turn.deny_peers == ["10.0.0.0/8", "192.168.7.3/32", "192.168.7.4/30", "192.168.7.8/31", "2001:db8::/112"]'
check 'listener' imported '.turn.listen == [{address: "192.0.2.1", port: 3479, transports: ["udp", "tcp"]}]'
check 'metrics, and no SOFTWARE' imported '.turn.metrics == {port: 9999} and .turn.software == false'
check 'what is as there is not named' not not_carried rest-api-separator
check 'coturn config: TCP alone' listens 'no-udp' '[{address: "192.0.2.1", port: 3479, transports: ["tcp"]}]'
check 'UDP alone' listens 'no-tcp' '[{address: "192.0.2.1", port: 3479, transports: ["udp"]}]'
check 'TLS alone' listens 'no-udp no-tcp cert=/c.pem pkey=/k.pem' '[{address: "192.0.2.1", port: 5350, transports: ["tls"]}]'
check 'a certificate, and no TLS' listens 'no-tls cert=/c.pem pkey=/k.pem' '[{address: "192.0.2.1", port: 3479, transports: ["udp", "tcp"]}]'
check 'nothing at all' listens 'no-udp no-tcp no-tls' '[]'
check 'is refused, not replaced by the default' no_listener
for option in user mobility redis-statsdb bps-capacity max-allocate-lifetime userdb alt-listening-port no-auth \
	allow-loopback-peers server-relay some-option-of-tomorrow; do
	check "named as not carried over: $option" not_carried "$option"
done
lab_finish
