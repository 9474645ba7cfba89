#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Nominated pairs without an agent: libnice's process is killed, straitd's part is killed and goes on from what it
# wrote down, a peer falls silent under traffic. All at once, each in two boxes of its own.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=ice_lab.sh
. "$(dirname "$0")/ice_lab.sh"
lab_init ice_lasting

hub() # N
{
	in_box "hub$1" "$ICEPEER" 51820 --blob "$LAB_DIR/blob$1"
}

peer() # N
{
	in_box "peer$1" "$ICEPEER" 51820
}

must 'a WAN with four pairs of boxes' eval 'wan_box wan && ice_pairs 1 2 3 4'
together 'an abort of libnice costs attempts under way only' drive abort "$(hub 1)" "$(peer 1)"
together 'silence under traffic is noticed, and its end' drive silence "$(hub 2)" "$(peer 2)"
together 'pairs go on from their blobs' drive restart "$(hub 3)" "$(peer 3)" n=20
if pion_built; then
	together 'pion never leaves Connected meanwhile' drive restart "$(hub 4)" "$(in_box peer4 "$PIONPEER")" n=20
fi
together_end
lab_finish
