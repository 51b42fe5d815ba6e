# The commands of a working day. Each does its own set-up: Debian packages that are missing, then the build, then the job.

SHELL := /bin/bash
.DEFAULT_GOAL := help

RELEASE_FLAGS := -c release --static-swift-stdlib
# Swift and C sources under version control.
SOURCES := Sources Tests Package.swift

.PHONY: help setup setup-tests build release run test lint format clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: ## Install the Debian packages that the build needs
	@scripts/install-packages build

setup-tests: setup ## Install the programs that the tests talk to
	@scripts/install-packages tests

build: setup ## Debug build
	swift build

release: setup ## Release build, statically linked against the Swift runtime
	swift build $(RELEASE_FLAGS) --product sidecar-proxy

run: release ## Demo: an app, sidecars around it, traffic and its numbers; Ctrl-C ends it
	$$(swift build $(RELEASE_FLAGS) --show-bin-path)/sidecar-proxy demo

test: setup-tests ## All tests, against real programs as well
	SIDECAR_TEST_TOOLS=required swift test

lint: ## Format and shell checks; warnings are errors
	swift format lint --strict --recursive --parallel $(SOURCES)
	scripts/lint-shell

format: ## Format the Swift sources in place
	swift format --in-place --recursive --parallel $(SOURCES)

clean: ## Remove what was built
	rm -rf .build
