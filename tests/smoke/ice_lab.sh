# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Boxes and programs of the ICE tests, beside lab.sh: a WAN with the hub (icepeer, the ICE of straitd without the
# rest), stock peers (pion, which NetBird uses), coturn, and boxes behind NATs.

ICEPEER=$LAB_BUILD/tests/tools/icepeer
ICEDRIVE=$LAB_ROOT/tests/tools/icedrive
PIONPEER=$LAB_BUILD/tests/interop/pionpeer/pionpeer
TURN_USER='user pass'

# Built from Debian's own packages of Go, once.
pion_built()
{
	local source=$LAB_ROOT/tests/interop/pionpeer/main.go
	[ "$PIONPEER" -nt "$source" ] && return
	command -v go >/dev/null || return
	mkdir -p "${PIONPEER%/*}"
	(cd / && GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$LAB_BUILD/gocache HOME=/nonexistent \
		go build -o "$PIONPEER" "$source")
}

# The command that runs in a box, as icedrive takes it.
in_box() # BOX COMMAND...
{
	local pid=${LAB_HOLDER[$1]:?no box $1}
	shift
	printf 'nsenter -m -n -t %s --wd=%s -- env STRAIT_ICE=%s %s' "$pid" "$PWD" "$LAB_BUILD/ice/strait-ice" "$*"
}

drive() # SCENARIO A B [KEY=VALUE...]
{
	python3 "$ICEDRIVE" "$@"
}

ice_box() # NAME NUMBER: 192.0.2.NUMBER on the WAN
{
	box "$1" && plug "$1" eth0 && address "$1" eth0 "192.0.2.$2/24" "2001:db8::$2/64"
}

# Pairs of them that nobody else uses, so that what they do can run beside the others: hubN at .10N, peerN at .20N.
ice_pairs() # N...
{
	local n
	for n in "$@"; do
		ice_box "hub$n" "10$n" && ice_box "peer$n" "20$n" || return
	done
}

# A home router as most are: masquerades, and takes nothing that nobody asked for.
home() # NAME NUMBER: box NAME at 10.NUMBER.0.2 behind NAME-nat at 192.0.2.NUMBER
{
	ice_box "$1-nat" "$2" && box "$1" || return
	wire "$1-nat" in0 "$1" eth0 && address "$1-nat" in0 "10.$2.0.1/24" || return
	address "$1" eth0 "10.$2.0.2/24" && on "$1" ip route add default via "10.$2.0.1" || return
	on "$1-nat" sysctl -qw net.ipv4.ip_forward=1
	on "$1-nat" nft -f - <<-END
		table ip nat {
			chain post {
				type nat hook postrouting priority 100;
				oifname "eth0" masquerade
			}
			chain arrive {
				type filter hook input priority 0;
				iifname "eth0" ct state new drop
			}
			chain through {
				type filter hook forward priority 0;
				iifname "eth0" ct state new drop
			}
		}
	END
}

coturn() # BOX ADDRESS [OPTION...]
{
	local b=$1 a=$2
	shift 2
	on "$b" ip route replace default dev eth0
	bg coturn "$b" turnserver -n -a -u user:pass -r strait.test -L "$a" -p 3478 --no-cli --no-dtls --log-file stdout \
		--simple-log --pidfile "$LAB_DIR/coturn.pid" --userdb "$LAB_DIR/turndb" --allow-loopback-peers "$@"
	wait_until 5 grep -q 'listener opened on' "$LAB_DIR/coturn.log" || wait_until 3 turn_listens "$b"
}

turn_listens() # BOX
{
	on "$1" ss -Huln sport = :3478 | grep -q .
}
