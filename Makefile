# `make` shows what there is. Everything is installed by these targets; nothing needs root but Debian packages for `make test`.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export CGO_ENABLED := 0

TOOLS := $(CURDIR)/.tools/bin
ENGINE := analytics/engine/node_modules/.package-lock.json
FONT := signing/typeface/node_modules/.package-lock.json
PKG ?= ./...
GENERATORS := $(addprefix $(TOOLS)/,buf protoc-gen-go protoc-gen-go-grpc protoc-gen-grpc-gateway protoc-gen-openapiv3 openapiv3-merge)
PROTOS := $(wildcard proto/*/v1/*.proto)

.PHONY: help
help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

.PHONY: run
run: build ## Start everything embedded with the sample county, and stay up (Ctrl-C drains).
	@./bin/onewindow demo --data ./data

.PHONY: test
test: build $(TOOLS)/gotestsum ## Run all tests, with real PostgreSQL, MariaDB, Kafka and OpenSSH where they can be installed. PKG=./connectors/... narrows.
	@.tools/with-services .tools/test $(PKG)

.PHONY: check
check: gen-check tidy-check lint ## Generated code, modules, formatting and linters.

.PHONY: build
build: $(ENGINE) $(FONT) ## Build bin/onewindow.
	@go build -trimpath -o bin/onewindow ./exchange/cmd/onewindow

$(ENGINE) $(FONT): %/node_modules/.package-lock.json: %/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or newer, or set ONEWINDOW_LIBCHDB to a libchdb.so and run: go build -o bin/onewindow ./exchange/cmd/onewindow" >&2; exit 1; }
	@echo "fetching the packages of $* with npm (once; the engine has 540 MB)" >&2
	@cd $* && npm ci --silent
	@touch $@

.PHONY: gen
gen: $(GENERATORS) ## Generate Go, gateway and OpenAPI from proto/.
	@cd proto && PATH="$(TOOLS):$$PATH" buf lint && PATH="$(TOOLS):$$PATH" buf generate
	@cd proto && "$(TOOLS)/openapiv3-merge" exchange/v1/exchange.openapi.json $(patsubst proto/%.proto,%.openapi.json,$(filter-out proto/exchange/%,$(PROTOS))) > onewindow.openapi.json
	@# A bytes field is a JSON document on REST, except HttpBody's and those that say they are Base64.
	@cd proto && perl -0pi -e 's/"type": "string",\s*"format": "byte"(?!,\s*"description": "(?:The HTTP|Base64))/"type": "object"/g' onewindow.openapi.json

.PHONY: gen-check
gen-check: gen
	@git diff --exit-code --stat -- proto || { echo "generated code differs: run make gen and commit" >&2; exit 1; }

.PHONY: tidy-check
tidy-check:
	@go mod tidy -diff || { echo "go.mod is not tidy: run go mod tidy" >&2; exit 1; }

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## Lint and formatting.
	@"$(TOOLS)/golangci-lint" run ./...

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint ## Format.
	@"$(TOOLS)/golangci-lint" fmt ./...

.PHONY: vuln
vuln: $(TOOLS)/govulncheck ## Known vulnerabilities (needs the vulnerability database over the network).
	@"$(TOOLS)/govulncheck" ./...

.PHONY: drill-kill
drill-kill: build ## kill -9 the hub at 20 random points of the load and compare the counts.
	@./bin/onewindow drill --rounds 20

.PHONY: drill-rotation
drill-rotation: build ## Rotate the licence key under load; destroy the old one under dual control.
	@./bin/onewindow drill-rotation

.PHONY: drill-connectors
drill-connectors: build ## Change a department's table while the hub is killed 30 times, with PostgreSQL and MariaDB; compare every key.
	@.tools/with-services bash -c 'for url in "$$ONEWINDOW_TEST_POSTGRES" "$$ONEWINDOW_TEST_MARIADB"; do ./bin/onewindow drill-connectors --database "$$url" || exit; done'

.PHONY: bench-connectors
bench-connectors: build ## Print the figures of the connectors, with PostgreSQL and MariaDB.
	@.tools/with-services bash -c 'for url in "$$ONEWINDOW_TEST_POSTGRES" "$$ONEWINDOW_TEST_MARIADB"; do ./bin/onewindow bench connectors --database "$$url" || exit; done'

.PHONY: bench
bench: build ## Print the figures of the README.
	@./bin/onewindow bench

.PHONY: clean
clean: ## Remove what was built, not ./data.
	@rm -rf bin .tools/bin .tools/kafka/target .tools/interop/target .tools/interop/node_modules .tools/interop/venv analytics/engine/node_modules signing/typeface/node_modules

# The tools are pinned in .tools/go.mod; each is built once, when a target needs it.
$(TOOLS)/%: .tools/go.mod
	@echo "building $*" >&2
	@go build -C .tools -o bin/ $$(awk '/\/$*$$/ {print $$1; exit}' .tools/go.mod)
	@touch $@
