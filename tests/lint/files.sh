# SPDX-License-Identifier: BSD-3-Clause
#
# What the checks look at, relative to the top: all files, the C sources, the shell scripts.
# shellcheck shell=bash disable=SC2034

# Tracked files and new ones that are not ignored; a tree without git (a tarball) is searched instead.
list_files()
{
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git ls-files --cached --others --exclude-standard
	else
		find . -type f -not -path './.git/*' -not -path './build*' | sed 's|^\./||'
	fi | while read -r f; do [ -f "$f" ] && printf '%s\n' "$f"; done
}

mapfile -t files < <(list_files)
mapfile -t sources < <(printf '%s\n' "${files[@]}" | grep -E '\.[ch]$')
mapfile -t scripts < <(printf '%s\n' "${files[@]}" | grep -vE '\.([ch]|md|json|bin|pcap|py|go)$' | tr '\n' '\0' |
	xargs -0 -r awk 'FNR == 1 { if (FILENAME ~ /\.sh$/ || /^#!.*(\/|[ \t])(ba)?sh([ \t]|$)/) print FILENAME; nextfile }')
