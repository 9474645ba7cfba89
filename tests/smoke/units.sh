#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The systemd units as they are in configs/, under a systemd of their own: the user, directories and sandbox they
# name; ready when they are, a restart after a kill and after silence, a reload that says when it was refused.
. "$(dirname "$0")/lab.sh"

SYSTEMD=/usr/lib/systemd/systemd
[ -x $SYSTEMD ] || { echo "skip: no systemd here"; exit 77; }
lab_init units
CGROUP=

cgroup_make()
{
	local root
	root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	[ -n "$root" ] && mkdir "$root/$LAB_TAG" 2>/dev/null && CGROUP=$root/$LAB_TAG
}

cgroup_remove()
{
	[ -z "$CGROUP" ] || find "$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || true
}

# Only our units: those of the machine are none of this test's business.
cat >"$LAB_DIR/init" <<'END'
set -e
mount --make-rprivate /
mount -t proc proc /proc
cp -a /etc /run/etc && mount --bind /run/etc /etc
mount -t tmpfs -o mode=755 tmpfs /usr/local
mkdir -p /usr/local/bin /usr/local/sbin /run/systemd/system /run/lock
cp "$STRAITCTL" /usr/local/bin && cp "$STRAITD" "$STRAIT_DP" /usr/local/sbin
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for t in sysinit basic multi-user shutdown network network-pre sockets timers paths slices; do
	printf '[Unit]\nDefaultDependencies=no\n' >/run/systemd/system/$t.target
done
printf '[Unit]\nDefaultDependencies=no\nWants=strait-dp.service straitd.service\n' >/run/systemd/system/lab.target
cp "$ROOT"/configs/strait-dp.service "$ROOT"/configs/straitd.service /run/systemd/system
systemd-sysusers "$ROOT/configs/strait.sysusers.conf"
systemd-tmpfiles --create "$ROOT/configs/strait.tmpfiles.conf"
cp "$LAB_DIR/gwa.json" /etc/strait/strait.json && cp "$LAB_DIR/a.key" /etc/strait
chmod 644 /etc/strait/strait.json && chown strait /etc/strait/a.key
mkdir -p "/run/strait"
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=lab SYSTEMD_UNIT_PATH=/run/systemd/system \
	"$SYSTEMD" --system --unit=lab.target --log-target=console --show-status=no
END

systemd_start()
{
	bg systemd gwa env ROOT="$LAB_ROOT" LAB_DIR="$LAB_DIR" STRAITD="$STRAITD" STRAIT_DP="$STRAIT_DP" \
		STRAITCTL="$STRAITCTL" SYSTEMD="$SYSTEMD" \
		sh -c "while [ ! -e $LAB_DIR/go ]; do sleep 0.05; done; exec unshare --pid --fork --kill-child --mount --uts --ipc --cgroup \
		bash $LAB_DIR/init" || return
	# From here: a box does not see the machine's cgroups.
	echo "$LAST_PID" >"$CGROUP/cgroup.procs" && touch "$LAB_DIR/go" || return
	wait_until 30 inside systemctl --version
}

inside() # COMMAND...; beside that systemd, with its /run
{
	local pid
	pid=$(pgrep -P "${LAB_PROC[systemd]}" | head -n 1)
	[ -n "$pid" ] && nsenter -a -t "$pid" -- "$@"
}

active() # UNIT
{
	equal "$(inside systemctl show -P ActiveState "$1.service")" active
}

main_pid() # UNIT
{
	inside systemctl show -P MainPID "$1.service"
}

another_main_pid() # UNIT FORMER
{
	local now
	now=$(main_pid "$1")
	[ "$now" != 0 ] && [ "$now" != "$2" ] && active "$1"
}

applied()
{
	inside /usr/local/bin/straitctl status --json | holds '.straitd.applied and .straitd.dataplane.connected'
}

process_is() # UNIT: user, no new privileges, few capabilities
{
	local status
	status=$(inside cat "/proc/$(main_pid "$1")/status") || return
	awk -v want="$(inside id -u strait)" '
		/^Uid:/ { uid = $2 } /^NoNewPrivs:/ { nnp = $2 } /^CapBnd:/ { bnd = $2 } /^CapEff:/ { eff = $2 }
		END { exit !(uid == want && nnp == 1 && bnd !~ /^000001f/ && eff !~ /^0000000000000000$/) }' <<<"$status" ||
		{ grep -E '^(Uid|NoNewPrivs|Cap)' <<<"$status"; return 1; }
}

restarted_after() # UNIT SIGNAL
{
	local former
	former=$(main_pid "$1")
	inside kill "-$2" "$former"
	wait_until 60 another_main_pid "$1" "$former"
}

# Whoever tells systemd nothing for so long is taken for hung.
watchdog_of() # SECONDS
{
	local unit
	for unit in strait-dp straitd; do
		inside sh -c "mkdir -p /run/systemd/system/$unit.service.d &&
			printf '[Service]\nWatchdogSec=$1\nTimeoutAbortSec=1\n' >/run/systemd/system/$unit.service.d/watchdog.conf"
	done
	inside systemctl daemon-reload && inside systemctl restart strait-dp straitd && wait_until 30 applied
}

lived_for() # UNIT PID SECONDS
{
	[ "$(main_pid "$1")" = "$2" ] && [ "$(inside ps -o etimes= -p "$2")" -ge "$3" ]
}

# straitd's unit with another program in it, which makes the namespaces that strait-ice-tun needs.
namespaces_of_unit()
{
	inside sh -c 'sed -e "s|^ExecStart=.*|ExecStart=/usr/bin/unshare --user --net true|" -e "s/^Type=.*/Type=oneshot/" \
		-e "/^Restart=/d" -e "/^Watchdog/d" -e "/^ExecReload/d" /run/systemd/system/straitd.service \
		>/run/systemd/system/namespaces.service && systemctl daemon-reload && systemctl start namespaces'
}

must 'boxes' eval 'wan_box wan && site_boxes a && peer_boxes && stock_peer a='
gateway_config a '.group = "strait" | .wireguard[0].private_key_file = "/etc/strait/a.key"' \
	"$(site_peer_entry peer "192.0.2.3:$WG_PORT")"
cgroup_make || lab_skip 'no cgroup2 to run a systemd in'
trap 'rc=$?; (lab_exit $rc); cgroup_remove; exit $rc' EXIT # a cgroup goes when nothing lives in it
must 'a systemd starts' systemd_start
must 'strait-dp says that it is ready' wait_until 60 active strait-dp
must 'straitd says that it is ready' wait_until 60 active straitd
must 'the configuration is in the data plane' wait_until 30 applied
check 'strait-dp is its user with its capabilities' process_is strait-dp
check 'straitd is its user with its capabilities' process_is straitd
check 'IPv4 passes the tunnel' session_up lana 10.3.0.2
check 'IPv6 passes the tunnel' session_up lana fd03::2
check 'whom straitd starts may have a network namespace of its own' namespaces_of_unit
check 'a reload is done' inside systemctl reload straitd
inside sh -c 'echo broken >/etc/strait/strait.json'
check 'a reload that is refused fails' not inside systemctl reload straitd
inside cp "$LAB_DIR/gwa.json" /etc/strait/strait.json
check 'and the old configuration goes on' session_up lana 10.3.0.2
check 'straitd is back after a kill' restarted_after straitd KILL
check 'strait-dp is back after a kill' restarted_after strait-dp KILL
check 'traffic passes again' wait_until 40 ping_ok lana 10.3.0.2 -W 1
must 'systemd watches closely' watchdog_of 4
dp=$(main_pid strait-dp) daemon=$(main_pid straitd)
check 'who has nothing to do is not taken for hung' wait_until 60 eval 'lived_for strait-dp "$dp" 9 && lived_for straitd "$daemon" 9'
inside kill -STOP "$dp" "$daemon"
check 'strait-dp is back after it hung' wait_until 60 another_main_pid strait-dp "$dp"
check 'so is straitd' wait_until 60 another_main_pid straitd "$daemon"
check 'and traffic passes' wait_until 40 ping_ok lana 10.3.0.2 -W 1
check 'a stop is a clean one' eval 'inside systemctl stop straitd strait-dp && \
	equal "$(inside systemctl show -P Result strait-dp.service)" success && \
	equal "$(inside systemctl show -P Result straitd.service)" success'
lab_finish
