#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The kernel is deaf on the raw interfaces while strait runs, and hears again after a clean stop; a raw interface that
# has addresses is refused with the command that moves them. Rules of nftables that forwarded packets do not meet are named.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init kernel_guard

must 'boxes' eval 'wan_box wan && site_boxes a && peer_boxes'
gateway_config a . "$(site_peer_entry peer "192.0.2.3:$WG_PORT")"
on gwa ip address add 192.0.2.1/24 dev rwan
bg dp-refused gwa true
must 'strait-dp starts' dp_start a
straitd_start a
check 'straitd refuses the raw interface with an address' wait_until 10 pid_gone "${LAB_PROC[straitd-a]}"
check 'and names the interface and a command' eval 'grep -q rwan "$LAB_DIR/straitd-a.log" && grep -q "ip addr" "$LAB_DIR/straitd-a.log"'
on gwa ip address flush dev rwan
on gwa nft add table inet filter
on gwa nft 'add chain inet filter transit { type filter hook forward priority 0; }'
on gwa nft 'add chain inet filter post { type nat hook postrouting priority 100; }'
on gwa nft add rule inet filter transit tcp dport 25 drop
on gwa nft add rule inet filter post masquerade
straitd_start a
must 'without addresses it starts' wait_until 20 gateway_ready a
check 'a forward rule is warned of' grep -q 'forwarded packets will not see.*chain=transit hook=forward' "$LAB_DIR/straitd-a.log"
check 'and a postrouting rule' grep -q 'forwarded packets will not see.*chain=post hook=postrouting' "$LAB_DIR/straitd-a.log"
on gwa nft delete table inet filter
must 'peer starts' stock_peer a=
must 'tunnel' session_up lana 10.3.0.2
check 'ingress drops on both raw interfaces' eval '[ "$(on gwa nft list ruleset | grep -c "hook ingress")" -ge 2 ]'
check 'IPv6 is off there' equal "$(on gwa sysctl -n net.ipv6.conf.rwan.disable_ipv6)" 1
on gwa sysctl -qw net.ipv4.ip_forward=1
must 'the WAN is recorded' record_start wan gwa
on lana ping -q -n -c 5 -i 0.1 10.3.0.2 >/dev/null
record_stop wan >/dev/null
check 'with forwarding on, nothing of the LAN is on the WAN in the clear' equal "$(recorded wan clear)" 0
must 'clean stop' gateway_stop a
check 'the drops are gone' eval '! on gwa nft list ruleset | grep -q "hook ingress"'
check 'IPv6 is as before' equal "$(on gwa sysctl -n net.ipv6.conf.rwan.disable_ipv6)" 0
check 'the host devices stay' eval 'on gwa ip -br address show dev wan | grep -q 192.0.2.1/24'
lab_finish
