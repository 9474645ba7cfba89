#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Nominated pairs without an agent: libnice's process is killed, straitd's part is killed and goes on from what it
# wrote down, a peer falls silent under traffic.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=ice_lab.sh
. "$(dirname "$0")/ice_lab.sh"
lab_init ice_lasting

must 'a WAN with two boxes' eval 'wan_box wan && ice_box hub 1 && ice_box peer 2'
hub=$(in_box hub "$ICEPEER" 51820 --blob "$LAB_DIR/blob")
peer=$(in_box peer "$ICEPEER" 51820)
check 'an abort of libnice costs attempts under way only' drive abort "$hub" "$peer"
check 'silence under traffic is noticed, and its end' drive silence "$hub" "$peer"
check 'pairs go on from their blobs' drive restart "$hub" "$peer" n=20
if pion_built; then
	pion=$(in_box peer "$PIONPEER")
	check 'pion never leaves Connected meanwhile' drive restart "$hub" "$pion" n=20
fi
lab_finish
