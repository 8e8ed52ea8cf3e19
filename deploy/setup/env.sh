#!/usr/bin/env bash
# Runs a command and tells it, by its environment, where the real servers and models are that tests
# run against:  env.sh COMMAND [ARGUMENT…]
#
# A variable that is set already is left as it is.
set -euo pipefail
setup=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$setup/../.." && pwd)

# server NAME VALUE: exports NAME with VALUE unless it is set, and sees that it is there.
server() {
	[ -n "${!1-}" ] || export "$1=$2"
	if [ ! -e "${!1}" ]; then
		echo "setup: $1 is \"${!1}\", which is not there: run make test, which sets it up" >&2
		exit 1
	fi
}

newest_initdb=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1 || true)
server CLIPLEASE_TEST_POSTGRES "${newest_initdb%/initdb}" # folder of initdb and postgres
server CLIPLEASE_TEST_CHROMIUM "$(command -v chromium || true)"
server CLIPLEASE_TEST_MINIO "${CLIPLEASE_TEST_MINIO:-$("$setup/tool.sh" minio)}"

# Made by make build and make footage; a test that needs one says so when it is not there.
export CLIPLEASE_MODELS=${CLIPLEASE_MODELS:-$root/bin/models} # models and the runtime that reads them
export CLIPLEASE_FOOTAGE=${CLIPLEASE_FOOTAGE:-$root/bin/footage} # photographs that clips are made of
export CLIPLEASE_BIN=${CLIPLEASE_BIN:-$root/bin/cliplease}
exec "$@"
