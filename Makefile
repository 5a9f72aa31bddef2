# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets. Everything a target needs it installs itself: a fresh Debian 12 machine with make, git
# and this checkout is enough.

SHELL      := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS  += --no-print-directory

ARCHES     ?= amd64,ppc64
SERIES     ?= kauditd-wakeup
ARGS       ?=

# scripts/deps puts a Go that is new enough first in PATH, and says which.
export PATH := $(CURDIR)/.cache/go/bin:/usr/local/go/bin:$(PATH)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | sort | \
	  while IFS=$$'\t' read -r t d; do printf '  %-12s %s\n' "$$t" "$$d"; done

.PHONY: deps
deps: ## install the Debian packages and the Go release that are missing
	@scripts/deps

.PHONY: deps-test
deps-test: ## install what the tests need besides
	@scripts/deps test

.PHONY: build
build: deps ## build bin/series
	@go build -trimpath -o bin/series ./cmd/series

.PHONY: run
run: build ## the main job: kauditd-wakeup from its patches to a measured thread (ARGS= adds flags)
	@bin/series run $(SERIES) --arch $(ARCHES) $(ARGS)

.PHONY: unit
unit: deps-test ## unit, golden, fuzz-seed and fake-QEMU tests: no root, no network, no kernel
	@go test ./...

.PHONY: test
test: deps-test lint ## all tests, guest tests included, with the race detector on the unit tier
	@scripts/test

.PHONY: lint
lint: deps ## gofmt, vet, staticcheck, import rules, licences
	@scripts/lint

.PHONY: bench
bench: deps-test build ## measure the tool itself and print the figures with how to repeat them
	@scripts/bench

.PHONY: long
long: deps-test build ## what takes too long for CI: killed builds, other configurations, ppc64le (about 30 min)
	@scripts/long

.PHONY: soak
soak: deps-test build ## audit's probes come and go 10,000 times under load, on debug kernels; goes on where it was (hours; ARGS="100 amd64")
	@scripts/soak $(ARGS)

.PHONY: soak-task-diag
soak-task-diag: deps-test build ## 10 million random requests to task_diag on its KASAN kernel; goes on where it was (ARGS="REQUESTS FILE ARCH")
	@scripts/soak-task-diag $(ARGS)

.PHONY: soak-task-watchers
soak-task-watchers: deps-test build ## a module with task watchers comes and goes 1,000 times under a fork storm, on the KASAN kernel (ARGS="TIMES ARCH CONFIG")
	@scripts/soak-task-watchers $(ARGS)

.PHONY: trinity
trinity: deps-test build ## 10 min of random system calls on the tip of task-watchers, by Debian's trinity (ARGS="DURATION CONFIG")
	@scripts/trinity $(ARGS)

.PHONY: mutants
mutants: deps-test build ## break a series in known ways and see that its tests notice (about 20 min; ARGS=task-diag)
	@scripts/mutants $(ARGS)

.PHONY: fuzz
fuzz: deps ## run each fuzz target for FUZZTIME (default 30s)
	@scripts/fuzz $${FUZZTIME:-30s}

.PHONY: presubmit
presubmit: test ## what CI runs; ends with a clean tree
	@git diff --exit-code && test -z "$$(git status --porcelain)"

.PHONY: clean
clean: ## remove bin/ (the work folder is `series clean`'s)
	@rm -rf bin
