#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# ./run gateway: both daemons in the foreground, Ctrl-C ends both and undoes what must be undone; when one dies the
# other is stopped and the status says so.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init gateway_command

gateway_pids()
{
	sed -n 's/^gateway: strait-dp is \([0-9]*\), straitd is \([0-9]*\);.*/\1 \2/p' "$LAB_DIR/$1.log"
}

up()
{
	ctl a status --json | holds '.straitd.applied and .straitd.dataplane.connected'
}

must 'boxes' eval 'wan_box wan && site_boxes a && peer_boxes'
gateway_config a . "$(site_peer_entry peer "192.0.2.3:$WG_PORT")"
must 'peer starts' stock_peer a=
# A shell lets its background processes ignore SIGINT; a terminal does not.
bg first gwa env --default-signal=INT "$LAB_ROOT/run" gateway "$LAB_DIR/gwa.json"
must 'both daemons start' wait_until 60 up
check 'the tunnel works' session_up lana 10.3.0.2
read -r dp straitd < <(gateway_pids first)
check 'Ctrl-C ends it with 0' bg_stop first INT
check 'strait-dp is gone' wait_gone 5 "$dp"
check 'straitd is gone' wait_gone 5 "$straitd"
check 'the ingress drops are gone' eval '! on gwa nft list ruleset | grep -q "hook ingress"'
bg second gwa "$LAB_ROOT/tests/tools/gateway" "$LAB_DIR/gwa.json"
must 'it starts again' wait_until 60 up
read -r dp straitd < <(gateway_pids second)
kill -KILL "$straitd"
check 'straitd killed: all ends' wait_gone 15 "${LAB_PROC[second]}"
check 'strait-dp, too' wait_gone 5 "$dp"
wait "${LAB_PROC[second]}"
check 'and the status is not 0' not equal "$?" 0
unset 'LAB_PROC[second]'
check 'the log names who ended' grep -q 'straitd ended' "$LAB_DIR/second.log"
jq '.nonsense = 1' "$LAB_DIR/gwa.json" >"$LAB_DIR/bad.json"
check 'a bad config does not start' eval '! on gwa "$LAB_ROOT/run" gateway "$LAB_DIR/bad.json" >"$LAB_DIR/bad.log" 2>&1'
check 'and what is wrong with it is said' grep -q nonsense "$LAB_DIR/bad.log"
check 'without a file it says how to use it' eval '! "$LAB_ROOT/run" gateway 2>"$LAB_DIR/usage" && grep -q "usage: ./run gateway FILE" "$LAB_DIR/usage"'
lab_finish
