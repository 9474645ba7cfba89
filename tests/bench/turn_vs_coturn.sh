#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Relayed packets per CPU second, Debian's coturn and strait (AF_XDP) in turn on the same veths: the same client, the
# same generator, the same sink. CPU is that of the server's processes, with what the kernel does on their account;
# packets are those that reach the peer's interface.
#   usage: turn_vs_coturn.sh [--json FILE] [--seconds N] [--payload BYTES]
# shellcheck source=../smoke/lab.sh
. "$(dirname "$0")/../smoke/lab.sh"
# shellcheck source=../smoke/relay_lab.sh
. "$(dirname "$0")/../smoke/relay_lab.sh"

json=
seconds=6
payload=160
flows=16
while [ $# -gt 0 ]; do
	case $1 in
	--json) json=${2:?--json needs a file}; shift 2 ;;
	--seconds) seconds=${2:?}; shift 2 ;;
	--payload) payload=${2:?}; shift 2 ;;
	*) echo "usage: turn_vs_coturn.sh [--json FILE] [--seconds N] [--payload BYTES]" >&2; exit 2 ;;
	esac
done
lab_init turn_vs_coturn
command -v turnserver >/dev/null || lab_skip "turnserver (package coturn) is not installed"

PEER=192.0.2.12
SINK_PORT=3490
BIND=$LAB_ROOT/tests/bench/turn_bind.py
LOAD=$LAB_BUILD/tests/bench/turn_load
declare -A RATE=()

# Ticks of all threads of these processes, user and system.
cpu_ticks() # PID...
{
	local pid sum=0
	for pid in "$@"; do
		sum=$((sum + $(awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat")))
	done
	echo "$sum"
}

peer_packets()
{
	on peer cat /sys/class/net/eth0/statistics/rx_packets
}

# Generator and client for a second more than what is counted.
measure() # NAME PID...
{
	local name=$1 p0 p1 c0 c1
	shift
	bg "load-$name" client "$BIND" "$RELAY_ADDR" 3478 "$RELAY_USER" "$RELAY_PASS" "$PEER" "$SINK_PORT" "$flows" \
		"$LOAD" "$((seconds + 2))" "$payload"
	wait_until 10 eval 'p0=$(peer_packets); sleep 0.3; [ "$(peer_packets)" -gt "$((p0 + 1000))" ]' || return
	p0=$(peer_packets) c0=$(cpu_ticks "$@")
	sleep "$seconds"
	p1=$(peer_packets) c1=$(cpu_ticks "$@")
	bg_stop "load-$name"
	[ "$c1" -gt "$c0" ] || return
	RATE[$name]=$(((p1 - p0) * $(getconf CLK_TCK) / (c1 - c0)))
}

coturn()
{
	bg coturn gwr turnserver -n -L "$RELAY_ADDR" -E "$RELAY_ADDR" --no-cli --lt-cred-mech -r "$RELAY_REALM" \
		-u "$RELAY_USER:$RELAY_PASS" --log-file=stdout --min-port 50000 --max-port 59999 --no-tls --no-dtls -m 1 \
		--userdb="$LAB_DIR/turndb" --pidfile="$LAB_DIR/turn.pid"
	wait_until 10 on client timeout 1 turnutils_stunclient -p 3478 "$RELAY_ADDR"
}

# Clients allocate over the veth; the generator then sends in their name over memif, behind which the peer is. What
# comes back is counted by the generator. The lcore never sleeps then.
MEMIF_PEER=203.0.113.12
MEMIF_LOAD=$LAB_BUILD/tests/bench/memif_load

memif_packets() # how many have come back, as of the last full second
{
	tail -n 1 "$LAB_DIR/load-memif.log" | grep -E '^[0-9]+$'
}

measure_memif()
{
	local p0 p1 c0 c1 mac pids=("${LAB_PROC[dp-r]}" "${LAB_PROC[straitd-r]}")
	mac=$(ctl r ports --json | jq -r '.ports[] | select(.name == "mem") | .mac') || return
	on gwr ip neighbour replace "$MEMIF_PEER" lladdr 02:00:00:00:00:77 dev mem nud permanent || return
	bg load-memif client "$BIND" "$RELAY_ADDR" 3478 "$RELAY_USER" "$RELAY_PASS" "$MEMIF_PEER" "$SINK_PORT" "$flows" \
		"$MEMIF_LOAD" "$LAB_DIR/memif.sock" 0 "$mac" "$((seconds + 6))" "$payload"
	wait_until 15 eval '[ "$(memif_packets)" -gt 100000 ]' || return
	p0=$(memif_packets) c0=$(cpu_ticks "${pids[@]}")
	sleep "$seconds"
	p1=$(memif_packets) c1=$(cpu_ticks "${pids[@]}")
	bg_stop load-memif
	RATE[memif]=$(((p1 - p0) * $(getconf CLK_TCK) / (c1 - c0)))
}

memif_run()
{
	local free
	free=$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)
	if [ "${free:-0}" -lt 130 ]; then
		echo "  memif left out: it needs 130 free hugepages of 2 MB, there are ${free:-0}"
		return
	fi
	relay_config ".dataplane.lcores = \"1\" | .dataplane.hugepages = \"yes\" | .dataplane.memory_mb = 160 | .dataplane.packets = 8192
		| .turn.allow_peers += [\"203.0.113.0/24\"]
		| .ports += [{name: \"mem\", driver: \"memif\", socket: \"$LAB_DIR/memif.sock\", role: \"server\", addresses: [\"203.0.113.1/24\"]}]"
	must 'strait starts with memif' gateway_start r
	must 'strait relays over memif' measure_memif
}

must 'boxes' relay_boxes
# Received and never read: the sink costs nothing once its buffer is full.
bg sink peer python3 -c "import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('$PEER', $SINK_PORT))
time.sleep(600)"
address gwr rwan "$RELAY_ADDR/24" 2001:db8::1/64
must 'coturn starts' coturn
must 'coturn relays' measure coturn "${LAB_PROC[coturn]}"
bg_stop coturn
on gwr ip address flush dev rwan
relay_config '.ports |= map(.driver = "af_xdp" | .force_copy = true) | .dataplane.lcores = "1"'
must 'strait starts' gateway_start r
must 'strait relays' measure strait "${LAB_PROC[dp-r]}" "${LAB_PROC[straitd-r]}"
bg_stop straitd-r && bg_stop dp-r
memif_run
for name in coturn strait memif; do
	printf '  %-36s %9d per CPU second\n' "$name" "${RATE[$name]:-0}"
done
ratio=$(jq -n "${RATE[strait]} / ${RATE[coturn]}")
printf '  %-36s %9.2f\n' turn.vs_coturn.same_veth "$ratio"
full=$(jq -n "${RATE[memif]:-0} / ${RATE[coturn]}")
printf '  %-36s %9.2f\n' turn.vs_coturn.packets_per_cpu_second "$full"
if [ -n "$json" ]; then
	jq -n --argjson r "$ratio" --argjson f "$full" --argjson c "${RATE[coturn]}" --argjson s "${RATE[strait]}" --argjson m "${RATE[memif]:-0}" \
		'{"turn.vs_coturn.same_veth": $r, "turn.coturn.packets_per_cpu_second": $c, "turn.strait.af_xdp.packets_per_cpu_second": $s}
		+ if $m > 0 then {"turn.vs_coturn.packets_per_cpu_second": $f, "turn.strait.memif.packets_per_cpu_second": $m} else {} end' >"$json"
fi
lab_finish
