#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Relayed pairs through coturn: the allocation is taken over from libnice and lasts for many of its lifetimes (which are
# some seconds here, as is our clock), nonces go stale, WireGuard passes both ways, also over TCP and TLS. What takes long runs
# beside the rest, in boxes of its own.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=ice_lab.sh
. "$(dirname "$0")/ice_lab.sh"
lab_init ice_relay

# coturn's certificate is the only root of the hub that uses TLS.
make_certificate()
{
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=192.0.2.3 -addext subjectAltName=IP:192.0.2.3 \
		-keyout "$LAB_DIR/key.pem" -out "$LAB_DIR/cert.pem" 2>/dev/null &&
		chmod 644 "$LAB_DIR/key.pem" && chmod 755 "$LAB_DIR" &&
		on hub3 mount --bind "$LAB_DIR/cert.pem" /etc/ssl/certs/ca-certificates.crt
}

command -v turnserver >/dev/null || lab_skip 'no coturn'
must 'a WAN with three pairs of boxes and a certificate' \
	eval 'wan_box wan && ice_pairs 1 2 3 && ice_box turn 3 && make_certificate'
must 'coturn with lifetimes of seconds' coturn turn 192.0.2.3 --max-allocate-lifetime=10 --channel-lifetime=10 \
	--permission-lifetime=5 --stale-nonce=4 --cert "$LAB_DIR/cert.pem" --pkey "$LAB_DIR/key.pem" --tls-listening-port 5349
side() # BOX OPTION...
{
	in_box "$1" STRAIT_ICE_TURN_SCALE=80 "$ICEPEER" 51820 "${@:2}"
}

udp="--server turn:192.0.2.3 $TURN_USER"
tcp="--server turn:192.0.2.3?transport=tcp $TURN_USER"
tls="--server turns:192.0.2.3 $TURN_USER"
together 'WireGuard passes a relayed pair for two lifetimes' drive relay "$(side hub1 "$udp")" "$(side peer1 "$udp")" stay=24
together 'relayed pairs go on from their blobs' \
	drive restart "$(side hub2 --blob "$LAB_DIR/blob" "$udp")" "$(side peer2 "$udp")" relay=1 n=3 stay=14
check 'our relay by TCP' drive relay "$(side hub3 "$tcp")" "$(side peer3 "$udp")" stay=3
check 'our relay by TLS' drive relay "$(side hub3 "$tls")" "$(side peer3 "$udp")" stay=3
if pion_built; then
	check 'a pion peer that is relayed' \
		drive connect "$(in_box hub3 "$ICEPEER" 51820 "$udp")" "$(in_box peer3 "$PIONPEER" --relay-only "$udp")" remote=relay
fi
together_end
lab_finish
