#!/usr/bin/env bash
# Prints the version of Go to build with: the one that go.mod names, which has the security fixes that the
# installed one may lack. Go fetches and checks it like a module. Where it cannot, the installed one builds.
set -euo pipefail
wanted=$(sed -n 's/^toolchain //p' "$(dirname "$0")/../../go.mod")
if version=$(cd / && GOTOOLCHAIN=$wanted timeout 300 go version 2>/dev/null) && [[ $version == *" $wanted "* ]]; then
	echo "$wanted"
else
	command -v go >/dev/null && echo "setup: $wanted cannot be fetched; building with the installed Go, for which make vuln may know weaknesses" >&2
	echo local
fi
