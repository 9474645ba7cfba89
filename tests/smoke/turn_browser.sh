#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two pages in headless Chromium with iceTransportPolicy "relay" give each other a file over a data channel: libwebrtc's
# TURN client, unchanged, by UDP and by TCP.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=relay_lab.sh
. "$(dirname "$0")/relay_lab.sh"
lab_init turn_browser
command -v chromium >/dev/null || lab_skip 'Chromium (package chromium) is not installed'

call() # TRANSPORT
{
	on client timeout 100 "$LAB_ROOT/tests/tools/browser_turn.py" "turn:$RELAY_ADDR:3478?transport=$1" \
		"$RELAY_USER" "$RELAY_PASS" 80
}

must 'relay node starts' relay_lab '.turn.listen = [{port: 3478, transports: ["udp", "tcp"]}] |
	.turn.rfc5766_channel_numbers = false'
check 'a file each way, UDP' call udp
check 'the lcores carried it' at_least "$(relay_stat '.lcores.bytes_to_peers')" 2000000
check 'from client to client within the box' at_least "$(relay_stat '.lcores.hairpin')" 1000
check 'a file each way, TCP' call tcp
lab_finish
