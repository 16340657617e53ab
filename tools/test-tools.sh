#!/usr/bin/env bash
# Installs what the tests need beside Go, where it is missing: redis-server (the
# store and queue run on a real one), Python with its DKIM verifier (mail and
# signatures are read back by an implementation that is not ours), and Postfix's
# smtp-sink (a relay that is not ours). Postfix itself is not installed: it would
# become this machine's mail server. Its package is unpacked into a cache instead.
set -euo pipefail

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
command -v gcc >/dev/null || missing+=(gcc libc6-dev) # the race detector links with it
[ -x /usr/bin/python3 ] || missing+=(python3)
/usr/bin/python3 -c 'import dkim, nacl' 2>/dev/null || missing+=(python3-dkim python3-nacl)
sink="${XDG_CACHE_HOME:-$HOME/.cache}/postrider/postfix"
unpack=
if ! command -v smtp-sink >/dev/null && [ ! -x /usr/sbin/smtp-sink ] && [ ! -x "$sink/usr/sbin/smtp-sink" ]; then
	unpack=postfix
fi
[ ${#missing[@]} -eq 0 ] && [ -z "$unpack" ] && exit 0

if ! command -v apt-get >/dev/null; then
	echo "The tests need ${missing[*]} $unpack: install them with this system's package manager and run make test again." >&2
	exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "Installing ${missing[*]} $unpack for the tests ..."
"${as_root[@]}" apt-get update -q
if [ -n "$unpack" ]; then
	download=$(mktemp -d)
	trap 'rm -rf "$download"' EXIT
	(cd "$download" && apt-get download -q postfix)
	mkdir -p "$sink"
	dpkg -x "$download"/postfix_*.deb "$sink"
	# The libraries that it is linked with.
	for library in $(dpkg-deb -f "$download"/postfix_*.deb Depends | tr ',' '\n' | sed -n 's/^ *\(lib[^ (|]*\).*/\1/p'); do
		dpkg -s "$library" >/dev/null 2>&1 || missing+=("$library")
	done
fi
if [ ${#missing[@]} -gt 0 ]; then
	# Debian starts a package's server by itself; the tests start private ones.
	DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}"
fi
