#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Both daemons change to a user who is not root: traffic, wg's socket, straitctl for the group, a reload, and
# a kill of each work as ever, also in a run directory where root's daemons were before; so do AF_XDP ports, on
# hugepages where the machine has them.
. "$(dirname "$0")/lab.sh"

USER_ID=64123 # nobody of this machine; the box has a passwd of its own
lab_init user

user_in_box()
{
	{ cat /etc/passwd; echo "strait:x:$USER_ID:$USER_ID::/nonexistent:/usr/sbin/nologin"; } >"$LAB_DIR/passwd"
	{ cat /etc/group; echo "strait:x:$USER_ID:"; } >"$LAB_DIR/group"
	on gwa mount --bind "$LAB_DIR/passwd" /etc/passwd && on gwa mount --bind "$LAB_DIR/group" /etc/group
}

bg_daemons()
{
	local args
	read -r -a args < <(on gwa "$STRAITCTL" config dp-args "$LAB_DIR/gwa.json") || return
	bg dp-a gwa "$STRAIT_DP" "${args[@]}" --user strait
	bg straitd-a gwa "$STRAITD" --config "$LAB_DIR/gwa.json" --user strait
}

daemons_start()
{
	bg_daemons && wait_until 60 gateway_ready a
}

config_for_user() # FILTER
{
	gateway_config a "$1" "$(site_peer_entry peer "192.0.2.3:$WG_PORT")" &&
		chown "$USER_ID" "$LAB_DIR/a.key" "$LAB_DIR/gwa.json" && chmod 711 "$LAB_DIR"
}

nobody_is_root()
{
	local name
	for name in dp-a straitd-a; do
		awk -v want="$USER_ID" '/^(Uid|Gid):/ { for (i = 2; i <= 5; i++) if ($i != want) bad = 1 } END { exit bad }' \
			"/proc/${LAB_PROC[$name]}/status" || { echo "$name is somebody else"; return 1; }
	done
}

run_files_are_the_users()
{
	local others
	others=$(on gwa find /run/strait ! -uid "$USER_ID")
	[ -z "$others" ] || { printf '%s\n' "$others"; return 1; }
}

handshake_is_there()
{
	[ "$(on gwa wg show strait0 latest-handshakes | awk '{ print $2 }')" -gt 0 ]
}

as_member() # COMMAND...; an ordinary user of the group strait
{
	on gwa setpriv --reuid 64124 --regid "$USER_ID" --clear-groups "$@"
}

must 'boxes, and a user in one of them' eval 'wan_box wan && site_boxes a && peer_boxes && user_in_box && stock_peer a='
config_for_user '.group = "strait"'
must 'root was here before' eval 'gateway_start a && gateway_stop a'
must 'both daemons start as the user' daemons_start
check 'neither is root' nobody_is_root
check 'the run directory and all in it are the user'\''s' run_files_are_the_users
check 'IPv4 passes the tunnel' session_up lana 10.3.0.2
check 'IPv6 passes the tunnel' session_up lana fd03::2
check 'wg shows the handshake' wait_until 20 handshake_is_there
check 'a member of the group may use straitctl' as_member "$STRAITCTL" status
check 'somebody else may not' not on gwa setpriv --reuid 64125 --regid 64125 --clear-groups "$STRAITCTL" status
config_for_user '.group = "strait" | .wireguard[0].listen_port = 51999'
check 'a reload moves the port' eval 'ctl a reload && equal "$(on gwa wg show strait0 listen-port)" 51999'
check 'traffic goes on' session_up lana 10.3.0.2
{ bg_stop straitd-a KILL; bg_stop dp-a KILL; } 2>/dev/null
must 'both start again after a kill' daemons_start
check 'and traffic passes' wait_until 30 ping_ok lana 10.3.0.2 -W 1
bg_stop straitd-a && bg_stop dp-a
xdp='.group = "strait" | .ports |= map(.driver = "af_xdp" | .force_copy = true)'
with='AF_XDP'
if [ "$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)" -ge 170 ]; then
	xdp="$xdp | .dataplane.hugepages = \"yes\" | .dataplane.memory_mb = 160"
	with='AF_XDP and hugepages'
fi
names_the_remedy() { grep -q 'AF_XDP keeps 2048 packets for each receive queue.*more --packets' "$LAB_DIR/dp-a.log"; }
config_for_user "$xdp | .dataplane.packets = 4096"
bg_daemons
check 'too few packets for two AF_XDP ports: the log names the remedy' wait_until 30 names_the_remedy
bg_stop straitd-a && bg_stop dp-a
config_for_user "$xdp"
must "both start as the user with $with" daemons_start
check 'neither is root' nobody_is_root
check 'the ports are AF_XDP' eval 'ctl a ports --json | holds ".ports | map(select(.driver == \"net_af_xdp\")) | length == 2"'
check 'traffic passes' session_up lana 10.3.0.2
check 'IPv6, too' session_up lana fd03::2
lab_finish
