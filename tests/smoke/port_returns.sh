#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The interface under a port is taken away and comes back, with AF_PACKET and with AF_XDP: the port is called failed by
# name, is opened again by itself, forwards as before, IPv6 too, and has cost no packets of the pool.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=traffic.sh
. "$(dirname "$0")/traffic.sh"
lab_init port_returns

lan_is() # DRIVER-PATTERN-OR-failed
{
	ctl a ports --json | holds --arg p "$1" '.ports[] | select(.name == "lan") | .link_up == ($p == "up")'
}

lan_failed()
{
	ctl a ports 2>&1 | grep -E '^lan .* (failed|down) ' || { ctl a ports; return 1; }
}

must 'gateway and stock peer start' usual_lab
for driver in af_packet af_xdp; do
	if [ "$driver" = af_xdp ]; then
		gateway_config a '.ports[0] |= (.driver = "af_xdp" | .force_copy = true)' "$(site_peer_entry peer "192.0.2.3:$WG_PORT")"
		must 'the LAN port becomes AF_XDP' ctl a reload
	fi
	must "$driver: tunnel" session_up lana 10.3.0.2
	must "$driver: IPv6" wait_until 15 ping_ok lanp fd01::2
	baseline=$(pool_missing a)
	on gwa ip link del rlan
	check "$driver: the port is failed" wait_until 15 lan_failed
	check "$driver: the gateway itself goes on" ping_ok gwa 10.3.0.2
	wire lana eth0 gwa rlan
	host lana eth0 10.1.0.2/24 fd01::2/64 10.1.0.1 fd01::1
	check "$driver: it comes back" wait_until 40 lan_is up
	check "$driver: and forwards" wait_until 20 ping_ok lana 10.3.0.2
	check "$driver: IPv6 too" wait_until 20 ping_ok lanp fd01::2
	check "$driver: the pools are as full as before" wait_until 20 pools_are a "$baseline"
done
on gwa ip link del rlan
wire lana eth0 gwa rlan
host lana eth0 10.1.0.2/24 fd01::2/64 10.1.0.1 fd01::1
check 'another interface of the same name, at once: the port takes that one' wait_until 40 ping_ok lana 10.3.0.2 -W 1
lab_finish
