#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The demo, whole, with --keep: all its checks pass, it counts them right, what it says of looking around works, and its
# end leaves nothing. A demo that cannot go on says so in its last line and in its exit status.
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
lab_init demo_kept

demo=$(dirname "$0")/demo

demo_passes()
{
	"$demo" --keep >"$LAB_DIR/demo.out" 2>&1 && return
	cat "$LAB_DIR/demo.out" >&3
	return 1
}

# What the demo has kept is not of this lab.
demo_remove() # SIGNAL-STATUS
{
	[ ! -x "$end" ] || "$end"
	lab_exit "$1"
}

hints() # COMMANDS that it names, one a line
{
	sed -n 's/^  \(nsenter .*\)/\1/p' "$LAB_DIR/demo.out"
}

kept_tag() # of its namespaces
{
	sed -n 's/^  ip netns exec \(.*\)-wan .*/\1/p' "$LAB_DIR/demo.out"
}

nothing_left() # TAG DIRECTORY
{
	! ip netns list | grep -q "^$1-" && [ ! -e "$2" ] && ! pgrep -f "$2/" >/dev/null
}

check "a demo without strait's programs fails" eval '! STRAIT_LAB_DIR=$LAB_DIR STRAIT_BUILD=/nonexistent "$demo" >"$LAB_DIR/broken.out" 2>&1'
check 'and says how many checks did' eval 'tail -n 1 "$LAB_DIR/broken.out" | grep -qx "demo: [0-9]* checks passed, 1 failed"'
check 'an option that it does not have is refused' eval '! "$demo" --kep 2>"$LAB_DIR/usage" && grep -q usage "$LAB_DIR/usage"'

start=$SECONDS
end=
exec 3>&1 # the checks of a demo that fails are shown whole
must 'the demo passes' demo_passes
lab_ok "in $((SECONDS - start)) s"
check 'its last line counts its checks' equal "$(tail -n 1 "$LAB_DIR/demo.out")" \
	"demo: $(grep -c '^  ok' "$LAB_DIR/demo.out") checks passed, 0 failed"
tag=$(kept_tag)
end=$(sed -n 's/^End it with:  //p' "$LAB_DIR/demo.out")
trap 'demo_remove $?' EXIT
trap 'demo_remove 130' INT
trap 'demo_remove 143' TERM
must 'it names what ends it' test -x "$end"
check 'the boxes are kept' eval 'ip netns list | grep -q "^$tag-gwa"'
check 'the tables that it names are shown' eval '$(hints | grep "straitctl peers") | grep -q peer'
check 'and the trace' eval '$(hints | grep " ping ") -q -n -w 20 -i 0.1 >/dev/null & timeout 20 $(hints | grep trace) | grep -q wg_encrypt'
check 'and wg' eval '$(hints | grep "wg show") | grep -q "latest handshake"'
check 'the host that it names pings through the tunnel' eval '$(hints | grep " ping ") -n -c 1 -W 2'
check 'the end that it names' "$end"
check 'leaves nothing' wait_until 10 nothing_left "$tag" "$(dirname "$end")"
lab_finish
