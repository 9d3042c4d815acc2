# One binary, two commands: `make run` and `make test`. Everything else is for
# those who work on it.

GO      ?= go
BINARY  := authledger
DATA    ?= ./data
LISTEN  ?= 127.0.0.1:8080
TAGS    := sqlite_omit_load_extension
LDFLAGS := -X main.version=$(shell git describe --always --dirty 2>/dev/null || echo dev)
CYCLES  ?= 60

export CGO_ENABLED := 1

.PHONY: run build test check vet lint generate bench crash clean

run: build ## start the product with demo data and print what to open
	./$(BINARY) seed --data $(DATA)
	./$(BINARY) serve --demo --data $(DATA) --listen $(LISTEN) --log-level warn

build:
	$(GO) build -tags $(TAGS) -ldflags "$(LDFLAGS)" -o $(BINARY) .

test: check ## every test, race detector on; again on two nodes of a shared store; and without it those that damage files one by one
	./.ci/tools
	AUTHLEDGER_BROWSER=$$(./.ci/tools --print-browser) $(GO) test -race -tags $(TAGS) -timeout 25m $(GOTESTFLAGS) ./...
	AUTHLEDGER_TEST_STORE=shared $(GO) test -tags $(TAGS) -timeout 10m $(GOTESTFLAGS) ./eventstore/journal ./api
	$(GO) test -tags $(TAGS) -timeout 10m $(GOTESTFLAGS) -run '^(TestAttacks|TestBitRot.*|TestCleanLedgersRaiseNoAlarm)$$' .

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

crash: ## kill -9 during a login load, CYCLES times; no acknowledged event may be lost
	AUTHLEDGER_CRASH_CYCLES=$(CYCLES) $(GO) test -tags $(TAGS) -timeout 60m -count 1 -v -run '^TestCrash' .

clean:
	rm -rf $(BINARY) bench.json $(DATA)
