# What a developer and a CI job do, a target each. Needs Python 3.11 or later and make; the rest is installed beside it,
# into one virtual environment per interpreter: `make test PYTHON=python3.13`.

PYTHON ?= python3
VENV := .venv/$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo none)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SEED := $(or $(SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d " "))
LOCK := uv pip compile --universal --no-strip-extras --generate-hashes --no-header --no-annotate --quiet pyproject.toml

# Stamps: what is installed is as new as what asks for it.
PROGRAM := $(VENV)/.program
TOOLS := $(VENV)/.tools

.DEFAULT_GOAL := help
.PHONY: help setup check fix test soak bench demo run migrate lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(TOOLS) ## install the program and its tools into .venv/<version of PYTHON>

check: $(TOOLS) ## judge style, types, architecture, dependencies, spelling and the container files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/codespell
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.gitlab-ci .gitlab-ci.yml

fix: $(TOOLS) ## mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test: $(TOOLS) ## run the tests and measure branch coverage; PostgreSQL and Redis are brought along where wheels exist
	$(BIN)/pytest --numprocesses auto --cov --cov-report=term

soak: $(TOOLS) ## live through a simulated week, then look for counterexamples longer than the tests do; SEED=n does it again
	@echo 'the seed is $(SEED)'
	WEEK_SEED=$(SEED) $(BIN)/pytest --capture=no -p no:randomly app/tests/week/soak.py
	HYPOTHESIS_PROFILE=soak $(BIN)/pytest --numprocesses auto --timeout 7200 --hypothesis-seed $(SEED) -p no:randomly \
		app/tests/core app/tests/test_loader_model.py

bench: $(TOOLS) ## measure what docs/performance.md tells and write it there; FULL=1 adds workers, crashes, fifty million candles
	$(BIN)/python -m app.bench.ingest $(if $(FULL),--full)
	$(BIN)/python -m app.bench.breadth
	$(BIN)/python -m app.bench.serve
	$(BIN)/python -m app.bench.fresh
	$(BIN)/python -m app.bench.export
	$(BIN)/python -m app.bench.resample
	$(BIN)/python -m app.bench.start
	$(BIN)/python -m app.bench.grow $(if $(FULL),--full)
ifdef FULL
	$(BIN)/python -m app.bench.many
	$(BIN)/python -m app.bench.workers
	$(BIN)/python -m app.bench.killed --full
endif

demo: $(PROGRAM) ## show the whole way against a simulated exchange; STAY=1 leaves it serving
	@trap : INT; $(BIN)/python -m app.io.cli demo $(if $(STAY),--stay) || [ $$? -eq 130 ] # Ctrl-C is how it ends

run: $(PROGRAM) ## serve candles of the real exchange, as .env says
	@trap : INT; $(BIN)/python -m app.io.cli serve || [ $$? -eq 130 ]

migrate: $(PROGRAM) ## bring the tables of the database named in .env up to date
	$(BIN)/python -m app.io.cli migrate

lock: $(TOOLS) ## pin again what pyproject.toml asks for; UPGRADE=1 takes the newest of everything
	$(BIN)/$(LOCK) $(if $(UPGRADE),--upgrade) --output-file requirements.txt
	$(BIN)/$(LOCK) $(if $(UPGRADE),--upgrade) --extra arrow --output-file requirements-arrow.txt
	$(BIN)/$(LOCK) $(if $(UPGRADE),--upgrade) --extra arrow --extra dev --output-file requirements-dev.txt

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("$(PYTHON) is Python %d.%d, this needs 3.11 or later: make $(MAKECMDGOALS) PYTHON=python3.13" % sys.version_info[:2])'
	$(PYTHON) -m venv --clear $(VENV)

$(PROGRAM): requirements.txt | $(BIN)/pip
	$(PIP) --require-hashes --requirement requirements.txt
	@touch $@

$(TOOLS): requirements-dev.txt pyproject.toml | $(BIN)/pip
	$(PIP) --require-hashes --requirement requirements-dev.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $(PROGRAM) $@
