# One binary, two commands: `make run` and `make test`. Everything else is for
# those who work on it.

GO      ?= go
BINARY  := authledger
DATA    ?= ./data
LISTEN  ?= 127.0.0.1:8080
TAGS    := sqlite_omit_load_extension
LDFLAGS := -X main.version=$(shell git describe --always --dirty 2>/dev/null || echo dev)
CYCLES  ?= 60
ROUNDS  ?= 2000

export CGO_ENABLED := 1

.PHONY: run build test test-esdb check vet lint generate bench crash nodes clean

run: build ## start the product with demo data and print what to open
	./$(BINARY) seed --data $(DATA)
	./$(BINARY) serve --demo --data $(DATA) --listen $(LISTEN) --log-level warn

build:
	$(GO) build -tags $(TAGS) -ldflags "$(LDFLAGS)" -o $(BINARY) .

test: check ## every test, race detector on; some again on several nodes; without it those that damage files one by one or kill nodes
	./.ci/tools
	AUTHLEDGER_BROWSER=$$(./.ci/tools --print-browser) $(GO) test -race -tags $(TAGS) -timeout 25m $(GOTESTFLAGS) ./...
	AUTHLEDGER_TEST_STORE=shared $(GO) test -tags $(TAGS) -timeout 10m $(GOTESTFLAGS) ./eventstore/journal ./api
	AUTHLEDGER_TEST_STORE=esdb $(GO) test -tags $(TAGS) -timeout 10m $(GOTESTFLAGS) -run '^TestEndToEnd' .
	$(GO) test -tags $(TAGS) -timeout 10m $(GOTESTFLAGS) -run '^(TestAttacks|TestBitRot.*|TestCleanLedgersRaiseNoAlarm|TestThreeNodesLoseNothing|TestContractOverALostIndex)$$' . ./eventstore/esdbstore

# Linked statically where it can be (Linux with a static C library), so that it
# runs on a machine that has nothing installed.
esdb.test: ## the suite of the event database's store as one binary; needs AUTHLEDGER_TEST_ESDB only
	$(GO) test -c -tags "$(TAGS) netgo osusergo" -ldflags "-linkmode external -extldflags -static" -o $@ ./eventstore/esdbstore || \
		$(GO) test -c -tags $(TAGS) -o $@ ./eventstore/esdbstore
.PHONY: esdb.test

test-esdb: ## the same against the server AUTHLEDGER_TEST_ESDB names: esdb://user:password@host:2113?…
	@test -n "$$AUTHLEDGER_TEST_ESDB" || { echo "set AUTHLEDGER_TEST_ESDB to a connection string: see docs/esdb-tests.md" >&2; exit 2; }
	$(MAKE) esdb.test
	./esdb.test -test.timeout 60m $(GOTESTFLAGS)

check: vet lint

vet:
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	$(GO) vet -tags $(TAGS) ./...

lint:
	$(GO) tool staticcheck -tags $(TAGS) ./...

generate: ## regenerate code from api/openapi.yaml, and docs/events.md from the code
	$(GO) generate ./...
	$(GO) test -tags $(TAGS) ./replay -count 1 -run '^TestEventCatalogue$$' -update

bench: build ## ratios against raw limits, printed and written to bench.json
	./$(BINARY) bench --out bench.json
	AUTHLEDGER_BENCH_OUT=$(CURDIR)/bench.json $(GO) test -tags $(TAGS) -timeout 60m -count 1 -run '^$$' -bench '^BenchmarkEventDatabase$$' -benchtime 1x ./api/bench

nodes: ## kill three nodes on one log at random, ROUNDS times; every acknowledged command once, no message twice
	AUTHLEDGER_KILL_ROUNDS=$(ROUNDS) $(GO) test -tags $(TAGS) -timeout 240m -count 1 -v -run '^TestThreeNodes' .

crash: ## kill -9 during a login load, CYCLES times; no acknowledged event may be lost
	AUTHLEDGER_CRASH_CYCLES=$(CYCLES) $(GO) test -tags $(TAGS) -timeout 60m -count 1 -v -run '^TestCrash' .

clean:
	rm -rf $(BINARY) bench.json esdb.test $(DATA)
