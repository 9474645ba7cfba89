#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What happens in the life of a connection between a gateway and NetBird-format peers on one network: a peer with a
# kernel's WireGuard that decides by MODE where to send, a killed peer that comes back, a gateway and a peer that get
# another address, a peer that goes idle, and peers that are removed in each state, of which nothing stays installed.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
# shellcheck source=nat.sh
. "$(dirname "$0")/nat.sh"
lab_init nb_life

peer_start() # p1|p2|... [OPTION...]
{
	local p=$1
	shift
	nbpeer_start "$p" "10.9.0.1${p#p}/24" a 10.9.0.1/32,10.1.0.0/24 --keep 1 "$@" &&
		on "$p" ip route add 10.1.0.0/24 dev tun0
}

works() # p1|p2|...
{
	wait_until 25 nbpeer_connected "$1" && wait_until 10 ice_is a "$1" .state connected &&
		wait_until 15 ping_ok lana "10.9.0.1${1#p}"
}

peer_kill() # p1|p2|...
{
	bg_stop "nb-$1" KILL 2>/dev/null
	mv "$LAB_DIR/nb-$1.log" "$LAB_DIR/nb-$1.$RANDOM.log"
}

# Changes the gateway's configuration by a jq expression.
change() # FILTER
{
	jq "$1" "$LAB_DIR/gwa.json" >"$LAB_DIR/new.json" && mv "$LAB_DIR/new.json" "$LAB_DIR/gwa.json" && ctl a reload
}

objects()
{
	on gwa "$LAB_BUILD/tests/tools/dpobjects"
}

objects_are() # WANTED; what is listed of "KIND=COUNT"s
{
	local o
	o=$(objects)
	for o in $o; do
		case " $1 " in
		*" ${o%%=*}="*) [[ " $1 " = *" $o "* ]] || { echo "$o, wanted $1"; return 1; } ;;
		esac
	done
}

phase_is() # PEER PHASE...
{
	local p=$1 now
	shift
	now=$(ice_field a "$p" .phase)
	[[ " $* " = *" $now "* ]] || { echo "$p is $now, wanted $*"; return 1; }
}

entries=()
for n in 1 2 3 4; do
	entries+=("$(peer_entry "p$n" '' "10.9.0.1$n/32")")
done
must 'the peer builds' nbpeer_build
must 'services' eval 'wan_box wan && service_box && signal_start && turn_start'
must 'peers' eval 'for n in 1 2 3; do inside_box p$n wan 192.0.2.3$n/24; done'
must 'gateway' nat_gateway a wan 192.0.2.1/24 '' '.wireguard[0].ice.port_reachable = true' "${entries[@]}"
must 'gateway starts' gateway_start a

must 'a peer with a kernel, which announces direct' peer_start p1 --port 52001 --kernel 51999
check 'the tunnel works' works p1
check 'it is told direct, and sends from its own port' equal "$(nbpeer_now p1 endpoint)" 192.0.2.1:51820
check 'where it is followed' wait_until 10 ice_is a p1 .follows true
peer_kill p1
must 'port_reachable is taken back' change '.wireguard[0].ice.port_reachable = false'
must 'the same peer again' peer_start p1 --port 52001 --kernel 51999
check 'the tunnel works' works p1
check 'it is told not direct, and stays with ICE' equal "$(nbpeer_now p1 endpoint)" "relay-$(key_public a)"
check 'nobody is followed' ice_is a p1 .follows false

must 'a second peer' peer_start p2
check 'works' works p2
bg_stop nb-p2 KILL 2>/dev/null
mv "$LAB_DIR/nb-p2.log" "$LAB_DIR/nb-p2.killed.log"
start=${EPOCHREALTIME/[.,]/}
must 'killed and started again' peer_start p2
check 'is recognised by its offer' works p2
took=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))
check "works again after $took ms" at_most "$took" 20000

must 'the gateway gets another address' change '.ports[1].addresses = ["192.0.2.77/24"]'
check 'the first peer works' wait_until 60 ping_ok lana 10.9.0.11
check 'the second peer works' wait_until 20 ping_ok lana 10.9.0.12
check 'by the new address' ice_is a p2 .path.base 192.0.2.77:51820

must 'the second peer gets another address' eval 'on p2 ip address flush dev eth0 && address p2 eth0 192.0.2.62/24'
start=${EPOCHREALTIME/[.,]/}
check 'it is followed' wait_until 60 ping_ok lana 10.9.0.12 -W 1
printf '        | after %s ms\n' $(((${EPOCHREALTIME/[.,]/} - start) / 1000))
check 'to its new address' wait_until 20 ice_is a p2 .path.remote 192.0.2.62:51820

sent()
{
	ice_field a p4 .messages_sent
}

check 'a peer that is not there is asked' wait_until 20 phase_is p4 offered
key_private p4 >/dev/null
must 'it says GO_IDLE' on svc "$NBPEER" client --key "$LAB_DIR/p4.key" --signal "$NAT_SERVICE4:$SIGNAL_PORT" --to "$(key_public a)" --type 5
check 'and is left alone' wait_until 10 phase_is p4 idle
before=$(sent)
check 'until there is a packet for it' eval 'not ping_ok lana 10.9.0.14 -W 1 && wait_until 10 phase_is p4 offered waiting &&
	wait_until 10 eval "at_least \$(sent) $((before + 1))"'

# p1 direct, p2 relayed, p3 checks what never answers, p4 is not there.
peer_kill p2
must 'a relayed peer' peer_start p2 --relay-only
check 'works' works p2
must 'a peer that UDP does not reach' eval 'on p3 nft "add table ip n; add chain ip n i { type filter hook input priority 0; meta l4proto udp drop; }" && peer_start p3'
check 'p1 is settled' phase_is p1 settled
check 'p2 is settled' phase_is p2 settled
check 'p3 is checking' wait_until 20 phase_is p3 checking
check 'p4 is asked' phase_is p4 offered waiting
check 'four peers are installed, two with a path' eval 'objects; objects_are "peer=4 allowed_ip=4"'
must 'all are removed' change '.wireguard[0].peers = []'
check 'nothing of them is installed' wait_until 5 objects_are 'peer=0 allowed_ip=0 endpoint=0 key=0 stat_peer=0'
check 'no attempt goes on' wait_until 10 eval '[ "$(ctl a status --json | jq "[.. | objects | .attempts? // empty | numbers] | add // 0")" = 0 ]'
check 'nor is a pair kept' eval '[ "$(ctl a status --json | jq "[.. | objects | .kept_pairs? // empty] | add // 0")" = 0 ]'
lab_finish
