#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Reloads while clients are being relayed: another secret and other users end nothing and lose nothing; rates of
# sessions and of users hold from then on and no session ends; a peer that is denied now is cut off at once. A drain
# takes nobody new, also after straitd was killed, which shows no secret, and says when the last session is gone.
# Strangers get small answers, and few; their pings delay no refresh.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=relay_lab.sh
. "$(dirname "$0")/relay_lab.sh"
lab_init turn_reload
command -v turnutils_uclient >/dev/null || lab_skip "turnutils_uclient (package coturn) is not installed"

ECHO_PORT=3480
TURNLOAD=$LAB_BUILD/tests/tools/turnload

# ---- coturn's client -------------------------------------------------------------------------------

talk() # NAME PACKETS: in the background, 100 packets a second
{
	bg "$1" client timeout 60 turnutils_uclient -c -u "$RELAY_USER" -w "$RELAY_PASS" -e 192.0.2.12 -r "$ECHO_PORT" \
		-n "$2" -m 1 -l 170 -z 10 "$RELAY_ADDR"
}

talks()
{
	at_least "$(ctl r turn sessions --json | jq '[.sessions[].bytes_to_peer] | add // 0')" 3000
}

lost_nothing() # NAME
{
	wait_gone 20 "${LAB_PROC[$1]}"
	grep -q 'Total lost packets 0 (0.000000%)' "$LAB_DIR/$1.log"
}

# ---- sessions --------------------------------------------------------------------------------------

session_by() # udp|tcp
{
	ctl r turn sessions --json | jq ".sessions[] | select(.transport == \"$1\") | .id"
}

channels()
{
	ctl r turn sessions --json | jq '[.sessions[].channels] | add // 0'
}

# A whole session: allocation, permission, channel, end.
taken()
{
	on client timeout 20 "$TURNLOAD" alloc "$RELAY_ADDR" 3478 "$RELAY_USER" "$RELAY_PASS" "$RELAY_REALM" 192.0.2.12 1 1 free
}

refused()
{
	not taken
}

kick_all()
{
	local id
	for id in $(ctl r turn sessions --json | jq '.sessions[].id'); do ctl r turn kick "$id" || return; done
}

shows_peer() # ID: text and JSON, with what the stream made
{
	ctl r turn session "$1" | tee "$LAB_DIR/session.txt"
	grep -A1 '^permissions' "$LAB_DIR/session.txt" | grep -q '192\.0\.2\.12, [0-9].* left' &&
		grep -A1 '^channels' "$LAB_DIR/session.txt" | grep -q "0x4001 .*192\.0\.2\.12:$ECHO_PORT, [0-9].* left" || return
	ctl r turn session "$1" --json | holds --arg peer "192.0.2.12:$ECHO_PORT" '
		.user == "user" and (.permission_list | length) == 1 and .permission_list[0].peer == "192.0.2.12" and
		(.permission_list[0].expires_s | . > 200 and . <= 300) and
		(.channel_list | length) == 1 and .channel_list[0].number == 16385 and .channel_list[0].peer == $peer and
		(.channel_list[0].expires_s | . > 500 and . <= 600)'
}

# ---- rates -----------------------------------------------------------------------------------------

SIZE=1000
RATE=20000 # bytes a second, as many at once; a stream wants 25 times as much
BURST=20000
BUCKETS="{allocation_bytes_per_s: $RATE, allocation_burst_bytes: $BURST}"
USER_BUCKETS="{user_bytes_per_s: $RATE, user_burst_bytes: $BURST}"

now_us()
{
	echo "${EPOCHREALTIME/[.,]/}"
}

# What the peer's kernel has received, whoever counts elsewhere.
peer_received()
{
	on peer awk '/^Udp: [0-9]/ { print $2 + $4 }' /proc/net/snmp
}

received_in() # SECONDS: "DATAGRAMS MICROSECONDS", the latter from before to after
{
	local begun before
	begun=$(now_us) before=$(peer_received)
	sleep "$1"
	echo $(($(peer_received) - before)) $(($(now_us) - begun))
}

flows()
{
	local n us
	read -r n us < <(received_in 0.5)
	at_least "$n" $((us / 10000)) # 100 a second, of 500
}

# Between a quarter of the rate and twice what a bucket of RATE and BURST lets pass in that time.
rate_holds()
{
	local n us
	read -r n us < <(received_in 1.2)
	echo "$n datagrams in $us us"
	at_most "$n" $((2 * (BURST + RATE * us / 1000000) / SIZE)) && at_least "$n" $((RATE * us / 1000000 / SIZE / 4))
}

# ---- a drain ---------------------------------------------------------------------------------------

watched() # NAME PATTERN
{
	grep -q "$2" "$LAB_DIR/$1.log"
}

starting_is_said()
{
	ctl r turn drain 2>&1 | grep -q 'still starting'
}

empty_by_json()
{
	ctl r turn drain --json | holds '.draining and .sessions == 0'
}

# ---- secrets, strangers ----------------------------------------------------------------------------

no_secret_shown() # of what ps shows of either daemon
{
	local name secret=an-unmistakable-secret
	grep -qF "$secret" "$LAB_DIR/gwr.json" || return
	for name in straitd-r dp-r; do
		not grep -aF "$secret" "/proc/${LAB_PROC[$name]}/cmdline" "/proc/${LAB_PROC[$name]}/environ" || return
	done
}

writes_cores() # whoever is dumpable, here
{
	(cd "$LAB_DIR" && sh -c 'kill -ABRT $$') >/dev/null 2>&1
	compgen -G "$LAB_DIR/core*" >/dev/null && rm "$LAB_DIR"/core*
}

leaves_no_core() # PROCESS
{
	local cwd
	cwd=$(readlink "/proc/${LAB_PROC[$1]}/cwd")
	bg_stop "$1" ABRT
	equal $? 134 && not compgen -G "$cwd/core*"
}

stranger_answers() # at most the burst and what came since, and none larger than 128 bytes
{
	local out
	out=$(on peer "$LAB_ROOT/tests/tools/turnraw.py" strangers "$RELAY_ADDR" 3478 2000)
	printf '%s\n' "$out"
	[[ $out =~ answers\ ([0-9]+)\ largest\ ([0-9]+) ]] || return
	at_least "${BASH_REMATCH[1]}" 1 && at_most "${BASH_REMATCH[1]}" 200 && at_most "${BASH_REMATCH[2]}" 128
}

P99_MS=500 # a client's first retransmission; it is some 10 ms without a flood

pinged() # the reports of client and of ping
{
	tail -n 1 "$LAB_DIR/refreshes.log"
	sed -n 's/ packets transmitted.*//p' "$LAB_DIR/pings.log"
}

# They are not repeated: one of a hundred may get lost in a queue of this machine.
refreshed_in_time()
{
	pinged | tail -n 2 | jq -s '.[0].refreshes >= 20 and .[0].lost <= .[0].refreshes / 100 + 1 and
		.[0].p99_ms <= '"$P99_MS"' and .[1] >= 1000' | holds .
}

ulimit -c unlimited # what straitd must not make use of
must 'relay node starts' relay_lab
bg echo peer turnutils_peer -p "$ECHO_PORT" -L 192.0.2.12
talk first 300
must 'a client talks' wait_until 10 talks
check 'a reload with other credentials' relay_reload '.turn.secrets = ["of-tomorrow"] | .turn.users = [{name: "user", password: "other"}]'
check 'its session lost nothing' lost_nothing first
must 'back' relay_reload .
must 'its session is ended' kick_all

must 'a stream by UDP' relay_stream by-udp udp 500 "$SIZE"
udp=$(session_by udp)
check 'it is relayed' wait_until 10 flows
check 'its permission and its channel are shown' shows_peer "$udp"
check 'a reload with a rate for each session' relay_reload ".turn.limits = $BUCKETS"
check 'holds by UDP' rate_holds
check 'a reload without' relay_reload .
check 'lets everything pass again' wait_until 10 flows
must 'a stream by TCP beside it' relay_stream by-tcp tcp 500 "$SIZE"
tcp=$(session_by tcp)
check 'a reload with a rate for each user' relay_reload ".turn.limits = $USER_BUCKETS"
check 'holds for both together' rate_holds
check 'both sessions are as they were' equal "$(session_by udp) $(session_by tcp)" "$udp $tcp"
bg_stop by-udp KILL
check 'a rate for each session' relay_reload ".turn.limits = $BUCKETS"
check 'holds by TCP' rate_holds
must 'no rate' relay_reload .
check 'lets everything pass again by TCP' wait_until 10 flows
bg_stop by-tcp KILL
must 'all sessions are ended' kick_all

must 'another stream' relay_stream third udp 100 170
check 'it has a channel' equal "$(channels)" 1
check 'a reload that denies its peer' relay_reload '.turn.deny_peers = ["192.0.2.12/32"]'
check 'cuts it off at once' equal "$(channels)" 0
check 'and leaves the session' equal "$(relay_sessions)" 1
before=$(ctl r turn sessions --json | jq '[.sessions[].bytes_to_peer] | add')
sleep 0.5
check 'nothing is relayed to it any more' equal "$(ctl r turn sessions --json | jq '[.sessions[].bytes_to_peer] | add')" "$before"
check 'the peer is refused' refused
must 'back again' relay_reload '.turn.secrets += ["an-unmistakable-secret"]'
bg before gwr "$STRAITCTL" turn drain --watch 1
check 'a drain says how many are left' wait_until 5 watched before 'draining, 1 session'
check 'takes nobody new' refused
bg_stop before
check 'no secret is among the arguments or in the environment' no_secret_shown
if writes_cores; then
	check 'straitd killed by a signal that makes core dumps leaves none' leaves_no_core straitd-r
else
	echo 'this system writes no core dumps into the working directory'
	bg_stop straitd-r KILL
fi
kill -STOP "${LAB_PROC[dp-r]}"
straitd_start r
check 'one that starts says so, and not that there is no relay' wait_until 8 starting_is_said
kill -CONT "${LAB_PROC[dp-r]}"
must 'straitd is back' wait_until 20 gateway_ready r
check 'a straitd that is killed goes on draining' refused
check 'and says so' equal "$(relay_stat .draining)" true
bg after gwr "$STRAITCTL" turn drain --watch 1
check 'the drain is watched again' wait_until 5 watched after 'draining, 1 session'
bg_stop third KILL
must 'the last session ends' kick_all
check 'and ends with it' wait_gone 5 "${LAB_PROC[after]}"
check 'having said that all are gone' watched after 'drained: no sessions'
check 'in JSON as well' empty_by_json
check 'a drain ends' ctl r turn drain off
check 'and new sessions are taken' taken
check 'strangers get few and small answers' stranger_answers
bg refreshes client "$TURNLOAD" refresh "$RELAY_ADDR" 3478 "$RELAY_USER" "$RELAY_PASS" "$RELAY_REALM" 20 2
must 'users refresh' wait_until 10 grep -q ready "$LAB_DIR/refreshes.log"
bg pings peer ping -n -q -f -l 100 -w 10 "$RELAY_ADDR"
must 'they refreshed in a flood of pings' wait_gone 20 "${LAB_PROC[refreshes]}"
bg_stop pings INT
check "p99 $(tail -n 1 "$LAB_DIR/refreshes.log" | jq .p99_ms) ms" refreshed_in_time
lab_finish
