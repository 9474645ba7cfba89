# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Network namespaces for the demo and the smoke tests. A script sources this file, builds what it needs of
#
#     lana -- gwa --+                     +-- peer -- lanp        gwa, gwb: strait gateways
#                   +-- wan (a bridge) ---+                       peer: stock wireguard-go
#     lanb -- gwb --+                     +-- ...                 lan*: plain hosts
#
# and ends with "lab_finish". A box is a network namespace with a mount namespace whose /run is its own, so
# that several gateways and several labs live on one machine. Everything is removed on exit; logs stay when
# something failed. PAUSE_ON_FAILURE=1 waits before the removal.
#
# Hosts' veths do without checksum and segmentation offload: a packet socket at the other end would see
# packets with checksums that nobody ever filled in.

LAB_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LAB_BUILD=${STRAIT_BUILD:-$LAB_ROOT/build}
STRAIT_DP=$LAB_BUILD/dataplane/strait-dp
STRAITD=$LAB_BUILD/control/straitd
STRAITCTL=$LAB_BUILD/control/ctl/straitctl
NUMSTREAM=$LAB_BUILD/tests/tools/numstream
LAB_PASSED=0
LAB_FAILED=0
LAB_TAG=
LAB_DIR=
LAST_PID=
declare -A LAB_HOLDER=() # box -> pid of the process that holds its namespaces
declare -A LAB_PROC=()   # name of a background process -> pid
LAB_TOGETHER=()          # checks that run beside the others
LAB_TOGETHER_PID=()
LAB_WIRES=()             # "BOX IF BOX IF"
LAB_BRIDGES=()           # boxes that do nothing but bridge

# ---- life of a lab -------------------------------------------------------------------------------

lab_init() # NAME
{
	[ "$(id -u)" -eq 0 ] || { echo "needs root" >&2; exit 2; }
	LAB_TAG=st$$
	LAB_DIR=$(mktemp -d "${STRAIT_LAB_DIR:-/tmp}/strait-$1.XXXXXX") || exit 2
	trap 'lab_exit $?' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

lab_exit() # STATUS
{
	local status=$1
	trap - EXIT INT TERM
	if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
		lab_dump_state >"$LAB_DIR/state.txt" 2>&1
		printf 'logs and state: %s\n' "$LAB_DIR"
		if [ -n "${PAUSE_ON_FAILURE:-}" ]; then
			printf 'paused; enter a box with:  %s\nEnter goes on. ' \
				"nsenter -m -n -t PID   (PIDs:$(for b in "${!LAB_HOLDER[@]}"; do printf ' %s=%s' "$b" "${LAB_HOLDER[$b]}"; done))"
			read -r _ </dev/tty || true
		fi
	fi
	lab_remove
	[ "$status" -ne 0 ] || rm -rf "$LAB_DIR"
	exit "$status"
}

# Daemons first and politely, because a clean exit has things to undo; then whatever lives in our boxes.
lab_remove()
{
	local name b pid
	for name in "${!LAB_PROC[@]}"; do
		kill -CONT "${LAB_PROC[$name]}" 2>/dev/null || true
		kill -TERM "${LAB_PROC[$name]}" 2>/dev/null || true
	done
	for name in "${!LAB_PROC[@]}"; do
		wait_gone 5 "${LAB_PROC[$name]}" || kill -KILL "${LAB_PROC[$name]}" 2>/dev/null || true
	done
	for b in "${!LAB_HOLDER[@]}"; do
		for pid in $(ip netns pids "$LAB_TAG-$b" 2>/dev/null); do
			kill -KILL "$pid" 2>/dev/null || true
		done
		ip netns del "$LAB_TAG-$b" 2>/dev/null || true
	done
	wait 2>/dev/null || true
}

lab_finish()
{
	[ "$LAB_FAILED" -eq 0 ]
	exit
}

lab_skip() # REASON
{
	printf 'skip: %s\n' "$*"
	exit 77
}

# What one wants to know of a failed run, before the boxes are gone.
lab_dump_state()
{
	local b
	for b in "${!LAB_HOLDER[@]}"; do
		printf '==== %s\n' "$b"
		on "$b" ip -s address
		on "$b" ip rule
		on "$b" ip route show table all
		on "$b" ip -6 route show table main
		on "$b" ip neigh
		on "$b" ss -uanp
		on "$b" wg show all 2>/dev/null
		if [ -S "/proc/${LAB_HOLDER[$b]}/root/run/strait/admin.sock" ]; then
			for v in status peers ports stages drops routes neighbours; do
				printf -- '---- straitctl %s\n' "$v"
				timeout 5 nsenter -m -n -t "${LAB_HOLDER[$b]}" "$STRAITCTL" "$v"
			done
		fi
	done
}

# ---- checks --------------------------------------------------------------------------------------

lab_ok() # TEXT
{
	LAB_PASSED=$((LAB_PASSED + 1))
	printf '  ok    %s\n' "$*"
}

lab_fail() # TEXT
{
	LAB_FAILED=$((LAB_FAILED + 1))
	printf '  FAIL  %s\n' "$*"
}

# Runs a command; its output is shown only when it fails.
check() # TEXT COMMAND...
{
	local lab_text=$1
	shift
	# Not in a subshell: what the command starts belongs to this lab.
	if "$@" >"$LAB_DIR/check.out" 2>&1; then
		lab_ok "$lab_text"
	else
		lab_fail "$lab_text"
		tail -n 12 "$LAB_DIR/check.out" | sed 's/^/        | /'
		return 1
	fi
}

# A check without which the rest makes no sense.
must() # TEXT COMMAND...
{
	check "$@" || exit 1
}

# A check that runs beside the others until together_end, in a shell of its own.
together() # TEXT COMMAND...
{
	LAB_TOGETHER+=("$1")
	shift
	("$@") >"$LAB_DIR/together.${#LAB_TOGETHER_PID[@]}" 2>&1 &
	LAB_TOGETHER_PID+=($!)
}

# What became of them, in their order.
together_end()
{
	local n
	for n in "${!LAB_TOGETHER[@]}"; do
		check "${LAB_TOGETHER[n]}" together_result "$n"
	done
	LAB_TOGETHER=() LAB_TOGETHER_PID=()
}

together_result() # NUMBER
{
	wait "${LAB_TOGETHER_PID[$1]}" && return
	cat "$LAB_DIR/together.$1"
	return 1
}

not()
{
	! "$@"
}

equal() # GOT WANTED
{
	[ "$1" = "$2" ] || { printf 'got "%s", wanted "%s"\n' "$1" "$2"; return 1; }
}

# Of JSON on stdin. jq -e will not do: it is content when nothing comes.
holds() # JQ-OPTION... FILTER
{
	equal "$(jq "$@")" true
}

at_least() # GOT MINIMUM
{
	[ "${1:-0}" -ge "$2" ] 2>/dev/null || { printf 'got "%s", wanted >= %s\n' "$1" "$2"; return 1; }
}

at_most() # GOT MAXIMUM
{
	[ "${1:-x}" -le "$2" ] 2>/dev/null || { printf 'got "%s", wanted <= %s\n' "$1" "$2"; return 1; }
}

# Waits for a state: runs the command every 50 ms until it succeeds. On time-out its last output is shown.
wait_until() # SECONDS COMMAND...
{
	local end=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000)) out=
	shift
	while :; do
		out=$("$@" 2>&1) && return 0
		[ "${EPOCHREALTIME/[.,]/}" -lt "$end" ] || break
		sleep 0.05
	done
	printf 'did not happen in time: %s\n%s\n' "$*" "$out"
	return 1
}

pid_gone() # PID; a zombie of ours counts as gone
{
	local state
	state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -c1) || return 0
	[ -z "$state" ] || [ "$state" = Z ]
}

wait_gone() # SECONDS PID
{
	wait_until "$1" pid_gone "$2" >/dev/null
}

# ---- boxes and wires -----------------------------------------------------------------------------

box() # NAME
{
	local ns=$LAB_TAG-$1 pid
	ip netns add "$ns" || return
	ip netns exec "$ns" unshare --mount --propagation private sh -c \
		'mount -t tmpfs -o mode=755 run /run && mkdir -p /run/wireguard && echo up >/run/box && exec sleep infinity' \
		>/dev/null 2>&1 &
	pid=$!
	LAB_HOLDER[$1]=$pid
	disown "$pid"
	wait_until 5 test -e "/proc/$pid/root/run/box" || return
	on "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
		net.ipv6.conf.default.router_solicitations=0 net.ipv4.conf.all.rp_filter=0 \
		net.ipv4.conf.default.rp_filter=0
	on "$1" ip link set lo up
}

on() # BOX COMMAND...
{
	local pid=${LAB_HOLDER[$1]:?no box $1}
	shift
	nsenter -m -n -t "$pid" --wd="$PWD" -- "$@"
}

# A background process in a box; its output goes to LAB_DIR/NAME.log and its pid to LAST_PID.
bg() # NAME BOX COMMAND...
{
	local name=$1 pid=${LAB_HOLDER[$2]:?no box $2}
	shift 2
	nsenter -m -n -t "$pid" --wd="$PWD" -- "$@" >>"$LAB_DIR/$name.log" 2>&1 </dev/null &
	LAST_PID=$!
	LAB_PROC[$name]=$LAST_PID
}

bg_stop() # NAME [SIGNAL]; waits for the end, returns the process's exit status
{
	local pid=${LAB_PROC[$1]:?no process $1} rc=0
	kill -s "${2:-TERM}" "$pid" 2>/dev/null || true
	wait_gone 10 "$pid" || { kill -KILL "$pid"; rc=124; }
	wait "$pid" 2>/dev/null || rc=$?
	unset "LAB_PROC[$1]"
	return "$rc"
}

wire() # BOX IF BOX IF [MTU]
{
	ip link add "$2" mtu "${5:-1500}" netns "$LAB_TAG-$1" type veth \
		peer name "$4" mtu "${5:-1500}" netns "$LAB_TAG-$3" || return
	LAB_WIRES+=("$1 $2 $3 $4")
	wire_end "$1" "$2" && wire_end "$3" "$4"
}

wire_end() # BOX IF
{
	on "$1" ethtool -K "$2" tx off tso off gso off gro off >/dev/null || return
	on "$1" ip link set "$2" up
}

address() # BOX IF ADDRESS/LEN...
{
	local b=$1 i=$2 a
	shift 2
	for a in "$@"; do
		case $a in
		*:*) on "$b" ip address add "$a" dev "$i" nodad || return ;;
		*) on "$b" ip address add "$a" dev "$i" || return ;;
		esac
	done
}

# A plain host at the end of a wire, with default routes.
host() # BOX IF V4/LEN V6/LEN GATEWAY4 GATEWAY6
{
	address "$1" "$2" "$3" "$4" || return
	on "$1" ip route add default via "$5" || return
	on "$1" ip -6 route add default via "$6"
}

# The WAN: a bridge without opinions.
wan_box() # NAME
{
	local b=$1
	box "$b" || return
	LAB_BRIDGES+=("$b")
	on "$b" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
	on "$b" ip link add br0 type bridge mcast_snooping 0 forward_delay 0 || return
	on "$b" ip link set br0 up
}

plug() # BOX IF [WAN-BOX [MTU]]; the bridge's end is called like the box
{
	local w=${3:-wan}
	wire "$1" "$2" "$w" "$1" "${4:-1500}" || return
	on "$w" ip link set "$1" master br0
}

# ---- sites: numbers 1 (a), 2 (b), 3 (peer) -------------------------------------------------------
#
# site N: LAN 10.N.0.0/24 and fd0N::/64 with the gateway .1 and a host .2; WAN 192.0.2.N and 2001:db8::N;
# tunnel 10.9.0.N and fd09::N.

site_number() # a|b|peer
{
	case $1 in
	a) echo 1 ;;
	b) echo 2 ;;
	peer) echo 3 ;;
	esac
}

key_private() # NAME
{
	[ -e "$LAB_DIR/$1.key" ] || (umask 077 && wg genkey >"$LAB_DIR/$1.key")
	cat "$LAB_DIR/$1.key"
}

key_public() # NAME
{
	key_private "$1" | wg pubkey
}

# LAN host and raw wires of a strait gateway; the daemons are started by gateway_start.
site_boxes() # a|b [MTU-OF-WAN]
{
	local n
	n=$(site_number "$1")
	box "lan$1" && box "gw$1" || return
	wire "lan$1" eth0 "gw$1" rlan || return
	host "lan$1" eth0 "10.$n.0.2/24" "fd0$n::2/64" "10.$n.0.1" "fd0$n::1" || return
	plug "gw$1" rwan wan "${2:-1500}"
}

# A stock wireguard-go peer with a host behind it. Its kernel routes between the two.
peer_boxes()
{
	box peer && box lanp || return
	plug peer eth0 || return
	wire peer eth1 lanp eth0 || return
	address peer eth0 192.0.2.3/24 2001:db8::3/64 || return
	address peer eth1 10.3.0.1/24 fd03::1/64 || return
	host lanp eth0 10.3.0.2/24 fd03::2/64 10.3.0.1 fd03::1 || return
	on peer sysctl -qw net.ipv4.conf.all.promote_secondaries=1 net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

# Starts wireguard-go in a box as NAME with the given wg(8) configuration on stdin.
wireguard_go() # BOX IF ADDRESS...
{
	local b=$1 i=$2
	shift 2
	cat >"$LAB_DIR/$b-$i.conf"
	WG_PROCESS_FOREGROUND=1 LOG_LEVEL="${WG_LOG_LEVEL:-error}" bg "wireguard-go-$b-$i" "$b" wireguard-go "$i"
	wait_until 10 on "$b" wg show "$i" || return
	on "$b" wg setconf "$i" "$LAB_DIR/$b-$i.conf" || return
	on "$b" ip link set "$i" mtu 1420 up || return
	address "$b" "$i" "$@"
}

# ---- probes --------------------------------------------------------------------------------------

ping_ok() # BOX ADDRESS [PING-OPTION...]; one answer within 2 s
{
	local b=$1 a=$2
	shift 2
	on "$b" ping -n -c 1 -W 2 "$@" "$a"
}

# Bits per second that the receiver saw.
iperf_bps() # CLIENT-BOX SERVER-BOX SERVER-ADDRESS [IPERF3-OPTION...]
{
	local c=$1 s=$2 a=$3 port=$((20000 + RANDOM % 20000)) json
	shift 3
	[ $# -gt 0 ] || set -- -t 2
	bg "iperf3-$port" "$s" iperf3 -s -1 -p "$port"
	wait_until 5 port_listens "$s" "$port" >/dev/null || return
	json=$(on "$c" timeout 60 iperf3 -c "$a" -p "$port" -J "$@") || {
		jq -r '.error // "iperf3 failed"' <<<"$json" >&2
		return 1
	}
	wait "${LAB_PROC[iperf3-$port]}" 2>/dev/null || true
	unset "LAB_PROC[iperf3-$port]"
	jq -r '(.end.sum_received // .end.sum).bits_per_second | floor' <<<"$json"
}

port_listens() # BOX TCP-PORT
{
	on "$1" ss -Hltn "sport = :$2" | grep -q .
}

# ---- strait gateways -----------------------------------------------------------------------------

# One peer of a gateway's configuration. ENDPOINT "" waits for the peer to speak first.
peer_entry() # NAME ENDPOINT ALLOWED-IP...
{
	local name=$1 endpoint=$2
	shift 2
	jq -n --arg name "$name" --arg key "$(key_public "$name")" --arg endpoint "$endpoint" '{
		name: $name, public_key: $key, allowed_ips: $ARGS.positional
	} + if $endpoint == "" then {} else {endpoint: $endpoint} end' --args "$@"
}

# What the sites are for each other: tunnel addresses and LANs.
site_prefixes() # a|b|peer
{
	local n
	n=$(site_number "$1")
	printf '10.9.0.%d/32 fd09::%d/128 10.%d.0.0/24 fd0%d::/64' "$n" "$n" "$n" "$n"
}

site_peer_entry() # a|b|peer ENDPOINT
{
	# shellcheck disable=SC2046
	peer_entry "$1" "$2" $(site_prefixes "$1")
}

# Writes the configuration of a gateway: AF_PACKET ports "lan" and "wan", strait0 with the given peers.
# FILTER is a jq expression for what a test wants different.
gateway_config() # a|b FILTER PEER-ENTRY...
{
	local site=$1 filter=$2 n
	shift 2
	n=$(site_number "$site")
	key_private "$site" >/dev/null
	printf '%s\n' "$@" | jq -s --arg n "$n" --arg key "$LAB_DIR/$site.key" '{
		group: "root",
		dataplane: {lcores: "0,1", main_cpu: 0, hugepages: "no", memory_mb: 256, packets: 16384,
			idle: "adaptive"},
		ports: [
			{name: "lan", driver: "af_packet", interface: "rlan",
				addresses: ["10.\($n).0.1/24", "fd0\($n)::1/64"]},
			{name: "wan", driver: "af_packet", interface: "rwan",
				addresses: ["192.0.2.\($n)/24", "2001:db8::\($n)/64"]}
		],
		wireguard: [{name: "strait0", private_key_file: $key, listen_port: 51820,
			addresses: ["10.9.0.\($n)/24", "fd09::\($n)/64"], peers: .}]
	}' | jq "${filter:-.}" >"$LAB_DIR/gw$site.json"
}

dp_start() # a|b
{
	local args
	read -r -a args < <(on "gw$1" "$STRAITCTL" config dp-args "$LAB_DIR/gw$1.json") || return
	bg "dp-$1" "gw$1" "$STRAIT_DP" "${args[@]}"
}

straitd_start() # a|b
{
	bg "straitd-$1" "gw$1" "$STRAITD" --config "$LAB_DIR/gw$1.json"
}

ctl() # a|b VERB...
{
	on "gw$1" timeout 10 "$STRAITCTL" "${@:2}"
}

# Both daemons are there, and all that the configuration says is in the data plane.
gateway_ready() # a|b
{
	pid_gone "${LAB_PROC[dp-$1]}" && { echo "strait-dp is gone"; return 1; }
	pid_gone "${LAB_PROC[straitd-$1]}" && { echo "straitd is gone"; return 1; }
	ctl "$1" status --json | holds '.straitd.applied and .straitd.dataplane.connected'
}

gateway_start() # a|b
{
	dp_start "$1" && straitd_start "$1" || return
	if ! wait_until 20 gateway_ready "$1"; then
		tail -n 5 "$LAB_DIR/dp-$1.log" "$LAB_DIR/straitd-$1.log"
		return 1
	fi
}

gateway_stop() # a|b
{
	bg_stop "straitd-$1" && bg_stop "dp-$1"
}

# ---- the usual lab: gateway a, a stock peer behind the WAN, hosts behind both ------------------------

WG_PORT=51820

# The stock peer's side for the given strait sites, "a=ENDPOINT" or "a=".
stock_peer() # SITE=ENDPOINT...
{
	local s site endpoint prefix
	{
		printf '[Interface]\nPrivateKey = %s\nListenPort = %s\n' "$(key_private peer)" "$WG_PORT"
		for s in "$@"; do
			site=${s%%=*} endpoint=${s#*=}
			printf '[Peer]\nPublicKey = %s\nAllowedIPs = %s\n' "$(key_public "$site")" \
				"$(site_prefixes "$site" | sed 's/ /, /g')"
			[ -z "$endpoint" ] || printf 'Endpoint = %s\n' "$endpoint"
		done
	} | wireguard_go peer wg0 10.9.0.3/24 fd09::3/64 || return
	for s in "$@"; do
		for prefix in $(site_prefixes "${s%%=*}"); do
			case $prefix in
			10.9.* | fd09*) ;;
			*) on peer ip route add "$prefix" dev wg0 || return ;;
			esac
		done
	done
}

# A second stock peer, alone, 10.9.0.4 in the tunnel; it has a box before it has a tunnel.
second_peer_box()
{
	box peer2 && plug peer2 eth0 && address peer2 eth0 192.0.2.4/24 2001:db8::4/64
}

second_peer()
{
	wireguard_go peer2 wg0 10.9.0.4/24 <<-END
	[Interface]
	PrivateKey = $(key_private peer2)
	[Peer]
	PublicKey = $(key_public a)
	Endpoint = 192.0.2.1:$WG_PORT
	AllowedIPs = 10.9.0.1/32
	END
}

# FILTER changes the gateway's configuration. The gateway knows the peer's endpoint, not the other way.
usual_lab() # [FILTER [ENDPOINT-OF-PEER]]
{
	wan_box wan && site_boxes a && peer_boxes || return
	gateway_config a "${1:-.}" "$(site_peer_entry peer "${2-192.0.2.3:$WG_PORT}")" || return
	stock_peer a= && gateway_start a
}

session_up() # FROM-BOX TO-ADDRESS: the tunnel carries a ping
{
	wait_until 15 ping_ok "$1" "$2" -W 1
}
