#!/usr/bin/env bash
# Puts the photographs of which the footage of the demo and the tests is made into a folder
# (default: bin/footage), and checks that they are the ones that are meant.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
to=${1:-$here/../../bin/footage}

complete() { (cd "$to" 2>/dev/null && sha256sum --check --status "$here/SHA256SUMS" 2>/dev/null); }
complete && exit 0
[ -f "$here/node_modules/.package-lock.json" ] || (cd "$here" && npm ci --ignore-scripts --no-fund --no-audit >&2)
mkdir -p "$to"
while read -r _ name; do
	cp "$here/node_modules/@vladmandic/face-api/demo/$name" "$to/$name"
done <"$here/SHA256SUMS"
complete || {
	echo "footage: the photographs in $to are not those of deploy/footage/SHA256SUMS; remove deploy/footage/node_modules and try again" >&2
	exit 1
}
