#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The stock wg program on the gateway's interface: show, set, setconf, syncconf, showconf; malformed requests on the
# socket get an error and the interface goes on.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init wg_tools

uapi() # TEXT: a raw request on the UAPI socket, the answer
{
	on gwa python3 - "$1" <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(3)
s.connect("/var/run/wireguard/strait0.sock")
s.sendall(sys.argv[1].encode().decode("unicode_escape").encode())
s.shutdown(socket.SHUT_WR)
data = b""
while True:
    more = s.recv(65536)
    if not more:
        break
    data += more
print(data.decode(), end="")
END
}

# What one end received the other end sent.
same_transfer()
{
	local rx_a tx_a rx_peer tx_peer
	read -r _ rx_a tx_a < <(on gwa wg show strait0 transfer)
	read -r _ rx_peer tx_peer < <(on peer wg show wg0 transfer)
	equal "$rx_a $tx_a" "$tx_peer $rx_peer" && [ "$rx_a" -ge 148 ]
}

must 'gateway and stock peer start' usual_lab
must 'tunnel' session_up lana 10.3.0.2
check 'wg show names the interface' eval 'on gwa wg show interfaces | grep -qw strait0'
on gwa wg show strait0 >"$LAB_DIR/show"
check 'public key' grep -qF "public key: $(key_public a)" "$LAB_DIR/show"
check 'listening port' grep -qF "listening port: $WG_PORT" "$LAB_DIR/show"
check 'peer, endpoint' grep -qF "endpoint: 192.0.2.3:$WG_PORT" "$LAB_DIR/show"
check 'allowed ips' grep -qE 'allowed ips: .*10\.3\.0\.0/24' "$LAB_DIR/show"
check 'latest handshake' grep -qE 'latest handshake: ([0-9]+ (second|minute)|Now)' "$LAB_DIR/show"
check 'transfer' grep -qE 'transfer: [0-9.]+ [KM]?i?B received' "$LAB_DIR/show"
check 'both ends count the same bytes, handshake included' wait_until 5 same_transfer
check 'private key is told to root' eval '[ "$(on gwa wg show strait0 private-key)" = "$(key_private a)" ]'

new=$(key_public new)
must 'wg set adds a peer' on gwa wg set strait0 peer "$new" allowed-ips 10.7.0.0/24,fd07::/64 persistent-keepalive 25 \
	endpoint 192.0.2.77:1234
check 'it is there' eval 'on gwa wg show strait0 allowed-ips | grep -F "$new" | grep -q 10.7.0.0/24'
check 'its keepalive, too' eval 'on gwa wg show strait0 persistent-keepalive | grep -F "$new" | grep -qw 25'
must 'an allowed IP moves to it' on gwa wg set strait0 peer "$new" allowed-ips 10.3.0.0/24
check 'it is at one peer only' equal "$(on gwa wg show strait0 allowed-ips | grep -c 10.3.0.0/24)" 1
must 'and back' on gwa wg set strait0 peer "$(key_public peer)" allowed-ips 10.9.0.3/32,fd09::3/128,10.3.0.0/24,fd03::/64
check 'traffic flows as before' ping_ok lana 10.3.0.2
must 'wg set removes the peer' on gwa wg set strait0 peer "$new" remove
check 'it is gone' not eval 'on gwa wg show strait0 peers | grep -qF "$new"'
must 'the own public key as a peer is taken' on gwa wg set strait0 peer "$(key_public a)" allowed-ips 10.8.0.0/24
check 'and ignored' not eval 'on gwa wg show strait0 peers | grep -qF "$(key_public a)"'

shake=$(last_handshake peer wg0 a)
on gwa wg showconf strait0 >"$LAB_DIR/strait0.conf"
check 'showconf has the peer' grep -qF "PublicKey = $(key_public peer)" "$LAB_DIR/strait0.conf"
must 'syncconf of the same' on gwa wg syncconf strait0 "$LAB_DIR/strait0.conf"
check 'keeps the session' ping_ok lana 10.3.0.2
check 'without a handshake' equal "$(last_handshake peer wg0 a)" "$shake"
must 'setconf of the same' on gwa wg setconf strait0 "$LAB_DIR/strait0.conf"
check 'traffic flows after it' session_up lana 10.3.0.2
must 'another listen port' on gwa wg set strait0 listen-port 51999
check 'is shown' equal "$(on gwa wg show strait0 listen-port)" 51999
check 'traffic flows from there' session_up lana 10.3.0.2
check 'the peer follows to it' eval 'on peer wg show wg0 endpoints | grep -q :51999'
check 'and reaches us' ping_ok lanp 10.1.0.2

check 'an unknown key is an error' eval 'uapi "set=1\nnonsense=1\n\n" | grep -qE "^errno=[^0]"'
check 'a bad number is an error' eval 'uapi "set=1\nlisten_port=70000\n\n" | grep -qE "^errno=[^0]"'
check 'a bad key is an error' eval 'uapi "set=1\npublic_key=zz\n\n" | grep -qE "^errno=[^0]"'
check 'get still answers' eval 'uapi "get=1\n\n" | grep -qx errno=0'
check 'traffic goes on' ping_ok lana 10.3.0.2
lab_finish
