#!/usr/bin/env bash
# Sees to it that the programs are there which come from the operating system.
#
#   packages.sh product    what building and running cliplease takes
#   packages.sh test       that, and what its tests take
#
# Each program is looked for where it is used. When all are there this takes a few milliseconds
# and asks nobody. Otherwise it installs the Debian packages that bring them, if it may (as root,
# or by a sudo that asks for no password), or says in one line what to install.
set -euo pipefail

lock_wait=${CLIPLEASE_APT_WAIT:-300} # seconds to wait for another apt or dpkg to finish

# One line each: what is used (a command, or a file by its path, which may be a pattern) and the
# Debian package that brings it.
product='
gcc                                               gcc
/usr/include/stdlib.h                             libc6-dev
git                                               git
ffmpeg                                            ffmpeg
ffprobe                                           ffmpeg
bwrap                                             bubblewrap
/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf   fonts-dejavu-core
/etc/ssl/certs/ca-certificates.crt                ca-certificates
'
test='
chromium                                          chromium
/usr/lib/postgresql/*/bin/initdb                  postgresql
shellcheck                                        shellcheck
'

fail() {
	printf 'setup: %s\n' "$*" >&2
	exit 1
}

# present WHAT: whether the command or file is there.
present() {
	case $1 in
	/*) compgen -G "$1" >/dev/null ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# missing TABLE: the packages of everything in TABLE that is not there.
missing() {
	while read -r what package; do
		[ -z "$what" ] || present "$what" || echo "$package"
	done <<<"$1" | sort -u
}

# at_least WANTED GIVEN: whether version GIVEN is WANTED or newer.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# toolchains: Go and Node come from their makers, since Debian 12 has older ones.
toolchains() {
	local go_version
	command -v go >/dev/null || fail "Go is missing. Install Go 1.26 or newer and put it on the PATH."
	go_version=$(go env GOVERSION)
	at_least 1.26 "${go_version#go}" || fail "Go is ${go_version#go}. Install Go 1.26 or newer."
	command -v node >/dev/null || fail "Node is missing. Install Node 20 or newer, with npm."
	command -v npm >/dev/null || fail "npm is missing. Install npm, which comes with Node 20 or newer."
	at_least 20 "$(node -p process.versions.node)" || fail "Node is $(node --version). Install Node 20 or newer."
}

# apt ARGUMENTS: runs apt-get without a terminal or questions, and waits its turn while another
# program holds apt's or dpkg's lock. (apt-get itself waits for one of its three locks only.)
apt() {
	local give_up=$((SECONDS + lock_wait)) told=
	while ! "${as_root[@]}" env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
		-o Acquire::Retries=3 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold \
		"$@" </dev/null >"$log" 2>&1; do
		if ! grep -qE 'Could not get lock|Unable to (lock|acquire)' "$log"; then
			cat "$log" >&2
			return 1
		fi
		if ((SECONDS >= give_up)); then
			fail "another program has held the lock of apt for $lock_wait seconds. Let it finish, then run this again."
		fi
		[ -n "$told" ] || echo "setup: waiting for another apt or dpkg to finish" >&2
		told=yes
		sleep 2
	done
}

# install PACKAGES
install() {
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	echo "setup: installing $*" >&2
	apt update || echo "setup: the package lists could not be brought up to date; trying with those at hand" >&2

	# PostgreSQL's package makes and starts a database of its own, which nobody here wants: tests
	# make theirs. This switches that off for as long as the installation takes.
	local quiet=/etc/postgresql-common/createcluster.d/cliplease-setup.conf
	if [[ " $* " == *" postgresql "* ]]; then
		"${as_root[@]}" mkdir -p "${quiet%/*}"
		"${as_root[@]}" tee "$quiet" >/dev/null <<<"create_main_cluster = false"
	fi
	local status=0
	apt install --no-install-recommends "$@" || status=$?
	"${as_root[@]}" rm -f "$quiet"
	[ "$status" = 0 ] || fail "apt-get could not install: $*"
}

case ${1-} in
product) table=$product ;;
test) table=$product$test ;;
*) fail "usage: packages.sh product|test" ;;
esac

toolchains
mapfile -t packages < <(missing "$table")
[ "${#packages[@]}" != 0 ] || exit 0

command -v apt-get >/dev/null ||
	fail "this is not a Debian system. Install what these Debian packages hold: ${packages[*]}"
if [ "$(id -u)" = 0 ]; then
	as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	as_root=(sudo -n)
else
	fail "as root, run: apt-get update && apt-get install --no-install-recommends ${packages[*]}"
fi
install "${packages[@]}"

mapfile -t packages < <(missing "$table")
[ "${#packages[@]}" = 0 ] || fail "installed, and still not found where it is used: ${packages[*]}"
