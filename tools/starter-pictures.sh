#!/usr/bin/env bash
# Makes pictures of the starters, as their samples are sent, with Chromium: each at the
# width of a phone and of a desk, light and dark. Without a folder only those of
# docs/starters are made: the phone's, light and dark, beside each other.
#
#	tools/starter-pictures.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
	echo "Chromium is needed: apt-get install chromium" >&2
	exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go test -tags nomsgpack -count=1 ./internal/starters -run TestStarters -write "$work" >/dev/null

# shoot PAGE WIDTH HEIGHT dark|light FILE
shoot() {
	local scheme=1
	[ "$4" = light ] || scheme=0
	"$chromium" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
		--disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$work/profile" \
		--blink-settings=preferredColorScheme=$scheme --window-size="$2,$3" --screenshot="$5" "file://$1" >/dev/null 2>&1
}

if [ $# -gt 0 ]; then
	mkdir -p "$1"
	for page in "$work"/*.html; do
		name=$(basename "$page" .html)
		for scheme in light dark; do
			# A frame of its own: a window is never as narrow as a phone.
			printf '<body style="margin:0"><iframe src="%s" style="border:0;width:375px;height:900px"></iframe>' "$page" >"$work/phone.htm"
			shoot "$work/phone.htm" 500 900 $scheme "$1/$name-375-$scheme.png"
			shoot "$page" 1280 900 $scheme "$1/$name-1280-$scheme.png"
		done
	done
	exit
fi

command -v pngquant >/dev/null || {
	echo "pngquant is needed, to make the pictures small: apt-get install pngquant" >&2
	exit 1
}
mkdir -p docs/starters
while read -r name height; do
	for scheme in light dark; do
		printf '<body style="margin:0"><iframe src="%s" style="border:0;width:375px;height:%spx"></iframe>' "$work/$name.html" "$height" >"$work/phone.htm"
		shoot "$work/phone.htm" 500 "$height" $scheme "$work/$scheme.png"
	done
	printf '<body style="margin:0;display:flex;background:#fff;gap:12px">' >"$work/both.htm"
	for scheme in light dark; do
		printf '<div style="width:375px;height:%spx;overflow:hidden"><img src="%s"></div>' "$height" "$work/$scheme.png" >>"$work/both.htm"
	done
	shoot "$work/both.htm" 762 "$height" light "$work/both.png"
	pngquant --force --strip --speed 1 --output "docs/starters/$name.png" 64 "$work/both.png"
done <<-'PAGES'
	sign-in-code 600
	password-reset 730
	receipt 920
	invitation 760
	alert 750
	welcome 710
PAGES
