#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two clients by aioice meet on one box, in every pair of transports: what goes between lcores, what from the kernel's
# sockets to an lcore's port and back, and what stays in straitd.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=relay_lab.sh
. "$(dirname "$0")/relay_lab.sh"
lab_init turn_aioice
/usr/bin/python3 -c 'import aioice' 2>/dev/null || lab_skip "aioice (package python3-aioice) is not installed"

pair() # TRANSPORT TRANSPORT
{
	on client timeout 30 "$LAB_ROOT/tests/tools/turn_aioice.py" "$RELAY_ADDR" 3478 "$RELAY_USER" "$RELAY_PASS" "$@"
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=relay" \
	-keyout "$LAB_DIR/key.pem" -out "$LAB_DIR/cert.pem" 2>/dev/null
must 'relay node starts' relay_lab ".turn.listen = [{port: 3478, transports: [\"udp\", \"tcp\", \"tls\"]}] |
	.turn.rfc5766_channel_numbers = false |
	.turn.tls = {certificate: \"$LAB_DIR/cert.pem\", key: \"$LAB_DIR/key.pem\"}"
check 'UDP and UDP' pair udp udp
check 'TCP and TCP' pair tcp tcp
check 'TLS and UDP' pair tls udp
check 'UDP and TCP' pair udp tcp
check 'all sessions ended with their clients' eval 'wait_until 3 equal "$(relay_sessions)" 0'
lab_finish
