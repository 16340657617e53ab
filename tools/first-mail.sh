#!/usr/bin/env bash
# The README's first minute, as a new user has it: start `postrider dev` with no
# redis-server in reach, paste the curl line that it prints, read what became of
# the mail; then the same with the README's Go program. Needs Go, curl and python3.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
bare="$work/bin"
mkdir "$bare"
for tool in go curl gcc; do
	path=$(command -v "$tool" || true)
	[ -z "$path" ] || ln -s "$path" "$bare/$tool"
done
go build -tags nomsgpack -o "$work/postrider" ./cmd/postrider # `go run` hides the process to stop

PATH="$bare" "$work/postrider" dev --addr 127.0.0.1:0 >"$work/out" 2>"$work/err" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do
	grep -q '^Stop with' "$work/out" && break
	kill -0 "$server" || { cat "$work/err" >&2; exit 1; }
	sleep 0.1
done

curl_line=$(sed -n '/^curl /,/}.$/p' "$work/out")
url=$(sed -n 's/^ *Dashboard *//p' "$work/out")
key=$(sed -n 's/^ *Test key *//p' "$work/out")
# block KIND N prints the README's Nth block of that kind.
block() {
	awk -v fence="\`\`\`$1" -v want="$2" '
		inside && $0 == "```" { inside = 0; next }
		inside && seen == want { print }
		!inside && /^```/ { inside = 1; if ($0 == fence) seen++; else if (seen == want) exit }
	' README.md
}

[ "$(sed 's|http://127.0.0.1:8025|'"$url"'|' <<<"$(block "" 2)")" = "$curl_line" ] || {
	echo "first mail: the README's curl line is not the one that dev prints:" >&2
	block "" 2 >&2
	exit 1
}

# delivered ID waits for a mail to arrive, and sees the dialogue on its page.
delivered() {
	local status="" page
	for _ in $(seq 100); do
		status=$(curl -sS -H "Authorization: Bearer $key" "$url/messages/$1" | python3 -c 'import json,sys; print(json.load(sys.stdin)["status"])')
		[ "$status" = delivered ] && break
		sleep 0.1
	done
	[ "$status" = delivered ] || { echo "first mail: $status, want delivered" >&2; cat "$work/err" >&2; exit 1; }
	page=$(curl -sS "$url/ui/messages/$1")
	for said in "MAIL FROM:" "RCPT TO:" "250"; do
		grep -q "$said" <<<"$page" || { echo "first mail: the timeline does not show $said" >&2; exit 1; }
	done
}

id=$(bash -c "$curl_line -sS" | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])')
delivered "$id"
echo "first mail: $id delivered, its timeline shows the dialogue"

block go 1 >"$work/first.go"
read -r id status < <(POSTRIDER_URL=$url POSTRIDER_API_KEY=$key go run "$work/first.go")
[ "$status" = queued ] || { echo "first mail: the README's Go program printed '$id $status'" >&2; exit 1; }
delivered "$id"
echo "first mail: $id delivered, sent by the README's Go program"
