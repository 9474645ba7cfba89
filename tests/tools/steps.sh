# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Progress lines for shell scripts: one line per step with its seconds, live on a terminal, with a sign of
# life every 15 s without one. The output of a step goes to a log, and is shown when the step fails.

STEP_LOG_DIR=${STEP_LOG_DIR:-${LOG_DIR:-/tmp}}

step_live()
{
	[ -t 1 ] && [ -z "${CI:-}" ]
}

step_done() # TEXT
{
	printf '  ok    %s\n' "$*"
}

step_note() # TEXT
{
	printf '  note  %s\n' "$*"
}

# Last printable line of a log, short enough for a terminal.
step_tail() # LOG
{
	tail -c 400 "$1" 2>/dev/null | tr '\r' '\n' | tr -cd '[:print:]\n' | awk 'NF { l = $0 } END { print substr(l, 1, 60) }'
}

# Runs a command; its exit status is the step's.
step() # TEXT COMMAND...
{
	local text=$1 log rc=0 pid start=$SECONDS shown=$SECONDS name
	shift
	name=$(printf '%s' "${text%% (*}" | tr -c 'a-zA-Z0-9\n' '-' | cut -c1-40)
	mkdir -p "$STEP_LOG_DIR"
	log=$STEP_LOG_DIR/$name.log
	step_live || printf '  ...   %s\n' "$text"
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		if step_live; then
			printf '\r\033[K  %3ds  %.60s  %s' $((SECONDS - start)) "$text" "$(step_tail "$log")"
		elif [ $((SECONDS - shown)) -ge 15 ]; then
			shown=$SECONDS
			printf '  %3ds  %s\n' $((SECONDS - start)) "$(step_tail "$log")"
		fi
	done
	wait "$pid" || rc=$?
	! step_live || printf '\r\033[K'
	if [ "$rc" -eq 0 ]; then
		printf '  ok    %s (%d s)\n' "$text" $((SECONDS - start))
	else
		printf '  FAIL  %s (%d s, exit status %d); last lines of %s:\n' "$text" $((SECONDS - start)) "$rc" "$log"
		tail -n 40 "$log" | sed 's/^/        /'
	fi
	return "$rc"
}
