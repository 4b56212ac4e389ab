# Commands of the project. Each sets up what is missing and is quick when nothing changed.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
DIR ?= notebooks
# Two workers: most tests wait for a process of their own to start.
TESTS := $(BIN)/pytest -n 2 --dist loadfile
POSTGRESQL := .ci/debian "/usr/lib/postgresql/*/bin/initdb" postgresql
# Fonts make the pictures readable.
CHROMIUM := .ci/debian /usr/bin/chromium chromium fonts-dejavu-core
# The scripts in package.json call jlpm and jupyter-builder themselves, so both must be found.
JLPM := cd labextension && PATH="$(CURDIR)/$(BIN):$$PATH" jlpm

LABEXT_SOURCES := $(shell find labextension/src labextension/style labextension/schema -type f 2>/dev/null) \
	labextension/package.json labextension/tsconfig.json labextension/yarn.lock

.PHONY: help setup demo lab test test-fast test-all test-python test-typescript test-browser lint lint-python lint-typescript format bench lock clean
.NOTPARALLEL:

help: ## show the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

setup: $(STAMPS)/package $(STAMPS)/bytecode ## prepare .venv and the built lab extension

$(STAMPS)/python: .ci/requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)
	@# uv installs the lock in seconds where pip takes minutes; the lock's hashes guard both.
	@$(BIN)/python -c "import uv" 2>/dev/null || $(BIN)/python -m pip install --quiet --require-hashes -r <(sed -n '/^uv==/,/[^\\]$$/p' $<)
	@# Compiled now, as pip does: where PYTHONDONTWRITEBYTECODE is set, every kernel would compile what it imports anew.
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode $<
	@rm -f $(STAMPS)/package
	@touch $@

$(STAMPS)/npm: $(STAMPS)/python labextension/package.json labextension/yarn.lock
	YARN_PREFER_AGGREGATE_CACHE_INFO=true YARN_ENABLE_PROGRESS_BARS=false; export YARN_PREFER_AGGREGATE_CACHE_INFO YARN_ENABLE_PROGRESS_BARS; \
	$(JLPM) install --immutable
	@touch $@

$(STAMPS)/labextension: $(STAMPS)/npm $(LABEXT_SOURCES)
	$(JLPM) build:prod
	@touch $@

$(STAMPS)/package: $(STAMPS)/labextension pyproject.toml $(shell find mlops_workbench/etc -type f 2>/dev/null)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --link-mode copy --editable .
	@touch $@

$(STAMPS)/bytecode: $(STAMPS)/package $(shell find mlops_workbench -name '*.py')
	@$(BIN)/python -m compileall -q mlops_workbench
	@touch $@

demo: setup ## run the main job end to end on real flights (KEEP=1 leaves the endpoint up)
	@$(BIN)/python notebooks/demo.py $(if $(KEEP),--keep)

lab: setup ## open JupyterLab on notebooks/ (DIR=folder for another)
	$(BIN)/jupyter lab --notebook-dir=$(DIR) $(ARGS)

test: setup ## run every check and test that a change must pass
	@$(POSTGRESQL)
	@$(CHROMIUM)
	@# The checks of the two languages beside each other: each is busy with one core.
	@$(MAKE) --no-print-directory lint-typescript test-typescript & typescript=$$!; \
	$(MAKE) --no-print-directory lint-python; python=$$?; wait $$typescript && exit $$python
	@# Together, since a browser waits half of the time.
	$(TESTS) -m "not long" $(ARGS)

test-fast: setup ## run the tests that need no kernel, server or browser, in two minutes
	$(TESTS) -m "not browser and not process and not long" $(ARGS)
	$(JLPM) test

test-all: test ## also long series, suites and clients of peers, and other versions of the dependencies (half an hour)
	.ci/environments

test-python: setup
	@$(POSTGRESQL)
	$(TESTS) -m "not browser and not long" $(ARGS)

test-typescript: setup
	$(JLPM) test

test-browser: setup
	@$(CHROMIUM)
	$(BIN)/pytest -m browser $(ARGS)

lint: lint-python lint-typescript ## ruff, mypy, import-linter, eslint, prettier

lint-python: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lint-typescript: setup
	$(JLPM) lint:check

format: setup ## apply the fixes of ruff, eslint and prettier
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(JLPM) lint

bench: setup ## run a benchmark beside the peers (NAME=serving)
	@test -n "$(NAME)" || { echo "which one? make bench NAME=..."; ls tests/benchmarks/bench_*.py | sed 's/.*bench_\(.*\).py/  \1/'; exit 2; }
	@$(BIN)/python tests/benchmarks/bench_$(NAME).py $(ARGS)

lock: ## resolve the dependencies anew into .ci/requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra examples --extra onnx --extra postgres --extra sweep --extra text \
		--universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--quiet --upgrade --output-file .ci/requirements.lock

clean: ## remove what was built
	rm -rf build dist mlops_workbench/labextension labextension/lib labextension/node_modules $(VENV)
