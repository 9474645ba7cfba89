#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# ./run setup: a second call does nothing again, hugepages are reserved or done without, and what cannot be is said with
# the remedy. The machine's packages are there by now: ./run test has installed them.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
lab_init setup

tree=$LAB_DIR/tree
chmod 755 "$LAB_DIR" # others than root run it, too
must 'a checkout that was never set up' eval 'mkdir "$tree" && cp -r "$LAB_ROOT"/{run,configs,tests} "$tree"'

# With other contents in files of /proc, in a mount namespace of its own. A file that may not be written is a kernel
# that refuses.
setup_with() # HUGEPAGES rw|ro AVAILABLE-KB
{
	rm -f "$LAB_DIR"/{nr,meminfo}
	printf '%s\n' "$1" >"$LAB_DIR/nr"
	printf 'MemAvailable: %s kB\n' "$3" >"$LAB_DIR/meminfo"
	unshare --mount bash -c 'mount --bind "$1/nr" /proc/sys/vm/nr_hugepages && mount -o "remount,bind,$2" /proc/sys/vm/nr_hugepages &&
		mount --bind "$1/meminfo" /proc/meminfo && "$3/run" setup build run' setup "$LAB_DIR" "$2" "$tree"
}

plenty=16000000
check 'a first call looks at the packages' eval 'setup_with 0 rw $plenty | grep -q "packages: all [0-9]* of (build run) are installed"'
check 'a second one has nothing to do' equal "$(setup_with 512 rw $plenty)" '  ok    set-up complete'
check 'hugepages are reserved' eval 'setup_with 0 rw $plenty | grep -q "hugepages: 512 of 2 MB reserved"'
check 'more than enough stay as they are' eval 'setup_with 600 rw $plenty >"$LAB_DIR/out" && ! grep -q hugepages "$LAB_DIR/out" && [ "$(cat "$LAB_DIR/nr")" = 600 ]'
check 'where memory is short it goes on without' eval 'setup_with 0 rw 500000 | grep -q "too little free memory"'
check 'where the kernel refuses, too' eval 'setup_with 0 ro $plenty | grep -q "refused to reserve any; going on with 0"'
check 'a group that is not there is named, with those that are' eval '! "$tree/run" setup nonsense 2>"$LAB_DIR/err" && grep -q "no such group: nonsense (known: .*build" "$LAB_DIR/err"'
check 'an unknown command, likewise' eval '! "$tree/run" nonsense 2>"$LAB_DIR/err" && grep -q "unknown command \"nonsense\"" "$LAB_DIR/err" && grep -q "demo" "$LAB_DIR/err"'
for command in demo test 'gateway x' bench soak; do
	check "who is not root is told so: $command" eval \
		'! setpriv --reuid 65534 --clear-groups bash "$tree/run" $command 2>"$LAB_DIR/err" && grep -q "needs root.*sudo ./run" "$LAB_DIR/err"'
done
lab_finish
