# Targets for developers. "make" alone lists them.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
GO          ?= go
LINT        := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# How long each fuzz target runs, and how long each benchmark.
FUZZTIME    ?= 2m
BENCHTIME   ?= 1s
# How long make soak runs each test that can go on for any time.
SOAKTIME    ?= 5m
# Where make test keeps the output of every test.
TESTLOG     ?= .cache/test.log
# Two packages at a time suit two cores and the daemons that tests start.
TESTFLAGS   ?= -race -p 2 -timeout 20m

# A last line for testreport where go test failed: its output may end without a failure, if
# it was killed.
FAILED      := printf '{"Action":"fail","Package":"go test"}\n'

.DEFAULT_GOAL := help
.PHONY: help build quick test setup vet lint fmt fuzz bench e2e soak

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

build: ## build the static binary ./virtcast
	CGO_ENABLED=0 $(GO) build -trimpath -o virtcast ./cmd/virtcast

setup: ## install what the tests need (Debian; needs root only where something is missing)
	@e2e/setup.sh

vet:
	$(GO) vet ./...

# go test -short leaves out the tests that start a server, or take long; the report counts
# them in one line. More packages than cores run at a time, since many tests wait.
quick: ## the unit tests only: no server, no daemon, no race detector; under a minute
	@mkdir -p .cache
	@{ $(GO) test -json -short -p 4 -timeout 2m ./... || $(FAILED); } | $(GO) run ./e2e/testreport -log .cache/quick.log

# The scenarios in ./e2e drive a virtcast in a process of its own and a real NATS: the race
# detector would watch the test only. They run without it, after the rest, alone on the machine.
test: setup vet ## all that must pass: vet, tests with the race detector, static build; reports each package as it ends
	CGO_ENABLED=0 $(GO) build ./...
	@mkdir -p .cache
	@units=$$($(GO) list ./... | grep -v '/e2e$$'); \
	scenarios=$$($(GO) list ./... | grep '/e2e$$' || true); \
	{ \
		$(GO) test -json $(TESTFLAGS) $$units || $(FAILED); \
		if [[ -n $$scenarios ]]; then $(GO) test -json -count=1 -timeout 20m $$scenarios || $(FAILED); fi; \
	} | $(GO) run ./e2e/testreport -log $(TESTLOG)

lint: ## golangci-lint, strict (compiles the linter on first use)
	$(GO) run $(LINT) run

fmt: ## format the code as lint wants it
	$(GO) run $(LINT) fmt

fuzz: vet ## every fuzz target, one after another, for FUZZTIME each
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "== $$package $$target ($(FUZZTIME))"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

bench: ## every benchmark, for BENCHTIME each, with allocations
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -p 1 -timeout 60m ./...

e2e: setup ## only the black-box tests against real hypervisors and a real NATS
	$(GO) test -count=1 -v -timeout 15m ./e2e/...

soak: setup ## the tests of what goes wrong, for SOAKTIME each, one after another
	VIRTCAST_SOAK=$(SOAKTIME) VIRTCAST_CRASH_KILLS=250 $(GO) test -count=1 -v -p 1 -timeout 2h \
		-run '^(TestCluster|TestBrokerOutage|TestKill)$$' ./e2e ./internal/service
