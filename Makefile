# Two commands: `make demo` runs everything, `make test` checks everything. Python 3.11 or newer, pip and make are all they need.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
BENCH ?=
# What is measured is the gateway as people install it: from a compiled wheel, in an environment that borrows all else from $(VENV).
OWN := .bench/own
SOURCES := setup.py pyproject.toml $(shell find serving platform registry_hooks -name '*.py')
PEERS ?=
TESTS ?= tests
SECONDS_FOR_TESTS ?= 4200
# Test files run side by side in so many processes: most of the time of the long ones is waiting.
SIDE_BY_SIDE ?= 2

export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONPATH PYTHONHOME

.PHONY: help demo watch test lint wheel configuration constraints bench bench-report bench-peers clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 15

demo: $(VENV)/.installed-demo ## Install, start MLflow, the gateway and the controller, train models, show how to call them; ARGS="--gateway-port 9000 ..."
	$(BIN)/stagedoor up --demo $(ARGS)

watch: $(VENV)/.installed-demo ## While the demo runs, in another terminal: a bad version is promoted, and rolled back before your eyes
	$(BIN)/stagedoor demo $(ARGS)

test: lint ## Every check and every test; TESTS=tests/unit for some
	@echo "== pytest"
	$(BIN)/python -m pytest $(TESTS) -n $(SIDE_BY_SIDE) --dist loadfile --no-loadscope-reorder --session-timeout=$(SECONDS_FOR_TESTS)

lint: $(VENV)/.installed-dev ## Format, lint, types, import contracts, dependencies
	@echo "== ruff format"; $(BIN)/ruff format --check .
	@echo "== ruff check"; $(BIN)/ruff check .
	@echo "== mypy"; $(BIN)/mypy
	@echo "== import contracts"; $(BIN)/lint-imports --no-cache
	@echo "== deptry"; $(BIN)/deptry .

wheel: $(VENV)/.installed-demo ## Build a wheel in dist/ whose hot path is compiled to C, a minute: pip install dist/stagedoor-*.whl (needs a C compiler)
	rm -rf build dist
	STAGEDOOR_COMPILE=1 $(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

configuration: $(VENV)/.installed-demo ## Write docs/configuration.md anew
	env -i PATH="$$PATH" $(BIN)/stagedoor config --markdown > docs/configuration.md

constraints: $(VENV)/.installed-dev ## Write the installed versions to constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9_.-]+==[^ ]+$$' | LC_ALL=C sort -f > constraints.txt.new
	mv constraints.txt.new constraints.txt

bench: $(OWN)/.installed ## Measure the gateway beside its neighbours, about 25 minutes, and write docs/benchmarks.md; BENCH="--only mlp --merge" for a part, BENCH=--help for more
	$(OWN)/bin/python tests/benchmarks/bench $(BENCH)

bench-report: $(VENV)/.installed-dev ## Write docs/benchmarks.md and its plot anew from docs/benchmarks.json
	$(BIN)/python tests/benchmarks/bench --report

bench-peers: $(VENV)/.installed-dev ## Install what the gateway is measured beside, each into an environment of its own (5 GB in .bench); PEERS="triton ray" for some
	$(BIN)/python tests/benchmarks/peers $(PEERS)

clean: ## Remove the virtual environment, caches and builds; the state folder .stagedoor stays
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Stagedoor needs Python 3.11 or newer; this is $$($(PYTHON) --version). Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "== creating $(VENV) with $$($(PYTHON) --version)"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "== installing (a few minutes the first time)"
	$(BIN)/python -m pip install -c constraints.txt -e ".[demo]"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "== installing, with what the checks need (a few minutes the first time)"
	$(BIN)/python -m pip install -c constraints.txt -e ".[demo,dev]"
	@touch $@ $(VENV)/.installed-demo

$(OWN)/.installed: $(SOURCES) | $(VENV)/.installed-dev
	$(MAKE) wheel
	rm -rf $(OWN)
	$(BIN)/python -m venv --without-pip $(OWN)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$($(OWN)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/borrowed.pth"
	$(BIN)/python -m pip --python $(OWN)/bin/python install --quiet --no-deps dist/stagedoor-*.whl
	@touch $@
