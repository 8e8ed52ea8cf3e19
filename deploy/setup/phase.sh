#!/usr/bin/env bash
# Runs one phase of a longer run and says how long it took:  phase.sh NAME COMMAND [ARGUMENT…]
set -uo pipefail
name=$1
shift
printf '\n== %s\n' "$name"
"$@"
status=$?
if [ "$status" = 0 ]; then
	printf '== %s: done in %d s\n' "$name" "$SECONDS"
else
	printf '== %s: FAILED after %d s\n' "$name" "$SECONDS"
fi
exit "$status"
