#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# grpc-go against our signal parts, as NetBird's clients and servers are made of it: its client with strait-signal, its
# server with straitd; bodies of wrong lengths, strangers, a receiver that does not read, limits, a stop that is told,
# certificates that change, an authority that is not the right one.
#
#     gwa --+-- wan --+-- svc: strait-signal, or nbpeer server
#                     +-- peers: nbpeer client p1, p2
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=nat.sh
. "$(dirname "$0")/nat.sh"
lab_init signal_go

SIGNAL=$NAT_SERVICE4:$SIGNAL_PORT
LONG=1000000

client() # NAME OPTION...: of key NAME; its events are LAB_DIR/NAME.log
{
	local name=$1
	shift
	on peers timeout 60 "$NBPEER" client --key "$LAB_DIR/$name.key" --signal "$SIGNAL" "$@" >>"$LAB_DIR/$name.log"
}

listen() # NAME OPTION...
{
	local name=$1
	shift
	: >"$LAB_DIR/$name.log"
	bg "$name" peers "$NBPEER" client --key "$LAB_DIR/$name.key" --signal "$SIGNAL" --linger 120s "$@"
	wait_until 10 grep -q '"ready"' "$LAB_DIR/$name.log"
}

heard() # NAME COUNT: messages that could be read
{
	at_least "$(jq -s '[.[] | select(.event == "message" and .error == "<nil>")] | length' "$LAB_DIR/$1.log")" "$2"
}

# One body of each length that no box has, and one that nobody may send.
odd_lengths() # NAME TO
{
	client "$1" --to "$(key_public "$2")" --raw 0 --raw-step 1 --count 40 --register=false || return
	client "$1" --to "$(key_public "$2")" --raw "$LONG" --register=false
}

signal_of_a() # FIELD
{
	ctl a status --json | jq -r ".straitd.connections[0].signal.$1"
}

a_is_up() # true|false
{
	equal "$(signal_of_a up)" "$1"
}

a_counts() # FIELD MINIMUM
{
	at_least "$(signal_of_a "$1")" "$2"
}

a_uses() # URL [CA]
{
	jq --arg url "$1" --arg ca "${2:-}" '.wireguard[0].signal = ({url: $url} + if $ca == "" then {} else {ca: $ca} end)' \
		"$LAB_DIR/gwa.json" >"$LAB_DIR/new.json" && mv "$LAB_DIR/new.json" "$LAB_DIR/gwa.json" && ctl a reload
}

authority() # NAME
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
		-keyout "$LAB_DIR/$1.ca.key" -out "$LAB_DIR/$1.ca.pem"
}

# Into server.pem and server.key, where strait-signal looks.
certificate() # AUTHORITY
{
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=signal -keyout "$LAB_DIR/new.key" \
		-out "$LAB_DIR/new.csr" &&
		openssl x509 -req -in "$LAB_DIR/new.csr" -CA "$LAB_DIR/$1.ca.pem" -CAkey "$LAB_DIR/$1.ca.key" -days 2 \
			-extfile <(printf 'subjectAltName=IP:%s' "$NAT_SERVICE4") -out "$LAB_DIR/new.pem" &&
		mv "$LAB_DIR/new.key" "$LAB_DIR/server.key" && mv "$LAB_DIR/new.pem" "$LAB_DIR/server.pem"
}

must 'nbpeer builds' nbpeer_build
must 'a service box and a box of clients' eval 'wan_box wan && service_box && inside_box peers wan 192.0.2.50/24'
for name in p1 p2 p3; do
	key_private "$name" >/dev/null
done

must 'strait-signal starts' signal_start
must 'grpc-go registers at strait-signal' listen p2
check 'it sends' client p1 --to "$(key_public p2)" --payload hello --count 5
check 'all arrives' wait_until 5 heard p2 5
check 'bodies of wrong lengths' odd_lengths p1 p2
check 'the next message arrives' eval 'client p1 --to "$(key_public p2)" --payload again && wait_until 5 heard p2 6'
kill -STOP "${LAB_PROC[p2]}"
check 'a receiver that does not read' eval 'client p1 --to "$(key_public p2)" --payload "$(head -c 8000 /dev/zero | tr "\0" x)" --count 2500'
check 'costs a queue that has an end' wait_until 5 eval 'at_least "$(signal_status queue_full)" 1'
check 'and nobody else' eval 'listen p3 && client p1 --to "$(key_public p3)" --payload hello && wait_until 5 heard p3 1'
kill -CONT "${LAB_PROC[p2]}"
bg_stop p2
bg_stop p3
bg_stop signal

must 'strait-signal with low limits' signal_start --max-streams 2 --connection-rate 10 --key-rate 2
must 'two keys register' eval 'listen p2 && listen p3'
bg p1 peers "$NBPEER" client --key "$LAB_DIR/p1.key" --signal "$SIGNAL" --linger 20s
check 'a third one is refused' wait_until 10 eval 'grep -q "\"ended\"" "$LAB_DIR/p1.log" && at_least "$(signal_status refused)" 1'
bg_stop p1
check 'a burst to one key' client p1 --to "$(key_public p2)" --payload hello --count 60 --register=false
check 'is cut to its limit' eval 'wait_until 5 heard p2 20 && at_least "$(signal_status limited_key)" 1 && not heard p2 40'
check 'another key is not touched' eval 'client p1 --to "$(key_public p3)" --payload hello --register=false && wait_until 5 heard p3 1'
: >"$LAB_DIR/p1.log"
check 'a connection that sends too much' client p1 --to "$(key_public p3)" --payload hello --count 200 --register=false
check 'is told so' grep -q 'ResourceExhausted.*this connection' "$LAB_DIR/p1.log"
check 'and counted' at_least "$(signal_status limited_connection)" 1
: >"$LAB_DIR/p1.log"
check 'another connection is not touched' eval 'client p1 --to "$(key_public p2)" --payload hello --register=false && not grep -q Exhausted "$LAB_DIR/p1.log"'
check 'strait-signal ends by itself' bg_stop signal
check 'and those that are registered are told' wait_until 5 eval 'grep "\"ended\"" "$LAB_DIR/p2.log" | tee /dev/stderr | grep -q Unavailable'
bg_stop p2
bg_stop p3
must 'strait-signal starts' signal_start

must 'a gateway that knows p1' eval 'site_boxes a && gateway_config a ".wireguard[0].signal = {url: \"http://$SIGNAL\"}" \
	"$(peer_entry p1 "" 10.9.0.7/32)" && gateway_start a'
must 'straitd registers' wait_until 10 a_is_up true
check 'bodies of wrong lengths from a peer' odd_lengths p1 a
check 'are counted' wait_until 5 a_counts undecryptable 40
check 'a stranger' client p3 --to "$(key_public a)" --payload hello
check 'is counted' wait_until 5 a_counts unknown_peer 1
check 'nothing else came of it' a_is_up true
check 'strait-signal ends by itself' bg_stop signal
check 'straitd notices' wait_until 20 a_is_up false

bg go-server svc "$NBPEER" server --listen "[::]:$SIGNAL_PORT" --stranger 20
must 'straitd registers at grpc-go' wait_until 30 a_is_up true
unknown=$(signal_of_a unknown_peer)
check 'a message there, with strangers behind it' client p1 --to "$(key_public a)" --payload nonsense
check 'they are counted' wait_until 5 a_counts unknown_peer $((unknown + 1))
bg_stop go-server
bg go-server svc "$NBPEER" server --listen "[::]:$SIGNAL_PORT" --silent
check 'a server that does not say that we are registered: named' \
	wait_until 40 eval 'signal_of_a last_error | grep -qi regist && a_is_up false'
bg_stop go-server

must 'two authorities' eval 'authority right && authority wrong && certificate right'
must 'strait-signal starts, with TLS' signal_start --tls-cert "$LAB_DIR/server.pem" --tls-key "$LAB_DIR/server.key"
must 'straitd is told the wrong one' a_uses "https://$SIGNAL" "$LAB_DIR/wrong.ca.pem"
check 'and says so' wait_until 20 eval 'signal_of_a last_error | tee /dev/stderr | grep -qi certificate'
check 'the right one' eval 'a_uses "https://$SIGNAL" "$LAB_DIR/right.ca.pem" && wait_until 20 a_is_up true'
check 'grpc-go by TLS as well' client p1 --ca "$LAB_DIR/right.ca.pem" --to "$(key_public a)" --payload hello
must 'a new certificate, of the other authority' certificate wrong
check 'is served without a restart' eval 'client p1 --ca "$LAB_DIR/wrong.ca.pem" --to "$(key_public a)" --payload hello'
check 'streams go on' a_is_up true
check 'strait-signal ends by itself' bg_stop signal
lab_finish
