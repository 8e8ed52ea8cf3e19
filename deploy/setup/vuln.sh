#!/usr/bin/env bash
# Looks for known vulnerabilities in what cliplease is built of:  vuln.sh [DATABASE]
#
# DATABASE is a URL; file:///path works without network. Without one the newest database comes from Go's
# module proxy, which has it as a module like any other: so it is there wherever the sources can be had.
set -euo pipefail
setup=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$setup/../.." && pwd)
database=${1-}

if [ -z "$database" ]; then
	made=$(mktemp -d)
	trap 'rm -rf "$made"' EXIT
	entry=$(cd "$made" && GOWORK=off go mod download -json golang.org/x/vulndb@latest) || {
		echo "vuln: the database cannot be fetched: $entry" >&2
		exit 1
	}
	field() { sed -n "s/^[[:space:]]*\"$1\": \"\(.*\)\",\{0,1\}$/\1/p" <<<"$entry"; }
	echo "vuln: database $(field Version)"
	(cd "$made" && GOWORK=off go run "golang.org/x/vulndb/cmd/indexdb@$(field Version)" -vulns "$(field Dir)/data/osv" -out database)
	database=file://$made/database
fi
govulncheck=$("$setup/tool.sh" govulncheck)
cd "$root"
"$govulncheck" -db "$database" ./...
