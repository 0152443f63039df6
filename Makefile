# `make` alone does everything CI does. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := all
.NOTPARALLEL:
.DELETE_ON_ERROR:

GOLANGCI_VERSION := v2.15.0
BUF_VERSION      := 1.75.0

PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
FUZZTIME  ?= 30s
BENCH     ?= .
TORTURE   ?= 1000
VERSION   ?= $(shell git describe --tags --exact-match --match 'v*' 2>/dev/null)

LDFLAGS  := -s -w $(if $(VERSION),-X ctxhub/cli.Version=$(VERSION))
GO_BUILD := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'

# The version is part of the name, so that a new one is a new file.
GOLANGCI := bin/golangci-lint-$(GOLANGCI_VERSION)

# Built from source, buf takes minutes the first time; from npm, seconds. It is never a dependency of
# go.mod: it needs a protobuf that the generators do not.
BUF = $(shell if command -v npx >/dev/null; \
	then echo npx --yes @bufbuild/buf@$(BUF_VERSION); \
	else echo go run github.com/bufbuild/buf/cmd/buf@v$(BUF_VERSION); fi)

.PHONY: all
all: lint test cross ## Everything CI does (the default)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make \033[1m%-10s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/ctx for this machine
	$(GO_BUILD) -o bin/ ./cli/ctx

.PHONY: test
test: deps ## Run all tests under the race detector (first installs nginx, chromium, … if it may)
	@.ci/test

.PHONY: deps
deps: ## Install what the tests use and this machine lacks: nginx, chromium, curl, a C compiler, …
	@.ci/deps

.PHONY: lint
lint: lint-go lint-proto ## Check formatting, code, module files, protos and generated code

.PHONY: lint-go
lint-go: $(GOLANGCI)
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt -w:" $$unformatted >&2; exit 1; }
	go mod tidy -diff
	@# Three systems, since each hides the others' files. The flags are those of cross, which then finds its packages built.
	set -e; for os in linux darwin windows; do GOOS=$$os CGO_ENABLED=0 go vet -trimpath ./...; done
	$(GOLANGCI) run ./...

.PHONY: lint-proto
lint-proto:
	$(BUF) lint
	$(BUF) format --diff --exit-code
	@.ci/breaking $(BUF)
	@.ci/drift $(BUF)

.PHONY: generate
generate: ## Write gen/ anew from proto/
	$(BUF) generate

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (30s)
	@go test -list '^Fuzz' ./... | awk '/^Fuzz/ { names[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, names[i]; n = 0 }' | \
	while read -r package name; do \
		echo "== $$package $$name"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null; \
	done

.PHONY: torture
torture: deps ## Kill hubs and readers, and cut the power, TORTURE (1000) times each
	CTX_TORTURE=$(TORTURE) .ci/test -count 1 -timeout 3h -v -run 'Killed|PowerLoss|CopyOfTheDisk' ./cli

.PHONY: bench
bench: ## Run the benchmarks that match BENCH (all), without the race detector
	go test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 60m ./...

.PHONY: cross
cross: ## Build dist/ctx_* for linux, darwin and windows on amd64 and arm64
	@set -e; for platform in $(PLATFORMS); do \
		os=$${platform%/*} arch=$${platform#*/} suffix=; \
		if [ $$os = windows ]; then suffix=.exe; fi; \
		echo "dist/ctx_$${os}_$$arch$$suffix"; \
		GOOS=$$os GOARCH=$$arch $(GO_BUILD) -o "dist/ctx_$${os}_$$arch$$suffix" ./cli/ctx; \
	done

.PHONY: tools
tools: $(GOLANGCI) ## Build the pinned linter into bin/

.PHONY: clean
clean: ## Remove bin/ and dist/
	rm -rf bin dist

$(GOLANGCI):
	@echo "building golangci-lint $(GOLANGCI_VERSION); some minutes, once"
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv bin/golangci-lint $@
