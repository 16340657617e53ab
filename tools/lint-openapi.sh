#!/usr/bin/env bash
# Lints openapi.yaml with a pinned linter; any finding is an error. npm's lock file
# holds its hash.
set -euo pipefail
cd "$(dirname "$0")/openapi"

# node is new enough for the linter, or npm brings one that is.
node=(npx --yes --package=node@22.12.0 -- node)
if node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a == 22 && b >= 12) || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null; then
	node=(node)
fi
if ! cmp -s package-lock.json node_modules/.lock; then
	npm ci --no-audit --no-fund --ignore-scripts --engine-strict=false --loglevel=error
	cp package-lock.json node_modules/.lock
fi
REDOCLY_SUPPRESS_UPDATE_NOTICE=true REDOCLY_TELEMETRY=off \
	"${node[@]}" node_modules/@redocly/cli/bin/cli.js lint --config redocly.yaml ../../openapi.yaml
