#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Clients by TCP and TLS: coturn's client over both, on one port; each with a UDP client of the same box; a new
# certificate by reload without an end to those that are connected; silent and superfluous connections are ended.
# What /metrics says of all this while it happens.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=relay_lab.sh
. "$(dirname "$0")/relay_lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init turn_streams
command -v turnutils_uclient >/dev/null || lab_skip "turnutils_uclient (package coturn) is not installed"

ECHO_PORT=3480

certificate() # NAME
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \
		-keyout "$LAB_DIR/key.pem" -out "$LAB_DIR/cert.pem" 2>/dev/null
}

uclient() # [OPTION...]
{
	local out
	out=$(on client timeout 40 turnutils_uclient -u "$RELAY_USER" -w "$RELAY_PASS" -e 192.0.2.12 -r "$ECHO_PORT" \
		-p 3478 -n 10 -m 1 -l 171 -z 5 "$@" "$RELAY_ADDR") || { printf '%s\n' "$out" | tail -n 12; return 1; }
	grep -q 'Total lost packets 0 (0.000000%)' <<<"$out" || { printf '%s\n' "$out" | tail -n 12; return 1; }
}

served_name()
{
	on client timeout 5 openssl s_client -connect "$RELAY_ADDR:3478" -tls1_2 </dev/null 2>/dev/null |
		openssl x509 -noout -subject
}

served_is() # NAME
{
	served_name | grep -qw "$1"
}

alpn() # [NAME]: what is agreed on
{
	on client timeout 5 openssl s_client -connect "$RELAY_ADDR:3478" ${1:+-alpn "$1"} </dev/null 2>/dev/null |
		grep -i '^ALPN\|^No ALPN'
}

# Datagrams from the relay to the peer with DF, and with ECN.
recorded() # FILTER
{
	tcpdump -nn -r "$LAB_DIR/peer.pcap" "$1" 2>/dev/null | wc -l
}

ends_connection() # WHAT-IS-SENT BYTES-OF-ANSWERS; who is not let go waits until time is out
{
	printf '%b' "$1" | on client timeout 5 nc "$RELAY_ADDR" 3478 >"$LAB_DIR/answers"
	not equal "${PIPESTATUS[1]}" 124 && equal "$(stat -c %s "$LAB_DIR/answers")" "$2"
}

# Of 60 at once a burst of four and one for each second that they take.
some_shake_hands()
{
	local n
	n=$(on client bash -c 'for i in {1..60}; do
			{ timeout 5 openssl s_client -connect "$0:3478" </dev/null >/dev/null 2>&1 && echo one; } &
		done; wait' "$RELAY_ADDR" | wc -l)
	at_least "$n" 1 && at_most "$n" 40
}

relay_limits() # JSON
{
	jq ".turn.limits = $1" "$LAB_DIR/gwr.json" >"$LAB_DIR/limits.json" && cat "$LAB_DIR/limits.json" >"$LAB_DIR/gwr.json" &&
		ctl r reload
}

connections()
{
	relay_stat .connections
}

connections_at_most() # N
{
	at_most "$(connections)" "$1"
}

connections_at_least() # N
{
	at_least "$(connections)" "$1"
}

metric() # NAME-WITH-LABELS
{
	on gwr curl -sf http://127.0.0.1:9641/metrics | awk -v name="$1" '$1 == name { print $2 }'
}

metric_above() # NAME-WITH-LABELS VALUE
{
	local now
	now=$(metric "$1")
	[ "${now:-0}" -gt "$2" ] || { echo "$1 is \"$now\", wanted more than $2"; return 1; }
}

# Twice while it runs.
metric_advances() # NAME-WITH-LABELS
{
	local value _
	for _ in 1 2; do
		value=$(metric "$1")
		wait_until 5 metric_above "$1" "${value:-0}" || return
	done
}

states_are() # INSTALLING WITHOUT-PERMISSION PERMITTED
{
	equal "$(for s in installing without_permission permitted; do metric "strait_turn_allocation_states{state=\"$s\"}"; done | xargs)" "$*"
}

# ChannelData of somebody without an allocation; first requests of one source, far more than it gets answers to.
provoke()
{
	on peer bash -c 'for i in {1..20}; do printf "\x40\x05\x00\x04abcd" >/dev/udp/'"$RELAY_ADDR"'/3478; done'
	on peer "$LAB_ROOT/tests/tools/turnraw.py" strangers "$RELAY_ADDR" 3478 1000
}

session_by() # udp|tcp|tls
{
	ctl r turn sessions --json | jq -c "[.sessions[] | select(.transport == \"$1\") | .id, .client]"
}

certificate first
must 'relay node starts' relay_lab ".turn.listen = [{port: 3478, transports: [\"udp\", \"tcp\", \"tls\"]}] |
	.turn.tls = {certificate: \"$LAB_DIR/cert.pem\", key: \"$LAB_DIR/key.pem\"} |
	.turn.metrics = {} | .turn.limits = {connections_per_source: 20, handshakes_per_source_s: 100}"
cp "$LAB_DIR/cert.pem" "$LAB_DIR/first.pem"
bg echo peer turnutils_peer -p "$ECHO_PORT" -L 192.0.2.12
must 'the peer records' record_start peer peer "udp and src host $RELAY_ADDR"
client_start 'channels by TCP, odd lengths' uclient -t -c
client_start 'indications by TCP' uclient -t -s -c
client_start 'a pair of ports by TCP' uclient -t
client_start 'channels by TLS on the same port' uclient -t -S -c
client_start 'client to client by TCP' uclient -t -y -c -m 2
client_start 'by TLS with the certificate of an authority' uclient -t -S -c -E "$LAB_DIR/first.pem"
clients_judge
bg_stop tcpdump-peer INT >/dev/null
check 'no DF by TCP' eval '[ "$(recorded "ip[6] & 0x40 == 0")" -ge 20 ] && [ "$(recorded "ip[6] & 0x40 != 0 or ip[1] & 3 != 0")" -eq 0 ]'
check 'they end with their clients' wait_until 10 connections_at_most 0
bg silent peer bash -c 'for i in $(seq 40); do exec {fd}<>/dev/tcp/'"$RELAY_ADDR"'/3478; done; sleep 60'
check 'no more connections of one source than the limit' eval 'wait_until 5 connections_at_least 10 && connections_at_most 20'

must 'a stream by UDP, for the lcores' relay_stream lcores udp 200 170
bg idle client "$LAB_BUILD/tests/tools/turnload" refresh "$RELAY_ADDR" 3478 "$RELAY_USER" "$RELAY_PASS" "$RELAY_REALM" 2 60
must 'two sessions that permit nobody' wait_until 10 grep -q ready "$LAB_DIR/idle.log"
check 'metrics: bytes advance while a session runs' metric_advances 'strait_turn_bytes_total{direction="to_peer"}'
check 'both ways' metric_advances 'strait_turn_packets_total{direction="to_client"}'
check 'metrics: refreshes advance' metric_advances 'strait_turn_requests_total{method="refresh"}'
check 'metrics: allocations by state' wait_until 5 states_are 0 2 1
check 'metrics: by transport' equal "$(metric 'strait_turn_allocations{transport="udp"}')" 3
# Ports of those who ended come back meanwhile.
check 'metrics: ports left' eval 'n=$(metric "strait_turn_ports_free{address=\"192.0.2.1\"}"); at_least "$n" 9900 && at_most "$n" 9997'
drops=$(metric 'strait_drops_total{reason="turn_no_channel"}') limited=$(metric strait_turn_replies_limited_total)
must 'strangers come' provoke
check 'metrics: drops by their reason' wait_until 5 metric_above 'strait_drops_total{reason="turn_no_channel"}' $((drops + 9))
check 'metrics: answers that were held back' wait_until 5 metric_above strait_turn_replies_limited_total $((limited + 100))
check 'metrics: errors by number' metric_above 'strait_turn_errors_total{code="401"}' 0
check 'metrics: no user is named' not eval "on gwr curl -sf http://127.0.0.1:9641/metrics | grep -w $RELAY_USER"
check 'metrics: nothing else is served' not on gwr curl -sf http://127.0.0.1:9641/
check 'metrics: not on other addresses' not on client curl -sf --max-time 2 "http://$RELAY_ADDR:9641/metrics"
bg_stop idle
relay_stream_end lcores

check 'TLS 1.1 is refused' not on client timeout 5 openssl s_client -connect "$RELAY_ADDR:3478" -tls1_1
check 'ALPN stun.turn is agreed on' eval 'alpn stun.turn | grep -q "stun\.turn"'
check 'and none without' eval 'alpn | grep -q "No ALPN"'
check 'its certificate' served_is first
must 'a stream by TLS' relay_stream lasting tls 100 171
session=$(session_by tls)
certificate second
check 'a reload takes the new one' eval 'ctl r reload && served_is second'
CERTIFICATE=$(<"$LAB_DIR/cert.pem")
printf 'no certificate' >"$LAB_DIR/cert.pem"
check 'a broken one is refused by name, and the old one goes on' eval \
	'! ctl r reload >"$LAB_DIR/out" 2>&1 && grep -q cert.pem "$LAB_DIR/out" && served_is second'
check 'bytes by TLS advance after that' metric_advances 'strait_turn_bytes_total{direction="to_peer"}'
check 'the session is as it was' equal "$(session_by tls)" "$session"
must 'the stream ends' relay_stream_end lasting
check 'and lost nothing' relay_stream_holds lasting '.sent > 20 and .heard == .sent and .twice == 0'
check 'what is no frame ends its connection' ends_connection '\x90garbage' 0
check 'so it does behind one' ends_connection '\x00\x01\x00\x00\x21\x12\xa4\x42twelve bytes\x90garbage' 32
check 'who says nothing is let go' wait_until 20 connections_at_most 0
printf '%s\n' "$CERTIFICATE" >"$LAB_DIR/cert.pem"
must 'one handshake a second' relay_limits '{connections_per_source: 100, handshakes_per_source_s: 1}'
check 'handshakes of one source are limited' some_shake_hands
lab_finish
