# make run, make test; make test-short while you work.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BINARY  := bin/kitestring
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: run build ui test test-short lint drills fuzz bench soak deb clean

run: build ## build and start the server (the embedded simulator, when there are no credentials)
	./$(BINARY) run

build: ## one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BINARY) ./cmd/kitestring

ui: ## the dashboard: actors/web/ui (TypeScript, npm packages) into actors/web/dist, which is committed
	cd actors/web/ui && npm ci --no-fund --no-audit && npm run --silent check && ./build

# What the tests use besides Go, when it is there; in CI (CI=true) nothing may be missing.
RACE   := $(if $(shell command -v $${CC:-gcc} 2>/dev/null),-race)
SHARED := $(or $(KITESTRING_SHARED),../shared)

# Packages whose tests run whole servers, browsers and a Prometheus: one at a
# time, so that they do not take the processor from each other; their tests that
# are parallel wait most of the time.
WHOLE := kitestring/cmd/kitestring|kitestring/cmd/kitestring/rehearse|kitestring/cmd/kitestring/e2e

# Arithmetic, without a goroutine in its tests: the race detector has nothing to
# find there, and makes it twenty times as slow.
PURE := kitestring/actors/analysis|kitestring/actors/analysis/classic

test: lint ## everything that must hold before a change lands: about five minutes on two cores
	@missing() { echo "LEFT OUT: $$1 ($$2)"; [ "$$CI" != true ]; }; \
	  { [ -n "$(RACE)" ] || missing "the race detector" "apt-get install gcc libc6-dev"; } && \
	  { [ -d "$(SHARED)" ] || missing "the shared test data, golden files among them" "KITESTRING_SHARED=FOLDER"; } && \
	  { command -v chromium >/dev/null || missing "the dashboard in a browser" "apt-get install chromium"; } && \
	  { [ -d actors/web/ui/node_modules ] || missing "the dashboard's rebuild and accessibility" "cd actors/web/ui && npm ci"; } && \
	  { [ -d actors/gateway/testdata/node/node_modules ] || missing "the official JavaScript clients" "cd actors/gateway/testdata/node && npm ci"; } && \
	  { [ -d actors/web/openapi/testdata/node/node_modules ] || missing "the linter and the clients of the API's description" "cd actors/web/openapi/testdata/node && npm ci"; } && \
	  { command -v prometheus >/dev/null || missing "alerts in a real Prometheus" "apt-get install prometheus"; } && \
	  { command -v systemd-analyze >/dev/null || missing "the systemd unit" "apt-get install systemd"; }
	CGO_ENABLED=0 $(GO) test -timeout 15m $$($(GO) list ./... | grep -xE '$(PURE)')
	CGO_ENABLED=$(if $(RACE),1,0) $(GO) test $(RACE) -timeout 15m $$($(GO) list ./... | grep -vxE '$(WHOLE)|$(PURE)')
	CGO_ENABLED=$(if $(RACE),1,0) $(GO) test $(RACE) -timeout 15m -p 1 -parallel 4 $$($(GO) list ./... | grep -xE '$(WHOLE)')

test-short: ## the inner loop: seconds, no browser, no Prometheus, no race detector
	$(GO) vet ./...
	$(GO) test -short -timeout 2m $$($(GO) list ./... | grep -vxE '$(WHOLE)') ./cmd/kitestring

lint: ## vet, staticcheck, gofumpt, the sum-type check
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@unformatted=$$($(GO) tool gofumpt -l cmd actors messages supervisor); \
	  if [ -n "$$unformatted" ]; then echo "not formatted, run 'go tool gofumpt -w .':"; echo "$$unformatted"; exit 1; fi
	$(GO) tool go-check-sumtype -default-signifies-exhaustive=false ./...

drills: build ## every fault drill, minutes
	./$(BINARY) drill all

FUZZTIME ?= 2m
fuzz: ## each fuzz target for FUZZTIME
	@for pkg in $$($(GO) list ./...); do \
	  listed=$$($(GO) test -list '^Fuzz' $$pkg) || { echo "$$listed"; exit 1; }; \
	  for target in $$(echo "$$listed" | grep '^Fuzz'); do \
	    echo "== $$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg || exit 1; \
	  done; \
	done

BENCHTIME  ?= 1s
FANOUTTIME ?= 86400x
bench: build ## the program and its baseline in one run, about twelve minutes; FANOUTTIME counts frames of 1.39 ms
	@uptime; status=0; bench() { $(GO) test -run '^$$' -timeout 30m -benchmem "$$@" || status=1; }; \
	bench -bench . -benchtime $(BENCHTIME) ./messages/...; \
	bench -bench . -benchtime $(BENCHTIME) ./supervisor; \
	bench -bench '^Benchmark[^F]' -benchtime $(BENCHTIME) ./supervisor/tree; \
	bench -bench Fanout/all-fast -benchtime 3600x ./supervisor/tree; \
	bench -bench Fanout/one-slow -benchtime $(FANOUTTIME) ./supervisor/tree; \
	bench -bench . -benchtime $(BENCHTIME) ./actors/... ./cmd/...; \
	for n in 10 50; do ./$(BINARY) soak load --clients $$n --instruments 3000 --for 30s || status=1; done; \
	for record in "" --no-record; do ./$(BINARY) soak load $$record --for 30s || status=1; done; \
	./$(BINARY) drill open-burst || status=1; \
	uptime; exit $$status

DEBDIR ?= bin
deb: build ## a Debian package in DEBDIR
	sh cmd/kitestring/assets/deb/build.sh $(BINARY) '$(VERSION)' $(DEBDIR)

SOAK_LOAD ?= 10m
SOAK_DAYS ?= 5m
SOAK_PAIR ?= 1h
soak: build ## the heaviest load for SOAK_LOAD, five simulated trading days in SOAK_DAYS, two servers and an edge for SOAK_PAIR
	./$(BINARY) soak load --for $(SOAK_LOAD)
	./$(BINARY) soak days --for $(SOAK_DAYS)
	./$(BINARY) soak pair --for $(SOAK_PAIR)

clean:
	rm -rf bin
