# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# A relay node on the WAN, with clients and peers that are plain hosts there. Sourced behind lab.sh.
#
#     client 192.0.2.11, 2001:db8::11 --+
#     peer   192.0.2.12, 2001:db8::12 --+-- wan (a bridge) -- gwr: strait, 192.0.2.1, 2001:db8::1
#
# RELAY_USER and RELAY_PASS are a static user's, RELAY_SECRET is for time-limited credentials.

RELAY_USER=user
RELAY_PASS=pass
RELAY_REALM=test.realm
# shellcheck disable=SC2034
RELAY_SECRET=north-wind-and-sun
RELAY_ADDR=192.0.2.1
RELAY_ADDR6=2001:db8::1

# The variables are jq's.
# shellcheck disable=SC2016
RELAY_TURN='{
	realm: $realm, secrets: [$secret], users: [{name: $user, password: $pass}],
	relay_addresses: [$v4, $v6],
	relay_ports: {min: 50000, max: 59999},
	allow_peers: ["192.0.2.0/24", "2001:db8::/64"],
	rfc5766_channel_numbers: true
}'

# FILTER is a jq expression on the configuration, as with gateway_config.
relay_config() # [FILTER]
{
	jq -n '{
		group: "root",
		dataplane: {lcores: "0,1", main_cpu: 0, hugepages: "no", memory_mb: 256, packets: 16384,
			idle: "adaptive"},
		ports: [{name: "wan", driver: "af_packet", interface: "rwan",
			addresses: ["192.0.2.1/24", "2001:db8::1/64"]}]
	}' | jq "$(relay_section)" | jq "${1:-.}" >"$LAB_DIR/gwr.json" && chmod 600 "$LAB_DIR/gwr.json"
}

# A jq filter that gives the configuration of another lab's gateway the relay.
relay_section()
{
	printf '.turn = %s' "$(jq -n --arg secret "$RELAY_SECRET" --arg user "$RELAY_USER" --arg pass "$RELAY_PASS" \
		--arg realm "$RELAY_REALM" --arg v4 "$RELAY_ADDR" --arg v6 "$RELAY_ADDR6" "$RELAY_TURN")"
}

relay_boxes()
{
	wan_box wan && box gwr && plug gwr rwan || return
	relay_host client 11 && relay_host peer 12
}

relay_host() # NAME NUMBER
{
	box "$1" && plug "$1" eth0 || return
	address "$1" eth0 "192.0.2.$2/24" "2001:db8::$2/64"
}

relay_lab() # [FILTER]
{
	relay_boxes && relay_config "${1:-.}" && gateway_start r
}

# A reload of what relay_config wrote.
relay_reload() # FILTER
{
	relay_config "$1" && ctl r reload
}

relay_sessions()
{
	ctl r turn stats --json | jq .sessions
}

relay_stat() # JQ-PATH of turn stats
{
	ctl r turn stats --json | jq "$1"
}

# Numbered datagrams of a client to the echo peer at 192.0.2.12 and back, until relay_stream_end.
relay_stream() # NAME udp|tcp|tls RATE SIZE
{
	bg "$1" client "$LAB_ROOT/tests/tools/turnstream.py" "$2" "$RELAY_ADDR" 3478 "$RELAY_USER" "$RELAY_PASS" \
		"$RELAY_REALM" 192.0.2.12 "$ECHO_PORT" "${@:3}"
	wait_until 10 grep -q bound "$LAB_DIR/$1.log"
}

relay_stream_end() # NAME
{
	bg_stop "$1"
}

# How a stream that ended went: .sent, .heard, .twice, .last that was heard, .missing.
relay_stream_holds() # NAME JQ-CONDITION
{
	tail -n 1 "$LAB_DIR/$1.log"
	tail -n 1 "$LAB_DIR/$1.log" | holds "$2"
}

# ---- clients that mostly wait: some run at a time, each is judged for itself --------------------------

CLIENT_TEXTS=()
CLIENT_PIDS=()
client_start() # TEXT COMMAND...
{
	local text=$1
	shift
	"$@" >"$LAB_DIR/run-${#CLIENT_PIDS[@]}.out" 2>&1 &
	CLIENT_PIDS+=($!)
	CLIENT_TEXTS+=("$text")
}

client_ended_well() # NUMBER
{
	wait "${CLIENT_PIDS[$1]}" || { cat "$LAB_DIR/run-$1.out"; return 1; }
}

clients_judge()
{
	local i
	for i in "${!CLIENT_PIDS[@]}"; do
		check "${CLIENT_TEXTS[i]}" client_ended_well "$i"
	done
	CLIENT_TEXTS=()
	CLIENT_PIDS=()
}
