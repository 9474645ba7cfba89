# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Numbered streams through a lab and their judgement, counters of the gateways, and recordings of the WAN.
# Source after lab.sh.

WGRAW=$LAB_ROOT/tests/tools/wgraw.py
WGFLOOD=$LAB_BUILD/tests/tools/wgflood

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

# ---- numbered streams ----------------------------------------------------------------------------

declare -A STREAM_TO=()

# Starts a stream; it lasts SECONDS, or until stream_end. Rate at most 2000/s.
stream_start() # NAME FROM-BOX TO-BOX TO-ADDRESS RATE SECONDS [SIZE]
{
	local name=$1 from=$2 to=$3 addr=$4 rate=$5 seconds=$6 size=${7:-200} port=$((5000 + RANDOM % 10000))
	rm -f "$LAB_DIR/$name.ready"
	losses_before "$name"
	bg "recv-$name" "$to" "$NUMSTREAM" recv --port "$port" --from "$addr" --ready "$LAB_DIR/$name.ready"
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
	losses_after "$1"
}

stream_field() # NAME FIELD
{
	tail -n 1 "$LAB_DIR/recv-$1.log" | jq -r --arg f "$2" '.[$f]'
}

# Counters of everything on the way: gateways' drops and ports, devices of all other boxes.
losses_snapshot()
{
	local b
	for b in "${!LAB_HOLDER[@]}"; do
		case $b in
		gw*)
			[ -n "${LAB_PROC[straitd-${b#gw}]:-}" ] || continue
			ctl "${b#gw}" drops --json 2>/dev/null | jq -r --arg b "$b" '.drops | group_by(.reason)[] |
				"\($b) drop \(.[0].reason)\t\(map(.packets) | add)"'
			ctl "${b#gw}" ports --json 2>/dev/null | jq -r --arg b "$b" '.ports[] |
				"\($b) port \(.name) missed\t\(.rx_missed)",
				"\($b) port \(.name) tx errors\t\(.tx_errors)"'
			# A wire that finds the other end's backlog full drops, and counts it at its own end.
			on "$b" ip -s -j link show type veth | jq -r --arg b "$b" '.[] |
				"wire \(.ifname) of \($b) dropped\t\(.stats64.tx.dropped)"'
			;;
		*)
			on "$b" ip -s -j link | jq -r --arg b "$b" '.[] |
				"\($b) device \(.ifname) rx dropped\t\(.stats64.rx.dropped)",
				"\($b) device \(.ifname) tx dropped\t\(.stats64.tx.dropped)"'
			on "$b" awk -v b="$b" '/^Udp:/ && names { print b " UDP receive buffers\t" $6 } /^Udp:/ { names = 1 }' \
				/proc/net/snmp
			on "$b" awk -v b="$b" '$1 == "Udp6RcvbufErrors" { print b " UDP6 receive buffers\t" $2 }' /proc/net/snmp6
			;;
		esac
	done | sort
}

losses_before() # NAME
{
	losses_snapshot >"$LAB_DIR/$1.before"
}

losses_after() # NAME
{
	losses_snapshot >"$LAB_DIR/$1.after"
}

# Lines "WHERE GREW-BY" of what changed. A counter that fell began anew (a restarted daemon): it counts whole.
losses_grown() # NAME
{
	awk -F '\t' '
		NR == FNR { before[$1] = $2; next }
		{ d = $2 - before[$1]; if (d < 0) d = $2; if (d > 0) print $1 "\t" d }
	' "$LAB_DIR/$1.before" "$LAB_DIR/$1.after"
}

# Passes when each number came exactly once. Otherwise says where the missing ones went, and passes only when
# sender, receiver or devices of other boxes account for all of them.
stream_judge() # NAME
{
	local missing duplicates unsent overflow foreign
	missing=$(stream_field "$1" missing)
	duplicates=$(stream_field "$1" duplicates)
	[ "$(stream_field "$1" ended)" = true ] || { echo "the end of stream $1 never came"; cat "$LAB_DIR/recv-$1.log"; return 1; }
	[ "$(stream_field "$1" received)" -gt 0 ] || { echo "nothing came"; return 1; }
	[ "$duplicates" -eq 0 ] || { echo "$duplicates numbers came twice"; return 1; }
	[ "$missing" -gt 0 ] || return 0
	unsent=$(tail -n 1 "$LAB_DIR/send-$1.log" | jq '.numbers - .sent')
	overflow=$(stream_field "$1" receiver_overflow)
	foreign=$(losses_grown "$1" | awk -F '\t' '!/^gw/ { n += $2 } END { print n + 0 }')
	printf '%s of %s numbers of stream %s are missing: %s\n' "$missing" "$(stream_field "$1" expected)" "$1" \
		"$(tail -n 1 "$LAB_DIR/recv-$1.log" | jq -c '.missing_ranges[:8]')"
	printf 'sender could not send %s, receiver overflowed by %s; counters that grew:\n' "$unsent" "$overflow"
	losses_grown "$1"
	[ $((unsent + overflow + foreign)) -ge "$missing" ]
}
