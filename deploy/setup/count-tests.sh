#!/usr/bin/env bash
# Prints how many tests passed, failed and were skipped, by the records that gotestsum wrote:
# count-tests.sh FILE…   It fails if any was skipped, since a skipped test proves nothing, or if
# none ran.
set -euo pipefail

# count ACTION: tests (not packages) that ended so.
count() { cat "${@:2}" | grep -cE "\"Action\":\"$1\".*\"Test\":" || true; }

passed=$(count pass "$@")
failed=$(count fail "$@")
skipped=$(count skip "$@")
if [ "$skipped" != 0 ]; then
	echo "These tests were skipped; a test that lacks something must fail and say what:" >&2
	cat "$@" | grep -E '"Action":"skip".*"Test":' >&2
fi
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ] && [ "$skipped" = 0 ] && [ "$passed" != 0 ]
