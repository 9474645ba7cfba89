#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A restarted straitd takes its timers from what strait-dp remembers: received data is answered by a keepalive, and data
# without an answer starts a handshake, although the straitd that heard of either was killed. A WAN that is away for a
# moment costs no session; one from which nothing comes for 15 s makes a new one. Times are divided by 5.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init timers_over_restart

datagram() # BOX ADDRESS: one that nobody answers
{
	on "$1" python3 -c 'import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"one", (sys.argv[1], 9))' "$2"
}

restart()
{
	bg_stop straitd-a KILL
	straitd_start a
	wait_until 20 gateway_ready a
}

must 'gateway and stock peer start' usual_lab '.timer_scale = 5'
must 'tunnel' session_up lana 10.3.0.2
for box in lana lanp; do
	must "a silent receiver in $box" bg "sink-$box" "$box" python3 -c 'import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 9))
time.sleep(60)'
	must 'it is there' wait_until 5 eval "on $box ss -Hlun sport = 9 | grep -q :9"
done
# The gateway owes nothing: the last packet was its own, and the peer has answered it.
must 'quiet' wait_until 10 eval '[ "$(peer_field a peer any_received_age_ms)" -gt 2500 ]'
shake=$(last_handshake peer wg0 a)

must 'what the gateway sends is recorded' record_start answer gwa 'udp and src host 192.0.2.1'
must 'the peer sends one packet' datagram lanp 10.1.0.2
must 'straitd is killed and back' restart
check 'a keepalive answers it' wait_until 10 recorded_so_far answer data 1
check 'in the same session' equal "$(last_handshake peer wg0 a)" "$shake"
record_stop answer >/dev/null

initiations()
{
	ctl a status --json | jq '.straitd.handshakes.initiations_sent'
}

initiated() # SINCE
{
	[ "$(initiations)" -gt "$1" ]
}

must 'a ping runs' bg ping lana ping -n -i 0.1 10.3.0.2
must 'it is answered' session_up lana 10.3.0.2
before=$(initiations)
on gwa ip link set rwan down
sleep 0.5 # the outage
on gwa ip link set rwan up
check 'the WAN was away for a moment: traffic goes on' wait_until 10 ping_ok lana 10.3.0.2 -W 1
check 'in the same session' equal "$(last_handshake peer wg0 a) $(initiations)" "$shake $before"
on gwa ip link set rwan down
check 'it is away for longer: a handshake is tried' wait_until 30 initiated "$before"
check 'no sooner than after 15 s / 5 of silence' at_least "$(peer_field a peer any_received_age_ms)" 3000
on gwa ip link set rwan up
check 'and made when it is back' wait_until 20 eval '[ "$(last_handshake peer wg0 a)" != "$shake" ]'
check 'traffic goes on' wait_until 10 ping_ok lana 10.3.0.2 -W 1
bg_stop ping INT >/dev/null

must 'the peer dies' on peer ip link set wg0 down
must 'again' record_start dead gwa 'udp and src host 192.0.2.1'
must 'we send one packet, and nobody is there' datagram lana 10.3.0.2
must 'straitd is killed and back once more' restart
check 'the dead peer is found' wait_until 15 recorded_so_far dead initiation 1
lab_finish
