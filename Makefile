# Postrider: `make test` is all that a change needs to pass.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# gin's msgpack binding alone would add 6 MB to the binary.
GOFLAGS_ALL = -tags nomsgpack
LDFLAGS = -s -w -X main.version=$(VERSION)

.PHONY: build test dev lint bench chaos chaos-long microbench fuzz test-tools

build: ## the binary, in ./postrider
	CGO_ENABLED=0 go build $(GOFLAGS_ALL) -trimpath -ldflags '$(LDFLAGS)' -o postrider ./cmd/postrider

dev: ## everything in one process, on this machine only
	go run $(GOFLAGS_ALL) -ldflags '$(LDFLAGS)' ./cmd/postrider dev

test: test-tools lint ## all checks and tests, with the race detector
	go test $(GOFLAGS_ALL) -race -timeout 15m ./...

test-tools: ## what the tests need beside Go, installed where it is missing
	@bash tools/test-tools.sh

lint: ## gofumpt, vet, staticcheck, and the linter of openapi.yaml
	@unformatted=$$(go tool -modfile=tools/go.mod gofumpt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofumpt would change:"; echo "$$unformatted"; exit 1; fi
	go vet $(GOFLAGS_ALL) ./...
	go tool -modfile=tools/go.mod staticcheck $(GOFLAGS_ALL) ./...
	@tools/lint-openapi.sh

bench: ## messages per second, CPU, memory and latency beside the thin line
	go run $(GOFLAGS_ALL) ./bench $(BENCHFLAGS)

chaos: ## kills everything at random under load and compares the ledgers, in about three minutes
	go run $(GOFLAGS_ALL) ./bench/chaos $(CHAOSFLAGS)

chaos-long: ## the same for a quarter of an hour: 20,000 mails, 90 kills, 20 rolling restarts
	go run $(GOFLAGS_ALL) ./bench/chaos -mails 20000 -workers 50 -apis 25 -redis 15 -rolling 20 $(CHAOSFLAGS)

microbench: ## the rooms' own benchmarks
	go test $(GOFLAGS_ALL) -run '^$$' -bench . -benchmem ./...

FUZZTIME ?= 20s
fuzz: ## every fuzzer for FUZZTIME (20s)
	@bash tools/fuzz.sh $(FUZZTIME)
