#!/usr/bin/env bash
# Installs what the tests need beside Go, where it is missing: redis-server (the
# store and queue run on a real one), Python with its DKIM verifier and with aiosmtpd,
# Perl with its MIME reader and DKIM verifier (mail and signatures are read back by
# implementations that are not ours), and the
# mail servers Postfix and Exim. Those are not installed: they would become this
# machine's mail server, and exclude each other. Their packages are unpacked into a
# cache instead, and nss_wrapper gives them the users that they would have made.
# Node.js gets the verifier of Standard Webhooks, which judges what we post, and what
# drives Chromium, in which the dashboard is tested.
set -euo pipefail

cache="${XDG_CACHE_HOME:-$HOME/.cache}/postrider"
missing=()
unpack=()
command -v redis-server >/dev/null || missing+=(redis-server)
command -v gcc >/dev/null || missing+=(gcc libc6-dev) # the race detector links with it
[ -x /usr/bin/python3 ] || missing+=(python3)
/usr/bin/python3 -c 'import dkim, nacl' 2>/dev/null || missing+=(python3-dkim python3-nacl)
/usr/bin/perl -MMIME::Parser -MMail::DKIM::Verifier -e 1 2>/dev/null || missing+=(libmime-tools-perl libmail-dkim-perl)
command -v npm >/dev/null || missing+=(nodejs npm) # the linter of openapi.yaml
[ -x /usr/bin/chromium ] || missing+=(chromium)
/usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || missing+=(python3-aiosmtpd)
ldconfig -p 2>/dev/null | grep -q libnss_wrapper || [ -n "$(ls /usr/lib/*/libnss_wrapper.so 2>/dev/null)" ] || missing+=(libnss-wrapper)
[ -x /usr/sbin/smtp-sink ] || [ -x "$cache/postfix/usr/sbin/smtp-sink" ] || unpack+=(postfix)
[ -x /usr/sbin/exim4 ] || [ -x /usr/sbin/exim ] || [ -x "$cache/exim/usr/sbin/exim4" ] || unpack+=(exim4-daemon-light)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
tools="$(cd "$(dirname "$0")" && pwd)"
node_packages() {
	local of
	for of in webhooks browser; do
		cmp -s "$tools/$of/package-lock.json" "$tools/$of/node_modules/.lock" && continue
		(cd "$tools/$of" && npm ci --no-audit --no-fund --ignore-scripts && cp package-lock.json node_modules/.lock)
	done
}
if [ ${#missing[@]} -eq 0 ] && [ ${#unpack[@]} -eq 0 ]; then
	node_packages
	exit 0
fi

if ! command -v apt-get >/dev/null; then
	echo "The tests need ${missing[*]} ${unpack[*]}: install them with this system's package manager and run make test again." >&2
	exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "Installing ${missing[*]} ${unpack[*]} for the tests ..."
"${as_root[@]}" apt-get update -q
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
for package in ${unpack[@]+"${unpack[@]}"}; do
	(cd "$download" && apt-get download -q "$package")
	file=$(echo "$download/$package"_*.deb)
	into="$cache/${package%%4-daemon-light}" # exim4-daemon-light into exim
	mkdir -p "$into"
	dpkg -x "$file" "$into"
	chmod -R u-s,g-s "$into"
	# The libraries that it is linked with.
	for library in $(dpkg-deb -f "$file" Depends | tr ',' '\n' | sed -n 's/^ *\(lib[^ (|]*\).*/\1/p'); do
		dpkg -s "$library" >/dev/null 2>&1 || missing+=("$library")
	done
done
# The servers' processes do not stay root: they must be able to come to their files.
dir=$cache
while [ "$(id -u)" -eq 0 ] && [ ${#unpack[@]} -gt 0 ] && [ "$dir" != / ]; do
	chmod a+x "$dir"
	dir=$(dirname "$dir")
done
if [ ${#missing[@]} -gt 0 ]; then
	# Debian starts a package's server by itself; the tests start private ones.
	DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}"
fi
node_packages
