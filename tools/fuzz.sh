#!/usr/bin/env bash
# Runs every fuzzer of the module, one after another, for a time (20s) or a number
# of executions (1000x). Each room's test is built once for all of its fuzzers. What they
# find of interest is kept where `go test -fuzz` keeps it; what fails, in testdata/fuzz.
set -euo pipefail
time=${1:-20s}
root=$PWD
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cache=$(go env GOCACHE)/fuzz
module=$(go list -m)
grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r package; do
	go test -tags nomsgpack -vet off -fuzz . -c -o "$room/test" "$package"
	cd "$package"
	grep -ohE '^func Fuzz[A-Za-z0-9_]*' ./*_test.go | sed 's/^func //' | sort | while read -r name; do
		echo "== $name in $package for $time"
		"$room/test" -test.run '^$' -test.fuzz "^$name\$" -test.fuzztime "$time" -test.fuzzcachedir "$cache/$module/$package" </dev/null
	done
	cd "$root"
done
