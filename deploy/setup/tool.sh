#!/usr/bin/env bash
# Prints the path of a program that checks or tests cliplease, and builds it first if need be.
#
#   tool.sh minio            the object store that tests run against (about 5 minutes, once)
#   tool.sh golangci-lint    linters (about 1 minute, once)
#   tool.sh govulncheck      known vulnerabilities
#   tool.sh gotestsum        runs tests and counts them
#
# Versions are pinned by go.mod and go.sum in the folders minio and tools here, modules apart from
# the product. Binaries are kept in $XDG_CACHE_HOME/cliplease (or ~/.cache/cliplease), one folder
# for each pinned version and version of Go, so that nothing is built twice or out of date.
set -euo pipefail

case ${1-} in
minio) module=minio package=github.com/minio/minio ;;
golangci-lint) module=tools package=github.com/golangci/golangci-lint/v2/cmd/golangci-lint ;;
govulncheck) module=tools package=golang.org/x/vuln/cmd/govulncheck ;;
gotestsum) module=tools package=gotest.tools/gotestsum ;;
*)
	echo "usage: tool.sh minio|golangci-lint|govulncheck|gotestsum" >&2
	exit 2
	;;
esac
name=$1
cd "$(dirname "$0")/$module"
export GOWORK=off GOFLAGS=-mod=readonly GOTOOLCHAIN=local # tools are not the product, and need no rebuilding with it

key=$({ cat go.mod go.sum && go env GOVERSION GOOS GOARCH; } | sha256sum | cut -c1-12)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/cliplease/$name-$key
if [ ! -x "$folder/$name" ]; then
	mkdir -p "$folder"
	exec 9>"$folder/lock"
	flock 9 # another make may be building the same
	if [ ! -x "$folder/$name" ]; then
		echo "setup: building $name, which is done once" >&2
		go build -trimpath -ldflags '-s -w' -o "$folder/$name.new" "$package" >&2
		mv "$folder/$name.new" "$folder/$name"
	fi
fi
echo "$folder/$name"
