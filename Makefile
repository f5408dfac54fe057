# make help lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# How much the long tests do: 1 is the full figure, tests run a small part.
SCALE ?= 0.01
# The cargo profile of what `make dist` packs: dist has link-time optimisation and takes minutes.
PROFILE ?= dist
# `make demo REQUESTS=5000` answers only the first so many.
REQUESTS ?=
export SCALE

TARGET := $(CURDIR)/target
# Everything in Rust that tests run, always built in one go: each on its own would have the core built once more, for other
# features of what it depends on.
RUST_BUILD = cargo build --quiet --locked --release -p scrubjay-c -p scrubjay-conformance -p scrubjay-demo-shop \
	-p scrubjay-witness -p scrubjay-crash
# Go does not see that the static library has changed, unless the flags that it is used with do.
WITH_LIBRARY = CGO_CFLAGS="-g -O2 -DSCRUBJAY_LIBRARY=$$(cksum <$(CURDIR)/go/lib/linux_amd64/libscrubjay.a | cut -d' ' -f1)"
PYTHON = $(firstword $(wildcard $(TARGET)/python/clean-*/bin/python))

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

.PHONY: setup
setup: ## check the toolchains, install Debian packages that are missing
	@tests/support/setup.sh

# --- the main job ---

.PHONY: demo-setup
demo-setup:
	@tests/support/setup.sh --demo

.PHONY: demo
demo: demo-setup python node go-library ## four services in four languages answer a shop's requests through one cache
	@$(RUST_BUILD)
	@cd examples/demo/services/go && $(WITH_LIBRARY) go build -o $(TARGET)/demo-shop-go .
	@cd examples/demo/services/node && npm install --no-audit --no-fund --silent
	@mkdir -p examples/demo/services/node/node_modules
	@ln -sfn $(CURDIR)/bindings-node examples/demo/services/node/node_modules/scrubjay
	@$(PYTHON) examples/demo/run.py --rust $(TARGET)/release/scrubjay-demo-shop --go $(TARGET)/demo-shop-go \
		$(if $(REQUESTS),--requests $(REQUESTS))

# --- tests ---

.PHONY: test
test: setup ## build everything, run every test of every language
	@tests/support/steps.sh lint core build c go python node conformance interop proof docs demo dist

.PHONY: test-lint
test-lint: ## formatting and lints of Rust (the other languages check theirs with their tests)
	@cargo fmt --all --check
	@cargo clippy --quiet --workspace --all-targets --locked -- -D warnings
	@echo "1 passed, 0 failed: cargo fmt, clippy"

.PHONY: test-core
test-core: ## the crate: unit, property and model tests, Redis and its failures
	@cargo test --locked --no-fail-fast -p scrubjay
	@cargo test --locked -p scrubjay --lib --features shuttle model_
	@cargo test --locked -p scrubjay-c

.PHONY: soak-memory
soak-memory: ## threads fight over small memory caches [SCALE=1 is 10 minutes, SEED=n]
	@SCALE=$(BENCH_SCALE) cargo test --locked --release -p scrubjay --test memory_soak -- --nocapture

.PHONY: soak-wire
soak-wire: ## callers of every kind while connections, network and processes fail [SCALE=1 is 10^8 operations, SEED=n]
	@SCALE=$(BENCH_SCALE) cargo test --locked --release -p scrubjay --test wire_soak -- --nocapture

# `make fuzz FUZZ="resp codecs"` runs only these.
FUZZ ?=
SECONDS ?= 60

.PHONY: fuzz
fuzz: ## any bytes to what reads those of others; needs nightly [FUZZ="resp codecs", SECONDS=60]
	@core/fuzz/run.sh $(SECONDS) $(FUZZ)

.PHONY: test-memory-sanitized
test-memory-sanitized: ## the memory tier under AddressSanitizer, and under valgrind
	@core/tests/sanitized.sh

.PHONY: test-build
test-build: ## what the other tests need, in the release profile
	@$(RUST_BUILD)

.PHONY: test-c
test-c: ## the C library: an outside program, misuse, fork, AddressSanitizer, examples
	@$(RUST_BUILD)
	@SCRUBJAY_LIB_DIR=$(TARGET)/release bindings-c/tests/run.sh

.PHONY: test-go
test-go: go-library ## the Go module: gofmt, vet, tests under the race detector
	@cd go && test -z "$$(gofmt -l . ../tests/conformance/runners/go ../tests/proof/keys/go ../tests/proof/crash/workers/go ../tests/proof/witness/workers/go ../examples/demo/services/go | tee /dev/stderr)"
	@cd go && $(WITH_LIBRARY) go vet ./...
	@cd go && $(WITH_LIBRARY) go test -race -timeout 600s ./...

.PHONY: test-python
test-python: ## the wheel in a clean environment: ruff, mypy, stubtest, pytest
	@bindings-python/tools/test.sh

.PHONY: test-node
test-node: bindings-node/node_modules/.package-lock.json ## the package: eslint, tsc, node --test
	@cd bindings-node && npm test --silent

.PHONY: test-conformance conformance
test-conformance: conformance
conformance: runners ## the corpus in every language, in memory and on a real Redis
	@python3 tests/conformance/run.py

.PHONY: test-interop interop
test-interop: interop
interop: runners ## every language writes, every language reads and deletes
	@python3 tests/interop/run.py

# What is proven by many runs, not by one: each target writes target/proof/<name>.json.
.PHONY: test-proof
test-proof: ## the proofs at a small scale
	@$(MAKE) interleave crash-update fleet test-keys SCALE=$(SCALE)
	@$(MAKE) witness SCALE=$(SCALE) SEED=1 FAULTS='$(WITNESS_SHORT)'
	@$(MAKE) crash SCALE=$(SCALE) SEED=1

.PHONY: test-broken
test-broken: python ## deliberately broken builds are found out by the proofs
	@cargo build --quiet --locked -p scrubjay-python
	@rm -rf $(TARGET)/broken && mkdir -p $(TARGET)/broken
	@cp -r bindings-python/python/scrubjay $(TARGET)/broken/scrubjay
	@cp $(TARGET)/debug/lib_scrubjay.so $(TARGET)/broken/scrubjay/_scrubjay.abi3.so
	@PYTHONPATH=$(TARGET)/broken $(PYTHON) tests/proof/broken.py

.PHONY: test-keys
test-keys: python node go-library ## keys of random arguments: no two meet, and all languages make the same [SCALE=1 is 1,000,000, SEED=n]
	@$(RUST_BUILD)
	@cd tests/proof/keys/go && $(WITH_LIBRARY) go build -o $(TARGET)/keys-go .
	@SCALE=$(BENCH_SCALE) $(PYTHON) tests/proof/keys

.PHONY: fleet
fleet: runners python ## a cold key, 250 callers in a process of each language: one load [SCALE=1 is 200 rounds]
	@SCALE=$(BENCH_SCALE) python3 tests/proof/fleet.py

.PHONY: interleave
interleave: python ## random schedules of readers and writers in several processes leave no stale value [SCALE=1 is 100,000, SEED=n]
	@SCALE=$(BENCH_SCALE) $(PYTHON) tests/proof/interleave.py

.PHONY: crash-update
crash-update: python ## writers killed between commit and invalidation leave no old value [SCALE=1 is 1,000 kills, SEED=n]
	@SCALE=$(BENCH_SCALE) $(PYTHON) tests/proof/crash_update.py

# `make crash CRASHES="journal disk-full"` plays only these.
CRASHES ?=
export CRASHES

.PHONY: crash
crash: setup python node go-library ## workers killed, disks that fail, a slow source: what is left of acknowledged writes [SCALE=1 is 1,000 kills a level, SEED=n]
	@$(RUST_BUILD)
	@mkdir -p $(TARGET)/crash
	@cd tests/proof/crash/workers/go && $(WITH_LIBRARY) go build -o $(TARGET)/crash/go .
	@gcc -O2 -Wall -Wextra -shared -fPIC -o $(TARGET)/crash/disk_fault.so tests/support/disk_fault.c
	@SCALE=$(BENCH_SCALE) $(PYTHON) tests/proof/crash

# `make witness FAULTS="kill freeze-1s"` plays only these.
FAULTS ?=
# What `make test` plays: no fault, some of the server, the network, the data and the clients, and the controls.
WITNESS_SHORT = none kill freeze-1s hole-both kill-pubsub flushall freeze-client control-ttl-only control-old-copy

.PHONY: witness
witness: witness-workers ## what workers in four languages read, against the truth, while things fail [SCALE=1 is 10^6 reads and 10^5 a fault, SEED=n, FAULTS="kill clock"]
	@SCALE=$(BENCH_SCALE) $(PYTHON) tests/proof/witness $(FAULTS)

.PHONY: witness-workers
witness-workers: go-library python node
	@$(RUST_BUILD)
	@mkdir -p $(TARGET)/witness
	@cd tests/proof/witness/workers/go && $(WITH_LIBRARY) go build -o $(TARGET)/witness/go .
	@gcc -O2 -Wall -Wextra -shared -fPIC -o $(TARGET)/witness/clock_shift.so tests/support/clock_shift.c

.PHONY: test-docs
test-docs: runners ## the snippets of the README, run
	@python3 tests/docs/run.py

.PHONY: test-demo
test-demo: ## the demo on the first requests
	@$(MAKE) demo REQUESTS=8000
	@echo "1 passed, 0 failed: the demo"

.PHONY: test-dist
test-dist: ## what is packed, installed as its users do; without link-time optimisation
	@$(MAKE) dist PROFILE=release
	@tests/dist/run.sh

.PHONY: test-benches
test-benches: ## the benchmark programs: readers, the optimum, tiny runs of all
	@benches/test.sh

# --- benchmarks ---

# Benchmarks do the full work unless SCALE is given.
BENCH_SCALE = $(if $(filter file,$(origin SCALE)),1,$(SCALE))
BENCH_CARGO = cargo build --quiet --locked --release --manifest-path benches/Cargo.toml --target-dir $(BENCH_TARGET)
BENCH_TARGET = $(or $(CARGO_TARGET_DIR),$(TARGET))
# `make hitratio TRACE=<file>` or TRACES=<folder>; without either the synthetic set, with SYNTHETIC=all or
# SYNTHETIC=drift,loop (say) that too.
TRACE ?=
TRACES ?=
SYNTHETIC ?=
# Sizes in % of the footprint, the format if it is not to be guessed, replays at a time, repeats of what is random.
SIZES ?= 0.1%,1%,10%
FORMAT ?=
JOBS ?=
REPEATS ?=

.PHONY: hitratio
hitratio: ## hit ratios on TRACE=<file>, TRACES=<folder> or synthetic requests, ours and others' [SIZES=0.1%,1%,10%]
	@$(BENCH_CARGO) -p scrubjay-bench-hitratio
	@SCALE=$(BENCH_SCALE) $(BENCH_TARGET)/release/scrubjay-bench-hitratio --out $(TARGET)/bench --sizes '$(SIZES)' \
		$(if $(FORMAT),--format '$(FORMAT)') $(if $(JOBS),--jobs $(JOBS)) $(if $(REPEATS),--repeats $(REPEATS)) \
		$(if $(TRACES),--folder '$(TRACES)') $(if $(SYNTHETIC),--synthetic '$(SYNTHETIC)') $(if $(TRACE),'$(TRACE)')

# `make bench-memory LANGS="rust go"` measures only these.
LANGS ?= rust python node go

.PHONY: bench-memory
bench-memory: ## speed and bytes of the memory tier and its peers in each language [LANGS="rust go"]
	@for language in $(LANGS); do echo "=== $$language"; SCALE=$(BENCH_SCALE) benches/memory/$$language/run.sh; done
	@python3 benches/report.py memory $(TARGET)/bench

# `make bench-seam SEAMS=node` measures only these.
SEAMS ?= rust python node go

.PHONY: bench-seam
bench-seam: ## reads and writes of Redis through the seam, beside each language's clients [SEAMS="rust go"]
	@SCALE=$(BENCH_SCALE) benches/seam/run.sh $(SEAMS)

# `make bench-coherence COHERENCE=node` measures only this.
COHERENCE ?= rust python node go

.PHONY: bench-coherence
bench-coherence: ## hits in memory with Redis and without, and calls while Redis is stopped or killed [COHERENCE="rust go"]
	@SCALE=$(BENCH_SCALE) benches/coherence/run.sh $(COHERENCE)

# --- what they need ---

.PHONY: python
python: ## the wheel, installed under target/python
	@bindings-python/tools/install.sh

.PHONY: node
node: bindings-node/node_modules/.package-lock.json ## the addon
	@cd bindings-node && npm run --silent build

bindings-node/node_modules/.package-lock.json: bindings-node/package-lock.json
	@cd bindings-node && npm ci --no-audit --no-fund --silent
	@touch $@

.PHONY: go-library
go-library: ## the static library and the header, where the Go module finds them
	@$(RUST_BUILD)
	@SCRUBJAY_LIB=$(TARGET)/release/libscrubjay.a go/tools/lib.sh release

.PHONY: runners
runners: go-library
	@$(RUST_BUILD)
	@mkdir -p $(TARGET)/conformance
	@cd tests/conformance/runners/go && $(WITH_LIBRARY) go build -o $(TARGET)/conformance/go .
	@$(MAKE) -s -C tests/conformance/runners/c OUT=$(TARGET)/conformance/c LIB_DIR=$(TARGET)/release

.PHONY: header
header: ## write scrubjay.h anew from the Rust sources
	@SCRUBJAY_WRITE_HEADER=1 cargo test --quiet -p scrubjay-c
	@cp bindings-c/include/scrubjay.h go/scrubjay.h

.PHONY: dist
dist: bindings-node/node_modules/.package-lock.json ## what each user installs, into dist/
	@tests/support/dist.sh $(PROFILE)

.PHONY: clean
clean: ## remove what was built
	@rm -rf target dist bindings-node/node_modules bindings-node/*.node go/lib/linux_amd64/*.a
