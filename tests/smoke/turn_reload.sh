#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Reloads while coturn's client is being relayed: another secret and other users end nothing and lose nothing; a peer
# that is denied now is cut off at once. A drain takes nobody new, also after straitd was
# killed, which shows no secret. Strangers get small answers, and few.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=relay_lab.sh
. "$(dirname "$0")/relay_lab.sh"
lab_init turn_reload
command -v turnutils_uclient >/dev/null || lab_skip "turnutils_uclient (package coturn) is not installed"

ECHO_PORT=3480

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

channels()
{
	ctl r turn sessions --json | jq '[.sessions[].channels] | add // 0'
}

taken()
{
	on client timeout 20 turnutils_uclient -c -u "$RELAY_USER" -w "$RELAY_PASS" -e 192.0.2.12 -r "$ECHO_PORT" \
		-n 1 -m 1 "$RELAY_ADDR"
}

refused()
{
	not taken
}

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

ulimit -c unlimited # what straitd must not make use of
must 'relay node starts' relay_lab
bg echo peer turnutils_peer -p "$ECHO_PORT" -L 192.0.2.12
talk first 300
must 'a client talks' wait_until 10 talks
check 'a reload with other credentials' relay_reload '.turn.secrets = ["of-tomorrow"] | .turn.users = [{name: "user", password: "other"}]'
check 'its session lost nothing' lost_nothing first
must 'back' relay_reload .
for id in $(ctl r turn sessions --json | jq '.sessions[].id'); do ctl r turn kick "$id" >/dev/null; done
talk second 1000
must 'another talks' wait_until 10 talks
check 'it has a channel' eval '[ "$(channels)" -ge 1 ]'
check 'a reload that denies its peer' relay_reload '.turn.deny_peers = ["192.0.2.12/32"]'
check 'cuts it off at once' eval '[ "$(channels)" -eq 0 ]'
check 'and leaves the session' eval '[ "$(relay_sessions)" -ge 1 ]'
before=$(ctl r turn sessions --json | jq '[.sessions[].bytes_to_peer] | add')
sleep 0.5
check 'nothing is relayed to it any more' equal "$(ctl r turn sessions --json | jq '[.sessions[].bytes_to_peer] | add')" "$before"
check 'the peer is refused' refused
must 'back again' relay_reload '.turn.secrets += ["an-unmistakable-secret"]'
check 'a drain' ctl r turn drain
check 'takes nobody new' refused
check 'no secret is among the arguments or in the environment' no_secret_shown
if writes_cores; then
	check 'straitd killed by a signal that makes core dumps leaves none' leaves_no_core straitd-r
else
	echo 'this system writes no core dumps into the working directory'
	bg_stop straitd-r KILL
fi
straitd_start r
must 'straitd is back' wait_until 20 gateway_ready r
check 'a straitd that is killed goes on draining' refused
check 'and says so' eval '[ "$(ctl r turn stats --json | jq .draining)" = true ]'
check 'a drain ends' ctl r turn drain off
check 'and new sessions are taken' taken
check 'strangers get few and small answers' stranger_answers
lab_finish
