# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Who lost a stream's packets: every wire of the lab counts them at both ends, tools/lossjudge.py subtracts.
# Sourced by traffic.sh.

# On the way the packets of a stream are known by their port, and sealed by the length of the datagram: no two streams
# that run at a time have the same, see stream_start. Behind a TURN server ChannelData makes it 4 longer.
sealed_length() # SIZE TO-ADDRESS; of the UDP datagram that carries a number
{
	local inner=$(($1 + 28)) padded
	case $2 in *:*) inner=$(($1 + 48)) ;; esac
	padded=$(((inner + 15) / 16 * 16))
	[ "$padded" -le 1420 ] || padded=$((inner > 1420 ? inner : 1420))
	echo $((padded + 32 + 8))
}

judge_devices() # BOX: its ends of wires
{
	local a ad b bd
	for w in "${LAB_WIRES[@]}"; do
		read -r a ad b bd <<<"$w"
		[ "$a" != "$1" ] || echo "$ad"
		[ "$b" != "$1" ] || echo "$bd"
	done
}

judge_rules() # NAME BOX PORT SIZE TO-ADDRESS
{
	local d way sealed
	sealed=$(sealed_length "$4" "$5")
	printf 'table netdev judge_%s {\n' "$1"
	for d in $(judge_devices "$2"); do
		for way in in out; do
			printf 'counter %s_%s { }\nchain %s_%s {\ntype filter hook %s device "%s" priority -600\n' "$way" "$d" "$way" "$d" \
				"$([ "$way" = in ] && echo ingress || echo egress)" "$d"
			printf 'udp dport %s udp length %s counter name %s_%s return\n' "$3" $(($4 + 8)) "$way" "$d"
			printf 'udp length { %s, %s } counter name %s_%s return\n}\n' "$sealed" $((sealed + 4)) "$way" "$d"
		done
	done
	printf '}\n'
}

judge_path() # NAME FROM TO
{
	local b w
	for b in "${!LAB_HOLDER[@]}"; do
		case $b in
		"$2") echo "from $b" ;;
		"$3") echo "to $b" ;;
		gw*) echo "gateway $b" ;;
		*) [[ " ${LAB_BRIDGES[*]} " == *" $b "* ]] && echo "bridge $b" || echo "box $b" ;;
		esac
	done
	for w in "${LAB_WIRES[@]}"; do
		echo "wire $w"
	done
}

judge_begin() # NAME FROM TO PORT SIZE TO-ADDRESS
{
	local b
	judge_path "$1" "$2" "$3" >"$LAB_DIR/$1.path"
	for b in "${!LAB_HOLDER[@]}"; do
		judge_rules "$1" "$b" "$4" "$5" "$6" | on "$b" nft -f - || return
	done
	judge_totals >"$LAB_DIR/$1.before"
}

judge_end() # NAME
{
	local b
	judge_totals >"$LAB_DIR/$1.after"
	for b in "${!LAB_HOLDER[@]}"; do
		on "$b" nft -j list counters table netdev "judge_$1" 2>/dev/null | jq -r --arg b "$b" '.nftables[] | .counter? // empty |
			(.name | capture("^(?<way>in|out)_(?<dev>.*)$")) as $c | [$b, $c.dev, $c.way, .packets] | @tsv'
		on "$b" nft delete table netdev "judge_$1" 2>/dev/null
	done >"$LAB_DIR/$1.passed"
	cp "$LAB_DIR/send-$1.log" "$LAB_DIR/$1.send"
	cp "$LAB_DIR/recv-$1.log" "$LAB_DIR/$1.recv"
}

# What boxes know of their own drops, all traffic together: "BOX COUNTER VALUE". It tells the reason, not the place.
judge_totals()
{
	local b
	for b in "${!LAB_HOLDER[@]}"; do
		case $b in
		gw*)
			[ -n "${LAB_PROC[straitd-${b#gw}]:-}" ] || continue
			ctl "${b#gw}" drops --json 2>/dev/null | jq -r --arg b "$b" '.drops | group_by(.reason)[] |
				[$b, "drop \(.[0].reason)", (map(.packets) | add)] | @tsv'
			ctl "${b#gw}" ports --json 2>/dev/null | jq -r --arg b "$b" '.ports[] |
				[$b, "port \(.name) missed", .rx_missed], [$b, "port \(.name) tx errors", .tx_errors] | @tsv'
			# AF_PACKET bypasses the kernel's count of what leaves, so that this wire counts as the gateway.
			on "$b" ip -s -j link show type veth | jq -r --arg b "$b" '.[] | [$b, "wire \(.ifname) dropped", .stats64.tx.dropped] | @tsv'
			;;
		*)
			# A wire that finds the other end's backlog full drops, and counts it at its own end.
			on "$b" ip -s -d -j link | jq -r --arg b "$b" '.[] | (if .linkinfo.info_kind == "tun" then "TUN" else "device" end) as $k |
				[$b, "\($k) \(.ifname) rx dropped", .stats64.rx.dropped],
				[$b, "\($k) \(.ifname) tx dropped", .stats64.tx.dropped] | @tsv'
			on "$b" awk -v b="$b" '/^Udp:/ && names { print b "\tUDP receive buffers\t" $6 } /^Udp:/ { names = 1 }' /proc/net/snmp
			on "$b" awk -v b="$b" '$1 == "Udp6RcvbufErrors" { print b "\tUDP6 receive buffers\t" $2 }' /proc/net/snmp6
			;;
		esac
	done
}

# Passes when each number came exactly once. Otherwise says where the missing ones were lost, and passes only when none
# was lost by a gateway and others account for all of them.
stream_judge() # NAME
{
	[ "$(stream_field "$1" ended)" = true ] || { echo "the end of stream $1 never came"; cat "$LAB_DIR/recv-$1.log"; return 1; }
	[ "$(stream_field "$1" received)" -gt 0 ] || { echo "nothing came"; return 1; }
	[ "$(stream_field "$1" duplicates)" -eq 0 ] || { echo "$(stream_field "$1" duplicates) numbers came twice"; return 1; }
	[ "$(stream_field "$1" missing)" -gt 0 ] || return 0
	"$LAB_ROOT/tests/tools/lossjudge.py" "$LAB_DIR/$1"
}
