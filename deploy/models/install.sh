#!/bin/sh
# Installs the detectors' models and the ONNX Runtime library into a folder (default: bin/models).
# Needs Go and npm; runs no script of any package.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
to=${1:-$root/bin/models}
case $to in /*) ;; *) to=$PWD/$to ;; esac
cd "$root"
if [ ! -d "$here/node_modules" ]; then
	# A folder that is complete already needs no packages.
	go run ./deploy/models -from /nonexistent -to "$to" 2>/dev/null && exit 0
fi
[ -n "$(find "$here/node_modules/.package-lock.json" -newer "$here/package-lock.json" 2>/dev/null)" ] || (cd "$here" && npm ci --ignore-scripts --no-fund --no-audit)
go run ./deploy/models -from "$here/node_modules" -to "$to"
