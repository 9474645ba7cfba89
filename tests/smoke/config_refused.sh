#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A wrong configuration: file, place, what was found and what is allowed; nothing starts. Keys are never shown.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init config_refused

refused() # TEXT JQ-FILTER PATTERN...
{
	local text=$1 filter=$2 pattern out rc
	shift 2
	jq "$filter" "$LAB_DIR/good.json" >"$LAB_DIR/bad.json"
	out=$(on gwa timeout 5 "$STRAITD" --config "$LAB_DIR/bad.json" 2>&1)
	rc=$?
	# shellcheck disable=SC2181
	[ "$rc" -eq 1 ] || { lab_fail "$text: straitd ended with $rc, wanted 1"; return; }
	for pattern in 'bad\.json' "$@"; do
		grep -qE "$pattern" <<<"$out" || { lab_fail "$text: \"$pattern\" is not in: $out"; return; }
	done
	on gwa "$STRAITCTL" config check "$LAB_DIR/bad.json" >/dev/null 2>&1 && { lab_fail "$text: config check says it is good"; return; }
	lab_ok "$text"
}

must 'boxes' eval 'wan_box wan && site_boxes a'
gateway_config a . "$(site_peer_entry peer "192.0.2.3:$WG_PORT")"
cp "$LAB_DIR/gwa.json" "$LAB_DIR/good.json"
check 'the good one is good' on gwa "$STRAITCTL" config check "$LAB_DIR/good.json"
refused 'unknown key' '.wireguard[0].lissen_port = 1' 'wireguard.*lissen_port'
refused 'wrong type' '.wireguard[0].listen_port = "x"' 'wireguard.*listen_port' '65535'
refused 'bad prefix' '.wireguard[0].peers[0].allowed_ips = ["10.3.0.0/33"]' 'allowed_ips' '10\.3\.0\.0/33'
refused 'host bits in a prefix' '.wireguard[0].peers[0].allowed_ips = ["10.3.0.1/24"]' '10\.3\.0\.0/24'
refused 'duplicate peer' '.wireguard[0].peers += [.wireguard[0].peers[0] | .name = "again" | .allowed_ips = []]' 'public_key'
refused 'peer name like an option' '.wireguard[0].peers[0].name = "-x"' 'peers\[0\]\.name' '1 to 63 bytes'
refused 'peer name of 64 bytes' '.wireguard[0].peers[0].name = "n" * 64' 'peers\[0\]\.name' '1 to 63 bytes'
refused 'peer name with a space behind it' '.wireguard[0].peers[0].name = "peer "' 'peers\[0\]\.name' 'without a space'
refused 'peer name that turns the line around' '.wireguard[0].peers[0].name = "a\u202eb"' 'peers\[0\]\.name' 'printable'
refused 'NAT by name' '. + {nat: true}' 'translation'
refused 'unknown driver' '.ports[0].driver = "carrier_pigeon"' 'carrier_pigeon' 'af_packet'
refused 'key file that is not there' '.wireguard[0].private_key_file = "/nonexistent/key"' '/nonexistent/key' 'No such file'
cp "$LAB_DIR/a.key" "$LAB_DIR/open.key"
chmod 644 "$LAB_DIR/open.key"
refused 'key file that others may read' ".wireguard[0].private_key_file = \"$LAB_DIR/open.key\"" 'open\.key' '0644' 'chmod'
printf '{ "ports": [ }' >"$LAB_DIR/syntax.json"
check 'no JSON: line and file' eval 'on gwa "$STRAITD" --config "$LAB_DIR/syntax.json" 2>&1 | grep -q "syntax.json.*1"'
check 'no file at all' not on gwa "$STRAITD" --config "$LAB_DIR/nothing.json"
jq --arg k "$(key_private a)" '.wireguard[0] |= (del(.private_key_file) | .private_key = $k + "x")' "$LAB_DIR/good.json" >"$LAB_DIR/bad.json"
chmod 600 "$LAB_DIR/bad.json"
check 'a malformed key is refused, and not shown' eval \
	'! on gwa "$STRAITD" --config "$LAB_DIR/bad.json" >"$LAB_DIR/out" 2>&1 && ! grep -qF "$(key_private a)" "$LAB_DIR/out"'
check 'nothing was started: no host devices' not on gwa ip link show dev lan
lab_finish
