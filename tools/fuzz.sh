#!/usr/bin/env bash
# Runs every fuzzer of the module, one after another, for a time (20s) or a number
# of executions (1000x).
set -euo pipefail
time=${1:-20s}
grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do
	grep -oE '^func Fuzz[A-Za-z0-9_]*' "$file" | sed 's/^func //' | while read -r name; do
		echo "== $name in $(dirname "$file") for $time"
		go test -tags nomsgpack -run '^$' -fuzz "^$name\$" -fuzztime "$time" "./$(dirname "$file")"
	done
done
