# Every target says in one line what it does; `make help` prints those lines.

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The commit goes into the program where git can tell it (a folder that belongs to somebody else hides it).
VCS := $(shell git rev-parse HEAD >/dev/null 2>&1 && git status --porcelain >/dev/null 2>&1 && echo true || echo false)

# What is fast enough to run under the race detector at every change: everything but the whole-program tests.
QUICK = $$(go list ./... | grep -v '/e2e$$')

.PHONY: help run build test test-full check bench soak dist deps clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: build ## build, serve, deploy the example shop in two releases, and say what to try (Ctrl-C stops it)
	@scripts/run

build: ## build the program ./aplomb
	CGO_ENABLED=0 go build -trimpath -buildvcs=$(VCS) -ldflags='-s -w' -o aplomb ./cmd/aplomb

test: deps ## run every test in its fast form (at most 10 minutes on two cores)
	go test -count=1 -timeout=18m ./...

test-full: deps ## run every test in its long form (at most 60 minutes)
	APLOMB_FULL=1 go test -count=1 -timeout=60m ./...

check: deps ## format, vet, staticcheck, import rules, race tests, and the health figures
	@unformatted=$$(gofmt -l .) || exit 1; \
		if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	go test -count=1 .
	go test -race -timeout=18m $(QUICK)
	@go run ./scripts/health.go

bench: deps ## measure, each figure next to its anchor (BENCHMARKS.md says how to read it)
	go run ./bench

soak: deps ## keep it busy for an hour: kills, switches and load
	APLOMB_FULL=1 go test -count=36 -timeout=120m -run='Kill|Load|Race|DiskFull|Damage' ./e2e

dist: ## make static programs and Debian packages, with checksums, in dist/
	@scripts/dist

deps: ## see that what the tests need is installed; as root, install what is missing
	@scripts/deps

clean: ## delete what make built and what make run left, the shop's releases included
	rm -rf aplomb .run .cache dist
