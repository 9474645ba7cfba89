#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# libnice in strait-ice against pion over one UDP port: both roles, many at once, both families, addresses that only
# a check tells, candidates that libnice would abort on, and two homes behind NATs.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=ice_lab.sh
. "$(dirname "$0")/ice_lab.sh"
lab_init ice_paths

pion_built || lab_skip 'no Go compiler or pion (golang-go, golang-github-pion-ice.v2-dev)'
must 'a WAN with two boxes' eval 'wan_box wan && ice_box hub 1 && ice_box peer 2'
hub=$(in_box hub "$ICEPEER" 51820)
peer=$(in_box peer "$PIONPEER")

check 'we control, pion is controlled; the pair lasts' drive connect "$hub" "$peer" local=host remote=host stay=4
check 'pion controls' drive connect "$hub" "$peer" role=controlled local=host remote=host
check '50 peers on one port' drive many "$hub" "$peer" n=50
check 'an address signalled as host and as srflx ends nothing' drive many "$hub" "$peer" n=10 twice=1
check 'a peer that signals nothing is found by its checks' drive connect "$hub" "$peer" mute-b=cand remote=prflx
on hub ip -4 address flush dev eth0
check 'IPv6 alone' drive connect "$hub" "$peer" local=host remote=host

must 'two homes and a STUN server' eval 'home left 11 && home right 12 && ice_box stun 3 && coturn stun 192.0.2.3'
left=$(in_box left "$ICEPEER" 51820 --server stun:192.0.2.3 - -)
right=$(in_box right "$PIONPEER" --server stun:192.0.2.3 - -)
check 'both behind NATs: our srflx to theirs' drive connect "$left" "$right" remote=srflx
check 'and when pion controls' drive connect "$left" "$right" role=controlled remote=srflx
lab_finish
