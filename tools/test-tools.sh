#!/usr/bin/env bash
# Installs what the tests need beside Go, where it is missing: redis-server (the
# store and queue run on a real one) and Python with its DKIM verifier (mail and
# signatures are read back by an implementation that is not ours).
set -euo pipefail

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
command -v gcc >/dev/null || missing+=(gcc libc6-dev) # the race detector links with it
[ -x /usr/bin/python3 ] || missing+=(python3)
/usr/bin/python3 -c 'import dkim, nacl' 2>/dev/null || missing+=(python3-dkim python3-nacl)
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
	echo "The tests need ${missing[*]}: install them with this system's package manager and run make test again." >&2
	exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "Installing ${missing[*]} for the tests ..."
"${as_root[@]}" apt-get update -q
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}"
# Debian starts the package's server by itself; the tests start private ones.
