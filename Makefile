# cliplease: `make demo` shows the whole job, `make run` starts a relay to click through, `make test`
# proves it. Each of them first sets up what is missing.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The version of Go that go.mod names, whatever is installed.
export GOTOOLCHAIN := $(shell deploy/setup/toolchain.sh)

VERSION := $(or $(shell git describe --tags --always --dirty 2>/dev/null),unknown)
SETUP   := deploy/setup
ENV     := $(SETUP)/env.sh
PHASE   := $(SETUP)/phase.sh

# STORE chooses where `make demo` keeps objects: dir (a folder) or minio (a real MinIO server).
STORE ?= dir
# VULNDB is the vulnerability database of `make vuln`, as a URL, instead of the newest one.
VULNDB ?=
# GOTEST adds to every go test, for example: make test GOTEST='-run Revoke'
GOTEST ?=

# Packages whose tests run under the race detector: those in which goroutines or requests meet.
# The others spend their time in child processes or in arithmetic, and would only become slow; the
# worker's children are its own test binary, which the detector would slow down threefold.
RACED := cliplease/(relay|storage|source|server|templates)(/|$$)
# End-to-end and browser tests drive the built binary, one package at a time: they measure time.
DRIVEN := cliplease/test(/|$$)
# SQLite is C translated to Go, with locks of its own that the race detector cannot see; watching its
# every memory access would make these tests three times as slow and could find nothing of ours.
UNWATCHED := -gcflags='modernc.org/sqlite/lib=-race=false'

.PHONY: help
help: ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: setup
setup: ## Install what building and running takes
	@$(SETUP)/packages.sh product

.PHONY: setup-test
setup-test: ## Install and build what the tests take, too: Chromium, PostgreSQL, MinIO, linters
	@$(SETUP)/packages.sh test
	@test/browser/install.sh
	@for tool in gotestsum golangci-lint minio; do $(SETUP)/tool.sh $$tool >/dev/null; done

.PHONY: build
build: models ## Build bin/cliplease, with its models in bin/models
	@go build -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/ ./cmd/...

.PHONY: models
models: setup
	@[ -d bin/models ] || echo "setup: fetching and checking the detectors' models, which is done once" >&2
	@deploy/models/install.sh bin/models >/dev/null

.PHONY: footage
footage: setup ## Fetch the photographs of which the footage of demo and tests is made
	@deploy/footage/install.sh bin/footage

.PHONY: demo
demo: build footage ## Run the whole job by itself and leave its pictures in demo-out (STORE=minio: on MinIO)
	@$(if $(filter minio,$(STORE)),CLIPLEASE_TEST_MINIO=$$($(SETUP)/tool.sh minio)) \
		bin/cliplease demo --out demo-out --store $(STORE)

.PHONY: run
run: build footage ## Start a relay with a sample home and one pending request, to click through
	@bin/cliplease demo --serve

.PHONY: check
check: ## Formatting, vet, linters, shell scripts, import directions
	@$(SETUP)/packages.sh test
	@unformatted=$$(gofmt -l $$(go list -e -f '{{.Dir}}/*.go' ./...)); \
		[ -z "$$unformatted" ] || { echo "not formatted, run gofmt -w on: $$unformatted" >&2; exit 1; }
	@shellcheck .ci/run $(wildcard deploy/*/*.sh test/*/*.sh)
	@$$($(SETUP)/tool.sh golangci-lint) run ./...
	@go test ./test/tree

.PHONY: test
test: ## Set up, check, and run every test
	@$(PHASE) "set up" $(MAKE) setup-test
	@$(PHASE) "build" $(MAKE) build footage
	@failed=; \
	$(PHASE) "check" $(MAKE) check || failed+=" check"; \
	$(PHASE) "tests with the race detector" $(MAKE) test-raced || failed+=" test-raced"; \
	$(PHASE) "other tests" $(MAKE) test-rest || failed+=" test-rest"; \
	$(PHASE) "end-to-end and browser tests" $(MAKE) test-driven || failed+=" test-driven"; \
	$(SETUP)/count-tests.sh bin/test-*.json || failed+=" counts"; \
	[ -z "$$failed" ] || { echo "FAILED:$$failed (make each alone to see no more than that)" >&2; exit 1; }

# go-test NAME, FLAGS, PACKAGES: tests under gotestsum, recorded in bin/test-NAME.json.
define go-test
@mkdir -p bin && rm -f bin/test-$(1).json
@all=$$(go list ./...); packages=$$(grep -E $(3) <<<"$$all" || true); [ -z "$$packages" ] || \
	$(ENV) $$($(SETUP)/tool.sh gotestsum) --format pkgname --format-hide-empty-pkg \
		--jsonfile bin/test-$(1).json -- -count=1 -timeout 30m $(2) $(GOTEST) $$packages
endef

.PHONY: test-raced test-rest test-driven
test-raced:
	$(call go-test,raced,-race $(UNWATCHED),'^$(RACED)')
test-rest:
	$(call go-test,rest,,-v '^($(RACED)|$(DRIVEN))')
test-driven:
	$(call go-test,driven,-p 1,'^$(DRIVEN)')

.PHONY: bench
bench: build footage ## Run the benchmarks
	@$(SETUP)/packages.sh test
	@$(ENV) go test -run '^$$' -bench . -timeout 60m ./bench/...

.PHONY: kills
kills: build footage ## Kill a relay under load a hundred times (make test does it 25 times)
	@$(SETUP)/packages.sh test
	@CLIPLEASE_TEST_KILLS=100 $(ENV) go test -count=1 -v -run RandomKills -timeout 30m ./test/fault

.PHONY: screenshots
screenshots: build footage ## Render every page in every state into docs/screenshots
	@$(SETUP)/packages.sh test
	@test/browser/install.sh
	@CLIPLEASE_SCREENSHOTS=$(CURDIR)/docs/screenshots $(ENV) go test -count=1 -v -run Screenshots ./test/...

.PHONY: vuln
vuln: ## Look for known vulnerabilities (VULNDB=file:///path: in a database kept there)
	@$(SETUP)/vuln.sh $(VULNDB)

.PHONY: clean
clean: ## Remove what was built here
	@rm -rf bin demo-out
