# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Debian's kernel with its own WireGuard as a peer in a lab, under qemu's software emulation. Source after
# lab.sh. The guest's eth0 is plugged into the bridge of the WAN box; commands go in over a second interface.

KERNEL_CACHE=${STRAIT_CACHE:-$LAB_ROOT/.cache}/kernel-peer

kernel_peer_image()
{
	"$LAB_ROOT/tests/qemu/image" "$KERNEL_CACHE" "$NUMSTREAM"
}

# Runs a shell command in the guest; output and exit status are the command's.
guest() # COMMAND
{
	local out
	out=$(printf '{ %s\n} 2>&1; echo "guest-status $?"; exit\n' "$1" |
		on wan timeout "${GUEST_TIMEOUT:-20}" busybox nc -w 60 10.254.0.2 2323) || true
	printf '%s\n' "$out" | grep -v '^guest-status '
	[ "$(printf '%s\n' "$out" | sed -n 's/^guest-status //p' | tail -n 1)" = 0 ]
}

kernel_peer_start()
{
	on wan ip tuntap add ktap mode tap || return
	on wan ip link set ktap master br0 up || return
	on wan ip tuntap add kmgmt mode tap || return
	on wan ip address add 10.254.0.1/24 dev kmgmt || return
	on wan ip link set kmgmt up || return
	# No vnet_hdr: the guest then fills in its checksums itself.
	bg qemu wan qemu-system-x86_64 -nodefaults -no-user-config -machine pc,accel=tcg,usb=off -cpu max \
		-smp 1 -m 256 -display none -no-reboot -serial stdio \
		-kernel "$KERNEL_CACHE/vmlinuz" -initrd "$KERNEL_CACHE/initrd" \
		-append 'console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check' \
		-netdev tap,id=wan,ifname=ktap,script=no,downscript=no,vnet_hdr=off \
		-device virtio-net-pci,netdev=wan,romfile=,mac=52:54:00:00:00:09 \
		-netdev tap,id=mgmt,ifname=kmgmt,script=no,downscript=no,vnet_hdr=off \
		-device virtio-net-pci,netdev=mgmt,romfile=,mac=52:54:00:00:01:09
	wait_until 90 guest true
}
