# All that CI does, as targets. Needs Python 3.11 or later and make; everything else goes into .venv.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := autoscaler bench consumer deploy producer scripts shared tests

# Tests, faults and the demo start hundreds of processes: without bytecode each one compiles the fleet again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types docs faults soak load format bench lock clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: .venv/local ## fill the gaps of real recordings on this machine and compare the result with the reference
	@$(BIN)/python scripts/demo.py

# Three at a time on two cores: tests with processes of their own wait for them a seventh of the time.
test: .venv/dev ## run all tests
	$(BIN)/python -m pytest -n 3 --dist worksteal

check: lint types docs ## all checks that come before the tests

lint: .venv/dev ## check style, spelling, import rules, the template, and the host's scripts, container and services
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/cfn-lint deploy/template.yaml
	$(BIN)/shellcheck .ci/run deploy/host/*.sh deploy/host/libexec/* scripts/*.sh
	$(BIN)/hadolint deploy/host/Dockerfile
	scripts/verify_units.sh

types: .venv/dev ## check types
	$(BIN)/mypy

docs: .venv/dev ## build the documentation into build/docs; a broken link fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "build/docs/index.html"

faults: .venv/dev ## break everything that can break and show that nothing is lost; then fuzz all parsers (under 20 minutes)
	$(BIN)/python -m tests.faults --json build/faults/faults.json

soak: .venv/dev ## half an hour of random faults under random load; replayable from the seed it prints
	$(BIN)/python -m tests.faults.soak --minutes 30 --json build/soak/soak.json

load: .venv/dev ## ten thousand jobs through four workers, with faults
	$(BIN)/python -m tests.faults.load --jobs 10000 --workers 4 --json build/load/load.json

format: .venv/dev ## bring the sources into shape
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: .venv/dev ## measure; prints a table and writes build/bench/bench.json
	$(BIN)/python -m bench

# Universal: one file for every Python from 3.11 on. Without index addresses: they belong to the machine.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url --no-annotate
lock: .venv/dev ## renew the pinned requirements
	$(LOCK) --upgrade pyproject.toml --extra dev -o requirements/dev.txt
	$(LOCK) pyproject.toml --extra local -c requirements/dev.txt -o requirements/local.txt
	$(LOCK) requirements/lambda.in -c requirements/dev.txt -o requirements/lambda.txt
	$(LOCK) pyproject.toml --extra gpu -c requirements/dev.txt -o requirements/gpu.txt

clean: ## remove what the other targets made
	rm -rf .venv build dist demo-recordings .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scribefleet needs Python 3.11 or later")'
	@echo "making .venv"
	@$(PYTHON) -m venv .venv

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
.venv/local: .venv/bin/python requirements/local.txt pyproject.toml
	@echo "installing what the local fleet needs into .venv"
	@$(PIP) -r requirements/local.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev: .venv/local requirements/dev.txt
	@echo "installing what tests and checks need into .venv"
	@$(PIP) -r requirements/dev.txt
	@touch $@
