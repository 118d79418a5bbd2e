# Weir's commands. `make run` and `make test` set up all they need; both are safe to repeat.
#
# CARGO_TARGET_DIR moves everything that is built (default: ./target). ARGS goes to the program:
# `make run ARGS="--config other.toml"`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help tools sdk-tools policies build run test lint bench bench-policies hostile clean

# Absolute, because policies/build.sh, the gateway's build script and the tests all look there.
export CARGO_TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
CARGO ?= cargo
ARGS ?=

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

tools:
	@command -v $(CARGO) >/dev/null || { echo "make: cargo is missing. Install Rust: https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "make: a C compiler is missing (SQLite and the cryptography are C). On Debian: apt-get install gcc libc6-dev" >&2; exit 1; }

# What policies in other languages are built with. Says what this machine cannot get; the tests then skip that.
sdk-tools:
	@echo "== sdk-tools: what the SDKs of Go, JavaScript, Python and C are tested with"
	@guest-sdk/tools.sh || true

policies: tools ## Build the policies to WebAssembly
	@echo "== policies: to WebAssembly, in $(CARGO_TARGET_DIR)/policies"
	@policies/build.sh

build: policies ## Build the program, with the policies inside it
	@echo "== build: the program, in $(CARGO_TARGET_DIR)/release/weir (some minutes the first time)"
	@$(CARGO) build --locked --release -p weir-gateway --bin weir

run: build ## Build and start the gateway
	@echo "== run: weir serve $(ARGS)"
	@exec "$(CARGO_TARGET_DIR)/release/weir" serve $(ARGS)

# The program is built together with the tests, so that both share one build of every library; the
# tests that kill a gateway find it in WEIR_BIN.
test: policies sdk-tools ## Build and run every test
	@echo "== examples: those in other languages, to WebAssembly"
	@examples/build.sh
	@echo "== test: build the program and the tests (some minutes the first time)"
	@$(CARGO) build --locked --workspace --lib --bins --examples --tests
	@echo "== test: run"
	@WEIR_BIN="$(CARGO_TARGET_DIR)/debug/weir" $(CARGO) test --locked --workspace

lint: policies ## Check the format, and clippy without a warning
	@$(CARGO) fmt --version >/dev/null 2>&1 && $(CARGO) clippy --version >/dev/null 2>&1 \
		|| { echo "make: rustup component add rustfmt clippy" >&2; exit 1; }
	@echo "== lint: format"
	@$(CARGO) fmt --all --check
	@echo "== lint: clippy"
	@$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

bench: build ## Measure: each policy's hooks, then the whole gateway beside nginx
	@echo "== bench: policies"
	@$(CARGO) bench --locked --workspace --bench '*'
	@python3 tests/bench/overheads.py --criterion "$(CARGO_TARGET_DIR)/criterion"
	@echo "== bench: the whole gateway"
	@tests/bench/run.sh

bench-policies: build ## Measure: 10,000 swaps under load, and 200 tenants with a policy each (ten minutes)
	@python3 tests/bench/policies.py swaps --weir "$${WEIR_BIN:-$(CARGO_TARGET_DIR)/release/weir}" --sieve "$(CARGO_TARGET_DIR)/policies/testing-sieve.wasm" $(ARGS)
	@python3 tests/bench/policies.py tenants --weir "$${WEIR_BIN:-$(CARGO_TARGET_DIR)/release/weir}" --sieve "$(CARGO_TARGET_DIR)/policies/testing-sieve.wasm"

hostile: build ## Show what hostile policies do to other tenants' calls, with the release build
	@echo "== hostile: the table is printed at the end, and kept in $(CARGO_TARGET_DIR)/hostile.md"
	@$(CARGO) test --locked -p weir-tests --test it --no-run
	@HOSTILE_CALLS="$${HOSTILE_CALLS:-300}" WEIR_BIN="$(CARGO_TARGET_DIR)/release/weir" $(CARGO) test --locked -p weir-tests --test it -- \
		hostile::suite hostile::bombs::what --nocapture --test-threads 1

clean: ## Remove everything that was built
	@echo "== clean: $(CARGO_TARGET_DIR)"
	@rm -rf "$(CARGO_TARGET_DIR)/policies" "$(CARGO_TARGET_DIR)/examples" "$(CARGO_TARGET_DIR)"/wasm-*
	@$(CARGO) clean --quiet
