# What one does in this repository, a word each. All of it needs Go; `make compat` also Python, Node.js and Java with
# Maven. Everything that is fetched or built lands in bin/, in .cache/, or where Go and the clients keep their caches.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c

GO       ?= go
ARGS     ?=
BENCH    ?= .
FUZZTIME ?= 20s

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.1.4

TOOLS   := $(CURDIR)/.cache/bin
MODULES := $(dir $(wildcard go.mod compat-tests/*/go.mod))

# The race detector needs a C compiler, the release does not: Go says whether it has found one.
RACE = $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)

.PHONY: build run test sim sim-cluster cluster cluster-test torture deadletters disk bench-disk bench-memory bench-pages race tidy vet lint vulncheck bench fuzz compat compat-cluster compat-containers compat-reference generate clean

## build: the release binary, static, in bin/warren
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/warren

## run: a broker on 127.0.0.1:5672; ARGS="--ephemeral" and the like are handed on
run: build
	bin/warren $(ARGS)

## test: what every change has to pass. Whole clusters are tested behind everything else: they share one machine as it is
test: vet tidy
	@$(if $(RACE),,echo "no C compiler found: testing without the race detector")
	$(GO) test $(RACE) -timeout 20m $$($(GO) list ./... | grep -v /cmd/warren$$)
	$(GO) test $(RACE) -timeout 20m ./cmd/warren

## sim: 20,000 crashes of the durable log on a disk that loses what was not synced; SEED=N for others
SEED ?= 1
sim:
	$(GO) test -run 'TestCrashes' -v -count=1 -timeout 60m ./cluster/raftlog -args -crashes 20000 -seed $(SEED)

## sim-cluster: 1,000 seeds of three nodes that crash, hang, are cut off and replaced; SEED=N for others
sim-cluster:
	$(GO) test -run 'TestSimulation' -v -count=1 -timeout 60m ./cluster/raftlog -args -simulations 1000 -simulation $(SEED)

## torture: a broker that is killed 100 times while it is published to and consumed from
torture:
	$(GO) test -run 'TestTorture' -v -count=1 -timeout 60m ./cmd/warren -args -cycles 100

## deadletters: 4,000,000 dead letters in chains of three queues, of a broker that is killed five times
deadletters:
	$(GO) test -run 'TestDeadLetters' -v -count=1 -timeout 120m ./cmd/warren -args -letters 1000000

## cluster: three nodes on loopback, with etcd embedded, in cluster-data
cluster: build
	deploy/cluster

## cluster-test: three nodes that are killed and stopped 50 times, and every fault of a network, 10 s each, while they are published to and consumed from
cluster-test:
	$(GO) test -run 'TestClusterUnderFaults|TestClusterOverANetwork' -v -count=1 -timeout 60m ./cmd/warren -args -faults 50 -rounds 3 -lasting 10s

## disk: 20 GB through a store that holds 1 GB: what lies on the disk stays near what is alive
disk:
	$(GO) test -run 'TestDiskUse' -v -count=1 -timeout 60m ./cluster/raftlog -args -through 20000000000 -holds 1000000000

## bench-disk: how long a confirm takes beside an fdatasync on the same disk, and what a message costs the disk
bench-disk:
	$(GO) test -run 'TestConfirmsAndTheDisk' -v -count=1 -timeout 60m ./cmd/warren -args -confirms 20000

## bench-memory: 10 million messages in 1,000 queues, published and consumed with a budget of 256 MiB
bench-memory:
	$(GO) test -run 'TestABudgetHolds' -v -count=1 -timeout 60m ./cmd/warren -args -backlog 10000 -spread 1000

## bench-pages: pages of the list of 100,000 queues while messages flow, and what asking for them costs publishers
bench-pages:
	$(GO) test -run 'TestPagesOfManyQueues' -v -count=1 -timeout 60m ./cmd/warren -args -queues 100000 -page-rounds 20 -page-round 5s -page-every 100ms

## race: the tests anew, with the race detector or not at all
race:
	CGO_ENABLED=1 $(GO) test -race -count=1 ./...

vet:
	@for module in $(MODULES); do echo "go vet in $$module"; (cd $$module && $(GO) vet ./...); done

## tidy: the rules of this repository (see cmd/tidy)
tidy:
	$(GO) run ./cmd/tidy

## lint: staticcheck and requirements of every module, and known vulnerabilities
lint: $(TOOLS)/staticcheck vulncheck
	@for module in $(MODULES); do \
		echo "staticcheck in $$module"; (cd $$module && $(TOOLS)/staticcheck ./... && $(GO) mod tidy -diff); \
	done

# The database of vulnerabilities is on the network. Where it cannot be had, say so and go on: that is no finding.
vulncheck: $(TOOLS)/govulncheck
	@code=0; output=$$($(TOOLS)/govulncheck ./... 2>&1) || code=$$?; echo "$$output"; \
	case "$$code $$output" in \
		0*) ;; \
		*"fetching vulnerabilities"*) echo "vulncheck: NOT CHECKED, the database cannot be reached from here" ;; \
		*) exit $$code ;; \
	esac

# Built again when the versions above change.
$(TOOLS)/staticcheck: Makefile
	GOBIN=$(TOOLS) $(GO) install $(STATICCHECK)
	@touch $@

$(TOOLS)/govulncheck: Makefile
	GOBIN=$(TOOLS) $(GO) install $(GOVULNCHECK)
	@touch $@

## bench: all benchmarks; BENCH=Publish for some
bench:
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

## fuzz: every fuzz target in turn for FUZZTIME
fuzz:
	@$(GO) test -list '^Fuzz' ./... | awk '/^Fuzz/ { targets = targets " " $$1 } \
		/^ok/ { n = split(targets, t, " "); for (i = 1; i <= n; i++) print $$2, t[i]; targets = "" }' | \
	while read -r package target; do \
		echo "$$package $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"; \
	done

## compat-containers: the testcontainers modules of Go, Java, Node.js and Python with Warren's image; needs a Docker daemon
compat-containers:
	compat-tests/containers/run

## compat: unchanged RabbitMQ clients against Warren
compat: build
	compat-tests/run

## compat-cluster: the same against a node of a cluster that holds no queues: all it serves is on others
compat-cluster: build
	compat-tests/run --cluster

## compat-reference: the same against a real RabbitMQ, to show that the tests are right
compat-reference:
	compat-tests/reference

## generate: the files that are made from tables
generate:
	$(GO) generate ./...

clean:
	rm -rf bin .cache compat-tests/.clients
