# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Other people's TURN clients for a lab with a relay node. Sourced behind relay_lab.sh.

# Built from Debian's own packages of Go, once. turnpeer: see tests/interop/turnpeer.
turnpeer_build()
{
	TURNPEER=$LAB_BUILD/tests/interop/turnpeer/turnpeer
	[ -n "$(command -v go)" ] || lab_skip 'no Go compiler (package golang-go)'
	[ "$TURNPEER" -nt "$LAB_ROOT/tests/interop/turnpeer/main.go" ] && return
	mkdir -p "${TURNPEER%/*}"
	(cd / && GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$LAB_BUILD/gocache HOME=/nonexistent \
		go build -o "$TURNPEER" "$LAB_ROOT/tests/interop/turnpeer/main.go")
}

turnpeer() # BOX proxy|pair [OPTION...]
{
	on "$1" timeout 60 "$TURNPEER" "$2" -server "$RELAY_ADDR:3478" -user "$RELAY_USER" -password "$RELAY_PASS" \
		-realm "$RELAY_REALM" "${@:3}"
}

# A certificate for TLS clients: LAB_DIR/cert.pem and key.pem.
relay_certificate()
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=relay" \
		-addext "subjectAltName=IP:$RELAY_ADDR" -keyout "$LAB_DIR/key.pem" -out "$LAB_DIR/cert.pem" 2>/dev/null
}

# The filter for relay_lab with all three transports on one port.
relay_all_transports()
{
	printf '%s' ".turn.listen = [{port: 3478, transports: [\"udp\", \"tcp\", \"tls\"]}] |
		.turn.tls = {certificate: \"$LAB_DIR/cert.pem\", key: \"$LAB_DIR/key.pem\"} |
		.turn.rfc5766_channel_numbers = false"
}
