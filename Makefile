# `make` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Releases of the last week are not used: most faults of a release are found in its first days. Move the date, then run
# `make lock`.
LOCK_BEFORE := 2026-11-14T00:00:00Z
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --exclude-newer $(LOCK_BEFORE) \
	--generate-hashes --no-emit-index-url --no-header
LOCKS := requirements.lock requirements-dev.lock requirements-setup.lock
INPUT_requirements := pyproject.toml
INPUT_requirements-dev := pyproject.toml --extra dev
INPUT_requirements-setup := --group pyproject.toml:setup
FRESH := build/locks
CHECKS := check-tests check-types check-locks check-style check-layers
# Outputs of two jobs are not mixed, if make supports that.
OUTPUT_SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

.PHONY: help setup demo test check simulate controls completeness chaos bench bench-peers fix lock clean $(CHECKS)

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name meaning; do \
		printf 'make %-8s %s\n' "$$name" "$$meaning"; done

setup: $(STAMP) ## Install the locked packages into .venv, and the command .venv/bin/sluice. PYTHON=... is its interpreter.

demo: setup ## Start everything, sync simulated organisations, compare rows. REPORT=FILE keeps the figures.
	$(BIN)/sluice demo $(if $(REPORT),--report '$(REPORT)')

test: setup ## Run all tests, those on real Kafka and PostgreSQL too (they are started by the tests).
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: setup ## Check locks, style, types and layers, and run the fast tests: under a minute. Shows all problems.
	@$(MAKE) --no-print-directory --keep-going --jobs=2 $(OUTPUT_SYNC) $(CHECKS)

simulate: setup ## Run SEEDS (1000) random histories of the whole engine in one process; SEED is the first.
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),1000) --seed $(or $(SEED),1)

controls: setup ## Chaos with one protection taken out, three times: each must be caught. About three minutes.
	$(BIN)/python -m pytest -m long tests/acceptance/test_chaos.py

completeness: setup ## Sync sources that move while they are read: RUNS (13) at 1 move a second, FAST_RUNS (5) at 50, of each kind.
	$(BIN)/python -m tests.completeness --runs $(or $(RUNS),13) --fast-runs $(or $(FAST_RUNS),5) --seed $(or $(SEED),1) \
		$(if $(REPORT),--report '$(REPORT)')

chaos: setup ## Inject faults for MINUTES (2) by SEED (1), BROKERS (1 or 3), then check everything. REPORT=FILE keeps the figures.
	$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --minutes $(or $(MINUTES),2) --brokers $(or $(BROKERS),1) \
		$(if $(REPORT),--report '$(REPORT)')

bench: setup ## Measure speed, recovery and scale; ONLY='NAME ...' selects some. ROUNDS (4), REPORT=FILE keeps the figures.
	$(BIN)/python -m tests.bench --rounds $(or $(ROUNDS),4) $(if $(REPORT),--report '$(REPORT)') $(ONLY)

bench-peers: setup ## Measure Restate and DBOS as well, if build/peers has them; else print how to install them.
	$(BIN)/python -m tests.bench --rounds $(or $(ROUNDS),4) $(if $(REPORT),--report '$(REPORT)') peers

fix: setup ## Format, fix what the linter can fix, and write the generated pages and schemas anew.
	$(BIN)/python -m service.reference
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

lock: $(LOCKS:%=lock-%) ## Resolve the dependencies of pyproject.toml anew, with hashes.

lock-%.lock: setup
	$(COMPILE) --upgrade $(INPUT_$*) --output-file $*.lock

clean: ## Remove .venv, caches and build output. Keeps .sluice, which holds data.
	rm -rf $(VENV) build dist .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A lock is up to date if resolving again, from its own pins, changes nothing. The cache that setup has filled is mostly
# enough for that; if not, uv reads the package index.
check-locks: $(LOCKS:%=check-%)

check-%.lock: setup
	@mkdir -p $(FRESH); cp $*.lock $(FRESH)
	@$(COMPILE) --offline $(INPUT_$*) --output-file $(FRESH)/$*.lock 2>/dev/null \
		|| $(COMPILE) $(INPUT_$*) --output-file $(FRESH)/$*.lock \
		|| { echo 'cannot check $*.lock: uv reaches no package index, see its error above' >&2; exit 1; }
	@cmp -s $*.lock $(FRESH)/$*.lock || { diff $*.lock $(FRESH)/$*.lock | grep '^[<>] [a-z0-9]'; \
		echo '$*.lock does not fit pyproject.toml: run make lock' >&2; exit 1; }
	@echo '$*.lock is up to date'

check-style: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check

check-types: setup
	$(BIN)/python -m mypy

check-layers: setup
	$(BIN)/lint-imports --no-logo

check-tests: setup
	$(BIN)/python -m coverage run -m pytest tests/unit tests/engine
	$(BIN)/python -m coverage report

# The interpreter; then uv, checked by its hashes; then all other packages, checked by theirs; then the command.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo '$(PYTHON) is not Python 3.11 or newer: make setup PYTHON=python3.11 (or newer)' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(STAMP): requirements-setup.lock requirements-dev.lock Makefile | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-setup.lock
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.lock
	@printf '#!/bin/sh\n%s\n' "PYTHONPATH='$(CURDIR)' PYTHONSAFEPATH=1 exec '$(CURDIR)/$(BIN)/python' -m service \"\$$@\"" \
		> $(BIN)/sluice
	@chmod +x $(BIN)/sluice
	@touch $@
