# The commands of a working day. Each does its own set-up: Debian packages that are missing, then the build, then the job.

SHELL := /bin/bash
.DEFAULT_GOAL := help

RELEASE_FLAGS := -c release --static-swift-stdlib
# The tests that run the real binary.
OUTSIDE := LoopbackTests|MeshTests|PodTests
# One after the other: hundreds of processes at once on two cores would test the machine's patience.
TEST_OUTSIDE := swift test --skip-build --no-parallel --filter '$(OUTSIDE)'
# The simulation, optimised: some ten times as many seeds in the same time. A build of its own, since tests need internals.
SIM_TEST := swift test -c release -Xswiftc -enable-testing --scratch-path .build-sim --disable-xctest
SEEDS := 2000
FIRST := 0
# The tests once more, optimised, instrumented, and linked with libFuzzer: the toolchain has it without a main() of its own.
FUZZ_BUILD := .build-fuzz
FUZZER = $(shell swiftc -print-target-info | sed -n 's/.*"runtimeResourcePath": "\(.*\)".*/\1/p')/clang/lib/linux/libclang_rt.fuzzer_no_main-$(shell uname -m).a
FUZZ_FLAGS = -c release --scratch-path $(FUZZ_BUILD) --sanitize=address --disable-xctest -Xswiftc -enable-testing \
  -Xswiftc -sanitize-coverage=edge,trace-cmp,inline-8bit-counters,pc-table \
  -Xlinker --whole-archive -Xlinker $(FUZZER) -Xlinker --no-whole-archive -Xlinker -lstdc++
TARGETS := client-hello configuration endpoints handshakes principals records worker
SECONDS := 60
# Programs for the tests that Debian doesn't have.
TOOLS := $(CURDIR)/.build/tools
export PATH := $(TOOLS):$(PATH)
# Swift and C sources under version control.
SOURCES := Sources Tests Package.swift Benchmarks/Package.swift Benchmarks/load Benchmarks/micro

# Every target that has a description.
.PHONY: $(shell awk -F: '/^[a-z-]+:.*[#][#]/ {print $$1}' $(firstword $(MAKEFILE_LIST)))

help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: ## Install the Debian packages that the build needs
	@scripts/install-packages build

setup-tests: setup ## Install the programs that the tests talk to
	@scripts/install-packages tests
	@scripts/install-envoy $(TOOLS)
	@scripts/install-kubernetes-tools $(TOOLS)
	@scripts/install-tlslite $(TOOLS)

build: setup ## Debug build
	swift build

release: setup ## Release build, statically linked against the Swift runtime
	swift build $(RELEASE_FLAGS) --product sidecar-proxy

image: release ## The OCI image localhost/sidecar-proxy:dev, with the binary on Debian 13's libraries
	@scripts/install-packages image
	scripts/build-image $$(swift build $(RELEASE_FLAGS) --show-bin-path)/sidecar-proxy

run: release ## Demo: an app, sidecars around it, traffic and its numbers; Ctrl-C ends it
	$$(swift build $(RELEASE_FLAGS) --show-bin-path)/sidecar-proxy demo

test: setup-tests ## All tests, against real programs as well, and those from outside on both engines
	SIDECAR_TEST_TOOLS=required swift test --skip '$(OUTSIDE)'
	SIDECAR_TEST_TOOLS=required SIDECAR_ENGINE=io_uring $(TEST_OUTSIDE)
	SIDECAR_TEST_TOOLS=required SIDECAR_ENGINE=epoll $(TEST_OUTSIDE)

e2e: image ## Real containers in real pods, with a real Prometheus: about four minutes; SCENARIO=test_mesh runs one
	@scripts/install-packages pods
	Tests/e2e/run $(SCENARIO)

sim: setup ## The simulation: SEEDS=2000 runs that many from FIRST=0 on; SEED=n replays one, with TRACE=1 step by step
ifdef SEED
	SIM_SEED=$(SEED) SIM_TRACE=$(TRACE) $(SIM_TEST) --filter SimulationTests/replay
else
	SIM_SEEDS=$(SEEDS) SIM_FIRST=$(FIRST) $(SIM_TEST) --filter SimulationTests
endif

fuzz: setup ## Each fuzz target for SECONDS=60; TARGETS="configuration worker" runs some of them
	swift build --build-tests $(FUZZ_FLAGS)
	scripts/fuzz $(FUZZ_BUILD) run $(SECONDS) $(TARGETS)

fuzz-corpora: setup ## Add what the fuzzers have found to the corpora in the repository, as few inputs as cover it
	swift build --build-tests $(FUZZ_FLAGS)
	scripts/fuzz $(FUZZ_BUILD) merge $(TARGETS)

asan: setup-tests ## All tests under AddressSanitizer, leaks included; ONLY=TLSTests runs some
	SIDECAR_TEST_TOOLS=required scripts/sanitized address $(if $(ONLY),--filter '$(ONLY)',all)

asan-quick: setup-tests ## The same with few of those that run the real binary, as CI does
	SIDECAR_TEST_TOOLS=required scripts/sanitized address quick

tsan: setup-tests ## All tests under ThreadSanitizer; ONLY=TLSTests runs some
	SIDECAR_TEST_TOOLS=required scripts/sanitized thread $(if $(ONLY),--filter '$(ONLY)',all)

setup-bench: setup ## Install the proxies and tools that the benchmark measures with
	@scripts/install-packages bench
	@scripts/install-envoy $(TOOLS)

bench: setup-bench ## Benchmark against HAProxy, nginx and Envoy: about ten minutes
	Benchmarks/load/bench

bench-quick: setup-bench ## The most telling rows of it: about two minutes
	Benchmarks/load/bench --quick

bench-smoke: setup-bench ## Whether the benchmark itself works: a moment of it, whose figures mean nothing, and its tests
	Benchmarks/load/bench --work '*/pingpong-64x64' --work clear/bulk-1-up --work '*/connect' --work clear/rate-4000 \
	  --rounds 1 --seconds 0.5 --tls-root host --results out/bench/smoke.json
	cd Benchmarks/load && python3 -B -m unittest discover --top-level-directory . --start-directory tests

bench-page: ## Show the last benchmark's results in docs/performance.md; EARLIER="FILE …": beside those of other runs
	SIDECAR_BENCH_BUILD=no Benchmarks/load/bench --page $(if $(EARLIER),--compare $(EARLIER))

bench-micro: setup ## The hot path piece by piece: time, and counts that CI holds to their thresholds
	@scripts/install-packages micro
	Benchmarks/micro/bench run

bench-idle: release ## What an idle sidecar costs: memory, time to ready
	Benchmarks/memory/run.sh

check-deploy: setup-tests ## Manifests, rules and dashboard: rendered, validated and held to their promises
	deploy/check.sh

setup-lint: ## Install the linters
	@scripts/install-linters $(TOOLS)

lint: setup-lint ## Format, scripts, Containerfiles and links; warnings are errors
	swift format lint --strict --recursive --parallel $(SOURCES)
	scripts/lint-scripts
	scripts/lint-links

format: ## Format the Swift sources in place
	swift format --in-place --recursive --parallel $(SOURCES)

clean: ## Remove what was built
	rm -rf .build .build-asan .build-fuzz .build-sim .build-tsan Benchmarks/.build Benchmarks/.build-micro
