#!/usr/bin/env bash
# Makes the pictures of docs/dashboard: each page of the dashboard with something on it,
# light and dark, on a desk (1280 wide) and on a phone (375).
#
#	tools/dashboard-pictures.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/test-tools.sh
mkdir -p "${1:-docs/dashboard}"
PICTURES=$(cd "${1:-docs/dashboard}" && pwd)
export PICTURES
rm -f "$PICTURES"/*.webp
go test -tags nomsgpack,pictures -count=1 ./internal/journeys -run '^TestPictures$'
du -sh "$PICTURES"
