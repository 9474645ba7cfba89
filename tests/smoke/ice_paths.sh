#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# libnice in strait-ice against pion over one UDP port: both roles, many at once, both families, addresses that only
# a check tells, candidates that libnice would abort on, and two homes behind NATs. Many at once, each in boxes of its own.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=ice_lab.sh
. "$(dirname "$0")/ice_lab.sh"
lab_init ice_paths

pion_built || lab_skip 'no Go compiler or pion (golang-go, golang-github-pion-ice.v2-dev)'
must 'a WAN with five pairs of boxes' eval 'wan_box wan && ice_pairs 1 2 3 4 5'
must 'two homes and a STUN server' eval 'home left 11 && home right 12 && ice_box stun 3 && coturn stun 192.0.2.3'
on hub4 ip -4 address flush dev eth0

pair() # N SCENARIO KEY=VALUE...
{
	drive "$2" "$(in_box "hub$1" "$ICEPEER" 51820)" "$(in_box "peer$1" "$PIONPEER")" "${@:3}"
}

homes() # KEY=VALUE...
{
	drive connect "$(in_box left "$ICEPEER" 51820 --server stun:192.0.2.3 - -)" \
		"$(in_box right "$PIONPEER" --server stun:192.0.2.3 - -)" "$@"
}

together 'we control, pion is controlled; the pair lasts' pair 1 connect local=host remote=host stay=4
together 'pion controls' pair 2 connect role=controlled local=host remote=host
together 'a peer that signals nothing is found by its checks' pair 3 connect mute-b=cand remote=prflx
together 'IPv6 alone' pair 4 connect local=host remote=host
together 'both behind NATs: our srflx to theirs' homes remote=srflx
together_end
together 'and when pion controls' homes role=controlled remote=srflx
together 'an address signalled as host and as srflx ends nothing' pair 1 many n=10 twice=1
check '50 peers on one port' pair 5 many n=50
together_end
lab_finish
