# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Numbered streams through a lab (judge.sh judges them), counters of the gateways, and recordings of the WAN.
# Source after lab.sh.

WGRAW=$LAB_ROOT/tests/tools/wgraw.py
WGFLOOD=$LAB_BUILD/tests/tools/wgflood
# shellcheck source=judge.sh
. "$LAB_ROOT/tests/smoke/judge.sh"

# ---- counters ------------------------------------------------------------------------------------

drop_count() # SITE REASON: packets dropped for it, over all lcores
{
	ctl "$1" drops --json | jq --arg r "$2" '[.drops[] | select(.reason == $r) | .packets] | add // 0'
}

drop_grew() # SITE REASON FORMER-COUNT [BY]
{
	local now
	now=$(drop_count "$1" "$2")
	[ "$now" -ge $(($3 + ${4:-1})) ] || { printf '%s was %s, is %s\n' "$2" "$3" "$now"; return 1; }
}

all_drops() # SITE: packets by reason, as one JSON object
{
	ctl "$1" drops --json | jq -c '[.drops[] | {key: .reason, value: .packets}] | group_by(.key) |
		map({key: .[0].key, value: (map(.value) | add)}) | from_entries'
}

# The same, once nothing more is dropped of what went before.
drops_settled() # SITE
{
	local was now
	now=$(all_drops "$1")
	while was=$now; sleep 0.2; now=$(all_drops "$1"); [ "$was" != "$now" ]; do :; done
	echo "$now"
}

# Every frame that was sent was dropped for its reason, and none for another.
drops_grew_by() # SITE FORMER-DROPS COUNT-BY-REASON
{
	all_drops "$1" | jq -r --argjson was "$2" --argjson sent "$3" '
		[to_entries[] | {key, value: (.value - ($was[.key] // 0))} | select(.value != 0)] | from_entries |
		if . == $sent then "yes" else "grew by \(.), wanted \($sent)" end' | grep -x yes || { all_drops "$1"; echo "before: $2, sent: $3"; return 1; }
}

stage_packets() # SITE STAGE
{
	ctl "$1" stages --json | jq --arg s "$2" '[.stages[] | select(.stage == $s) | .packets] | add // 0'
}

port_counter() # SITE PORT FIELD
{
	ctl "$1" ports --json | jq --arg p "$2" --arg f "$3" '[.ports[] | select(.name == $p) | .[$f]] | add // 0'
}

peer_field() # SITE PEER FIELD
{
	ctl "$1" peers --json | jq -r --arg p "$2" --arg f "$3" '.peers[] | select(.name == $p) | .[$f]'
}

# Seconds since 1970 of the last handshake, as wg shows it; 0 = none.
last_handshake() # BOX IF PUBLIC-KEY-OWNER
{
	on "$1" wg show "$2" latest-handshakes | awk -v k="$(key_public "$3")" '$1 == k { print $2 }'
}

# Packets of all pools, less those that a device or a queue may hold.
pool_missing() # SITE
{
	ctl "$1" status --json | jq '[.pools[] | .size - .available] | add'
}

# As full as they were when so many were missing, but for what a device ring may hold.
pools_are() # SITE BASELINE
{
	at_most "$(pool_missing "$1")" $(($2 + 16))
}

# ---- recordings of the WAN -----------------------------------------------------------------------

# Everything that passes the WAN's end of a box's wire.
record_start() # NAME BOX [TCPDUMP-FILTER...]
{
	local name=$1 b=$2
	shift 2
	bg "tcpdump-$name" wan tcpdump -n --immediate-mode -U -B 16384 -s 200 -i "$b" -w "$LAB_DIR/$name.pcap" "$@"
	wait_until 10 grep -q 'listening on' "$LAB_DIR/tcpdump-$name.log"
}

file_settled() # FILE: nothing was added for a tenth of a second
{
	local size
	size=$(stat -c %s "$1")
	sleep 0.1
	[ "$(stat -c %s "$1")" = "$size" ]
}

# Ends it and prints the judgement as JSON.
record_stop() # NAME
{
	wait_until 2 file_settled "$LAB_DIR/$1.pcap" >/dev/null
	bg_stop "tcpdump-$1" INT >/dev/null
	"$WGRAW" judge "$LAB_DIR/$1.pcap" | tee "$LAB_DIR/$1.judge"
}

recorded() # NAME FIELD
{
	jq -r --arg f "$2" '.[$f]' "$LAB_DIR/$1.judge"
}

recorded_so_far() # NAME FIELD MINIMUM
{
	at_least "$("$WGRAW" judge "$LAB_DIR/$1.pcap" | jq --arg f "$2" '.[$f]')" "$3"
}

# Data packets as the peer sends them to gateway a, into LAB_DIR/FILE, for wgraw replay.
data_record() # FILE COUNT
{
	bg rec peer "$WGRAW" capture eth0 "$LAB_DIR/$1" --type 4 --outgoing --to 192.0.2.1 --count "$2" \
		--ready "$LAB_DIR/rec.ready"
	wait_until 5 test -e "$LAB_DIR/rec.ready" || return
	on lanp ping -q -n -c $(($2 + 2)) -i 0.05 10.1.0.2
	wait "${LAB_PROC[rec]}" || return
	unset 'LAB_PROC[rec]'
	rm -f "$LAB_DIR/rec.ready"
}

# Addresses and routes of a gateway's host devices, without counters and what is learnt.
host_side() # SITE
{
	on "gw$1" ip -br address | sed 's/@[^ ]*//' | awk '{ $2 = ""; print }' | grep -v '^rwan\|^rlan'
	# A tap without its program has no carrier; "linkdown" on its routes is true and does not matter.
	{ on "gw$1" ip route; on "gw$1" ip -6 route | grep -v '^fe80'; } | sed 's/ linkdown//; s/ *$//'
}

# From now on the kernel of a gateway sends whatever it hears on the raw LAN interface straight out of the raw WAN one, to
# the stock peer. So a packet that gets past the guard is on the WAN in the clear, and a recording can tell.
kernel_would_leak() # SITE
{
	local b=gw$1
	on "$b" sysctl -qw net.ipv4.ip_forward=1 || return
	on "$b" ip rule add pref 10 iif rlan lookup 77 || return
	on "$b" ip route add default via 192.0.2.3 dev rwan onlink table 77 || return
	on "$b" ip neigh replace 192.0.2.3 lladdr "$(on peer cat /sys/class/net/eth0/address)" dev rwan nud permanent
}

# Where the kernel has br_netfilter, the WAN drops IP headers that are wrong. No longer; rules for what it forwards may
# then not see what they did.
wan_passes_all()
{
	[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ] ||
		on wan sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0
}

# The way from the stock peer to a gateway takes larger frames than the gateway's port.
wan_mtu() # SITE MTU
{
	local end
	for end in "peer eth0" "wan br0" "wan peer" "wan gw$1" "gw$1 rwan"; do
		on "${end% *}" ip link set "${end#* }" mtu "$2" || return
	done
}

# ---- numbered streams ----------------------------------------------------------------------------

STREAMS=0

# Starts a stream; it lasts SECONDS, or until stream_end. Rate at most 2000/s. Each stream's packets are 16 bytes longer
# than those of the one before, by which its judge knows them when they are sealed.
stream_start() # NAME FROM-BOX TO-BOX TO-ADDRESS RATE SECONDS [SIZE]
{
	local name=$1 from=$2 to=$3 addr=$4 rate=$5 seconds=$6 size=${7:-200} port=$((5000 + RANDOM % 10000))
	size=$((size + STREAMS++ % 8 * 16))
	rm -f "$LAB_DIR/$name.ready" "$LAB_DIR/send-$name.log" "$LAB_DIR/recv-$name.log"
	judge_begin "$name" "$from" "$to" "$port" "$size" "$addr" || return
	bg "recv-$name" "$to" "$NUMSTREAM" recv --port "$port" --from "$addr" --ready "$LAB_DIR/$name.ready" \
		--buffer "${STREAM_BUFFER:-67108864}"
	wait_until 5 test -e "$LAB_DIR/$name.ready" || return
	bg "send-$name" "$from" "$NUMSTREAM" send --to "$addr" --port "$port" --rate "$rate" \
		--seconds "$seconds" --size "$size"
}

# Lets a stream come to its end, sooner with "now".
stream_end() # NAME [now]
{
	local pid
	[ "${2:-}" != now ] || kill -TERM "${LAB_PROC[send-$1]}" 2>/dev/null || true
	for pid in "${LAB_PROC[send-$1]}" "${LAB_PROC[recv-$1]}"; do
		wait "$pid" 2>/dev/null || true
	done
	unset "LAB_PROC[send-$1]" "LAB_PROC[recv-$1]"
	judge_end "$1"
}

stream_field() # NAME FIELD
{
	tail -n 1 "$LAB_DIR/recv-$1.log" | jq -r --arg f "$2" '.[$f]'
}
