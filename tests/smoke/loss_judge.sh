#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The judge of streams, judged: packets are lost on purpose at each place of the way, and it must name that place; it
# must not excuse a gateway's loss by somebody else's, nor a loss that nobody counted.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init loss_judge

# Runs a stream during which the given command loses packets, and judges it.
lossy() # NAME FUNCTION
{
	stream_start "$1" lana lanp 10.3.0.2 500 30 || return
	wait_until 5 numbers_passed "$1" 100 || return
	"$2" "$1" || return
	stream_end "$1" now
	stream_judge "$1" >"$LAB_DIR/$1.judgement"
	echo $? >"$LAB_DIR/$1.verdict"
}

# What the receiver's box has seen of it.
numbers_at_end() # NAME
{
	on lanp nft -j list counters table netdev "judge_$1" |
		jq '[.nftables[].counter? // empty | select(.name == "in_eth0") | .packets] | add // 0'
}

numbers_passed() # NAME COUNT
{
	at_least "$(numbers_at_end "$1")" "$2"
}

more_pass() # NAME
{
	wait_until 10 numbers_passed "$1" $(($(numbers_at_end "$1") + 100))
}

named() # NAME VERDICT PATTERN...
{
	local name=$1 verdict=$2 p
	shift 2
	cat "$LAB_DIR/$name.judgement"
	equal "$(cat "$LAB_DIR/$name.verdict")" "$verdict" || return
	for p in "$@"; do
		grep -qE "$p" "$LAB_DIR/$name.judgement" || { echo "not said: $p"; return 1; }
	done
}

# Drops fifty packets of the tunnel or the stream: HOOK-CHAIN as nft writes it.
drop_fifty() # NAME BOX "HOOK..."
{
	on "$2" nft -f - <<-END || return
		table netdev lose {
			chain lose {
				type filter hook $3
				meta l4proto udp meta length > 200 limit rate over 1/day burst 50 packets counter accept
				meta l4proto udp meta length > 200 counter drop
			}
		}
	END
	more_pass "$1" || return
	on "$2" nft delete table netdev lose
}

# A process that sleeps until what it should read overflows; more numbers come afterwards.
stop_until() # NAME PID COMMAND...
{
	local name=$1 pid=$2 rc=0
	shift 2
	kill -STOP "$pid"
	wait_until 15 "$@" || rc=1
	kill -CONT "$pid"
	[ "$rc" -eq 0 ] && more_pass "$name"
}

pid_in() # BOX COMMAND
{
	local pid
	for pid in $(ip netns pids "$LAB_TAG-$1"); do
		[ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "$2" ] || echo "$pid"
	done
}

# Datagrams that sockets of a box had no room for.
overflows() # BOX
{
	on "$1" cat /proc/net/udp /proc/net/udp6 | awk '{ n += $NF } END { print n + 0 }'
}

overflows_reach() # BOX COUNT
{
	at_least "$(overflows "$1")" "$2"
}

lose_at_sender() { drop_fifty "$1" lana 'egress device "eth0" priority -650'; }
lose_on_wire() { drop_fifty "$1" peer 'ingress device "eth0" priority -650'; }
lose_uncounted() { drop_fifty "$1" peer 'egress device "eth1" priority -650'; }
lose_in_peer() { stop_until "$1" "$(pid_in peer wireguard-go)" overflows_reach peer $(($(overflows peer) + 20)); }
lose_at_receiver() { stop_until "$1" "${LAB_PROC[recv-$1]}" overflows_reach lanp $(($(overflows lanp) + 20)); }


lose_at_port()
{
	local before
	before=$(port_counter a lan rx_missed)
	kill -STOP "${LAB_PROC[dp-a]}"
	sleep 3 # the two rings, which share, hold two seconds of it
	kill -CONT "${LAB_PROC[dp-a]}"
	more_pass "$1" && wait_until 10 eval '[ "$(port_counter a lan rx_missed)" -gt "'"$before"'" ]'
}

lose_in_stage()
{
	local before
	before=$(drop_count a wg_no_peer)
	on gwa wg set strait0 peer "$(key_public peer)" allowed-ips 10.9.0.3/32 || return
	wait_until 10 drop_grew a wg_no_peer "$before" 50 || return
	on gwa wg set strait0 peer "$(key_public peer)" allowed-ips "$(site_prefixes peer | tr ' ' ,)" || return
	more_pass "$1"
}

# The same, while a receiver in the same box loses far more of another stream.
lose_in_stage_and_elsewhere()
{
	STREAM_BUFFER=2304 stream_start other lanp lana 10.1.0.2 2000 20 || return
	kill -STOP "${LAB_PROC[recv-other]}"
	lose_in_stage "$1" || return
	kill -CONT "${LAB_PROC[recv-other]}"
	stream_end other now
}

must 'gateway and stock peer start' usual_lab '.ports |= map(.frames = 512)'
must 'tunnel' session_up lana 10.3.0.2
must 'a stream' lossy clean more_pass
check 'nothing is lost without a reason' named clean 0
for place in at_sender on_wire at_port in_stage in_stage_and_elsewhere in_peer uncounted; do
	must "packets are lost $place" lossy "$place" "lose_$place"
done
STREAM_BUFFER=2304
must 'packets are lost at_receiver' lossy at_receiver lose_at_receiver
check 'the sender, not ours' named at_sender 0 'lost at lana: 50 '
check 'a wire, not ours' named on_wire 0 'lost at wan:peer -> peer:eth0: 50 '
check "the gateway's port" named at_port 1 'lost at gwa: .*OURS.*port lan missed'
check "the gateway's stage, by its reason" named in_stage 1 'lost at gwa: .*OURS.*drop wg_no_peer'
check "no excuse by another stream's loss" named in_stage_and_elsewhere 1 'lost at gwa: .*OURS.*drop wg_no_peer'
check "the peer's socket, not ours" named in_peer 0 'lost at peer: .*UDP receive buffers'
check 'what nobody counted fails' named uncounted 1 'lost at peer: 50 .*UNACCOUNTED: 50'
check 'the receiver, not ours' named at_receiver 0 "lost at lanp: .*receiver's socket overflowed"
lab_finish
