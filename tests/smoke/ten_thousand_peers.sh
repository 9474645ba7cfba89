#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# 10 000 configured peers, one of them real: the gateway starts, is looked at, loses straitd, applies a change of one peer
# and the removal of all others, and the real peer's session is the same through all of it. Before they go, the others are to be
# found by a signal service, where none of them is. Times and memory are printed; they are figures, the limits are there for
# what grows with the square.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=nat.sh
. "$(dirname "$0")/nat.sh"
lab_init ten_thousand_peers
PEERS=10000

# "clone-N": a public key that nobody has, one allowed IP per family, every other with an endpoint behind the WAN's router.
clones()
{
	python3 - "$PEERS" "$WG_PORT" <<-'END'
		import base64, hashlib, json, sys
		for n in range(1, int(sys.argv[1])):
		    key = base64.b64encode(hashlib.sha256(b"clone %d" % n).digest()).decode()
		    peer = {"name": "clone-%d" % n, "public_key": key,
		            "allowed_ips": ["10.%d.%d.%d/32" % (64 + (n >> 16), n >> 8 & 255, n & 255), "fd64::%x/128" % n]}
		    if n % 2:
		        peer["endpoint"] = "198.18.%d.%d:%s" % (n >> 8 & 255, n & 255, sys.argv[2])
		    print(json.dumps(peer))
	END
}

cpu_ms() # of straitd so far
{
	awk '{ print ($14 + $15) * 10 }' "/proc/${LAB_PROC[straitd-a]:-self}/stat"
}

seconds() # NAME COMMAND...: how long it took, and how much of it straitd computed, as a figure
{
	local start=${EPOCHREALTIME/[.,]/} name=$1 cpu=0 rc=0
	shift
	[ -z "${LAB_PROC[straitd-a]:-}" ] || cpu=$(cpu_ms)
	"$@" || rc=$?
	printf '  %-36s %6d ms, CPU of straitd %5d ms\n' "$name" $(((${EPOCHREALTIME/[.,]/} - start) / 1000)) \
		$(($(cpu_ms) - cpu)) >>"$LAB_DIR/figures"
	return "$rc"
}

memory() # NAME: resident now and at most, as a figure
{
	awk -v n="$1" '/^VmHWM|^VmRSS/ { m[$1] = $2 / 1024 } END { printf "  %-36s %6d MB, at most %d MB\n", n, m["VmRSS:"], m["VmHWM:"] }' \
		"/proc/${LAB_PROC[$2]}/status" >>"$LAB_DIR/figures"
}

straitd_synced() # HOW-OFTEN
{
	at_least "$(grep -c 'data plane has the whole configuration' "$LAB_DIR/straitd-a.log")" "$1"
}

peers_are() # COUNT
{
	equal "$(ctl a peers --json | jq '.peers | length')" "$1"
}

peer_is() # NAME JQ-CONDITION
{
	ctl a peers "$1" --json | holds ".peers[0] | $2"
}

rss_kb() # of straitd
{
	awk '/^VmRSS/ { print $2 }' "/proc/${LAB_PROC[straitd-a]}/status"
}

# Offers of all peers together: 50 a second, and 100 that may have been saved up.
offers_are_paced() # COUNT
{
	local before start=${EPOCHREALTIME/[.,]/} took
	before=$(signal_status sends)
	wait_until 120 eval "at_least \"\$(signal_status sends)\" $((before + $1))" || return
	took=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))
	echo "$1 offers in $took ms"
	at_least "$took" $((($1 - 100) * 18)) # a tenth less than 20 ms for each
}

start_synced()
{
	straitd_start a && wait_until 60 straitd_synced "$1"
}

quiet()
{
	"$@" >/dev/null
}

must 'boxes' eval 'wan_box wan && site_boxes a && peer_boxes'
gateway_config a '.routes = [{to: "198.18.0.0/15", via: "192.0.2.254", dev: "wan"}]' "$(site_peer_entry peer "192.0.2.3:$WG_PORT")"
cp "$LAB_DIR/gwa.json" "$LAB_DIR/small.json"
clones | jq -s --slurpfile c "$LAB_DIR/small.json" '. as $p | $c[0] | .wireguard[0].peers += $p' >"$LAB_DIR/gwa.json"
must 'the peer starts' stock_peer a=
must 'strait-dp starts' dp_start a
must 'straitd starts and the data plane has all' seconds 'straitd: start until synced' start_synced 1
must 'tunnel' session_up lana 10.3.0.2
shake=$(last_handshake gwa strait0 peer)
memory 'strait-dp' dp-a
memory 'straitd' straitd-a
check 'straitctl peers' seconds 'straitctl peers' quiet ctl a peers
check 'straitctl peers --json has them all' seconds 'straitctl peers --json, jq' peers_are "$PEERS"
check 'wg show has them all' eval '[ "$(seconds "wg show" on gwa wg show strait0 peers | wc -l)" -eq "$PEERS" ]'

bg_stop straitd-a KILL 2>/dev/null
check 'it starts again' seconds 'straitd: start again until synced' start_synced 2
check 'and has them all' peers_are "$PEERS"

jq '(.wireguard[0].peers[] | select(.name == "clone-7777") | .allowed_ips) = ["10.200.0.0/24"]' "$LAB_DIR/gwa.json" >"$LAB_DIR/new.json"
cp "$LAB_DIR/new.json" "$LAB_DIR/gwa.json"
check 'one peer is changed' seconds 'reload, one peer changed' ctl a reload
check 'the change is in' wait_until 10 peer_is clone-7777 '.allowed_ips == ["10.200.0.0/24"]'
check 'routed, too' eval 'on gwa ip route show 10.200.0.0/24 | grep -q strait0'
check 'nothing else changed' peers_are "$PEERS"

must 'a signal service' eval 'service_box && signal_start'
jq --arg url "http://$NAT_SERVICE4:$SIGNAL_PORT" '.wireguard[0].signal = {url: $url} |
	.wireguard[0].peers |= map(if .name | startswith("clone-") then del(.endpoint) else . end)' "$LAB_DIR/gwa.json" >"$LAB_DIR/new.json"
cp "$LAB_DIR/new.json" "$LAB_DIR/gwa.json"
check 'all others are to be found by it' seconds 'reload, 9999 peers by ICE' ctl a reload
check 'which begins' wait_until 20 eval 'at_least "$(signal_status sends)" 1'
memory 'straitd' straitd-a
rss=$(rss_kb)
check 'nobody is there: few offers a second' seconds '400 offers' offers_are_paced 400
check 'and memory stays as it is' at_most "$(rss_kb)" $((rss + 4096))
check 'the real peer is served meanwhile' ping_ok lana 10.3.0.2

cp "$LAB_DIR/small.json" "$LAB_DIR/gwa.json"
check 'all but one are removed' seconds 'reload, 9999 peers removed' ctl a reload
check 'they are gone' seconds '... until they are gone' wait_until 30 peers_are 1
check 'their routes, too' eval '[ "$(on gwa ip route show proto 83 | wc -l)" -le 8 ]'
check 'the session is the same' equal "$(last_handshake gwa strait0 peer)" "$shake"
check 'traffic goes on' ping_ok lana 10.3.0.2
cat "$LAB_DIR/figures"
lab_finish
