#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The peer changes its port, then its address. The gateway follows what is authenticated,
# in the middle of a session, and does not follow a replayed packet from somewhere else. Under a stream no number is lost.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init roaming

endpoint_is() # TEXT
{
	on gwa wg show strait0 endpoints | awk '{ print $2 }' | grep -qxF "$1"
}

must 'gateway and stock peer start' usual_lab
must 'tunnel' session_up lana 10.3.0.2
shake=$(last_handshake gwa strait0 peer)
on peer wg set wg0 listen-port 4444
must 'peer speaks from another port' wait_until 5 ping_ok lanp 10.1.0.2
check 'gateway follows to the port' wait_until 3 endpoint_is 192.0.2.3:4444
check 'and sends there' ping_ok lana 10.3.0.2
on peer ip address add 192.0.2.33/24 dev eth0
on peer ip address del 192.0.2.3/24 dev eth0
# wireguard-go keeps the source it used until it is told the endpoint again.
on peer wg set wg0 peer "$(key_public a)" endpoint "192.0.2.1:$WG_PORT"
must 'peer speaks from another address' wait_until 5 ping_ok lanp 10.1.0.2
check 'gateway follows to the address' wait_until 3 endpoint_is 192.0.2.33:4444
check 'and sends there' ping_ok lana fd03::2
check 'without a new handshake' equal "$(last_handshake gwa strait0 peer)" "$shake"

# Its box gives the peer another port and address without touching its sockets, as a NAT does that was rebooted.
appear_as() # ADDRESS PORT
{
	on peer nft -f - <<-END
		table ip appear
		delete table ip appear
		table ip appear {
			chain out { type filter hook output priority -150; ip daddr 192.0.2.1 udp sport 4444 udp sport set $2 ip saddr set $1
			}
			chain in { type filter hook prerouting priority -350; ip saddr 192.0.2.1 udp dport 4445-4448 ip daddr set 192.0.2.33 udp dport set 4444
			}
		}
	END
}

must 'streams run' eval 'stream_start out lana lanp 10.3.0.2 1000 30 && stream_start in lanp lana fd01::2 1000 30'
on peer ip address add 192.0.2.34/24 dev eth0
for as in 192.0.2.33:4445 192.0.2.34:4446 192.0.2.33:4447 192.0.2.34:4448; do
	must "under the streams the peer appears as $as" appear_as "${as%:*}" "${as#*:}"
	check 'gateway follows' wait_until 5 endpoint_is "$as"
done
stream_end out now
stream_end in now
check 'to the peer: each number once' stream_judge out
check 'from the peer: each number once' stream_judge in
check 'still without a new handshake' equal "$(last_handshake gwa strait0 peer)" "$shake"
on peer nft delete table ip appear
must 'the peer is where it was' wait_until 5 ping_ok lanp 10.1.0.2
check 'gateway follows back' wait_until 3 endpoint_is 192.0.2.33:4444

must 'packets are recorded' data_record data 3
before=$(drop_count a wg_replay)
must 'they are sent again, from somewhere else' on peer "$WGRAW" replay eth0 "$LAB_DIR/data" --source 192.0.2.66 --sport 777
check 'the gateway takes them for replays' wait_until 3 drop_grew a wg_replay "$before" 3
check 'the endpoint stays' endpoint_is 192.0.2.33:4444
check 'traffic goes on' ping_ok lana 10.3.0.2
lab_finish
