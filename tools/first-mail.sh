#!/usr/bin/env bash
# The README's first minute, as a new user has it: start `postrider dev` with no
# redis-server in reach, paste the curl line that it prints, read what became of
# the mail. Needs Go, curl and python3.
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
url=$(sed -n 's/^ *Inbox *//p' "$work/out")
key=$(sed -n 's/^ *Test key *//p' "$work/out")
id=$(bash -c "$curl_line -sS" | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])')

status=""
for _ in $(seq 100); do
	status=$(curl -sS -H "Authorization: Bearer $key" "$url/messages/$id" | python3 -c 'import json,sys; print(json.load(sys.stdin)["status"])')
	[ "$status" = delivered ] && break
	sleep 0.1
done
[ "$status" = delivered ] || { echo "first mail: $status, want delivered" >&2; cat "$work/err" >&2; exit 1; }
page=$(curl -sS "$url/ui/messages/$id")
for said in "MAIL FROM:" "RCPT TO:" "250"; do
	grep -q "$said" <<<"$page" || { echo "first mail: the timeline does not show $said" >&2; exit 1; }
done
echo "first mail: $id delivered, its timeline shows the dialogue"
