SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
ARGS ?=
DATA ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done
NATIVE := native/pyproject.toml $(wildcard native/freshet_native/*.c native/freshet_native/source/*.h)

# Hard links save gigabytes of copies; where cache and .venv are on different disks uv copies by itself.
export UV_LINK_MODE ?= hardlink
export UV_NO_PROGRESS ?= 1
# Images of Python often set it, and then each process compiles torch and all else that it imports again: 3 s of CPU.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test check sanitize bench bench-quality protos kafka constraints clean

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## Create .venv with everything at its tested version
	@:

$(STAMP): pyproject.toml clients/python/pyproject.toml $(NATIVE) constraints.txt deploy/setup.sh
	@deploy/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@

demo: setup  ## Show the whole system at work in two minutes (ARGS="--keep", ARGS="--events FILE --items FILE")
	@$(BIN)/freshet demo $(ARGS)

# Three files at a time, each process with a broker of its own: half of their time tests wait, for a broker, a process or
# a signal, so that two leave cores idle. One thread of each for numbers: those of two processes would take the cores from
# each other, which costs training a quarter more of CPU.
test: export OMP_NUM_THREADS ?= 1
test: setup  ## Run every test, against a real Kafka (ARGS="-k NAME")
	@[ -n "$${FRESHET_TEST_KAFKA:-}" ] || $(BIN)/python -m deploy.kafka.jars
	@$(BIN)/python -m deploy.registry.apicurio
	@$(BIN)/pytest --numprocesses 3 --dist loadfile $(ARGS)

check: setup  ## Check format, lint, types, imports, stubs, contracts, alert rules, chart, changelog
	@$(BIN)/ruff format --check --quiet . || { echo "check: run $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m protos.generate --check
	@deploy/buf/check.sh
	@deploy/asyncapi/check.sh
	@deploy/prometheus/check.sh
	@deploy/helm/check.sh
	@$(BIN)/python deploy/check_changelog.py

sanitize: setup  ## Run the tests of native/ with its memory watched (ARGS="-k NAME")
	@deploy/sanitize.sh "$(VENV)" $(ARGS)

bench: setup  ## Measure (ARGS="--help")
	@$(BIN)/python -m bench $(ARGS)

bench-quality: setup  ## Reproduce the tables of retrieval quality (DATA=FOLDER of logs, ARGS="--logs lastfm_hetrec@80")
	@$(BIN)/python -m bench quality $(if $(DATA),--data $(DATA)) $(ARGS)

protos: setup  ## Generate the stubs from the .proto files
	@$(BIN)/python -m protos.generate

kafka: setup  ## Run a local Apache Kafka with Freshet's topics until Ctrl-C (ARGS="--port N")
	@exec $(BIN)/python -m deploy.kafka $(ARGS)

constraints: setup  ## Pin the newest versions that pyproject.toml allows, with their hashes
	@deploy/constraints.sh "$(BIN)/uv"

clean:  ## Remove everything that was made: .venv, Kafka's jars, tools, caches
	@rm -rf $(VENV) .kafka .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info clients/python/build clients/python/*.egg-info native/build native/*.egg-info native/freshet_native/*.so
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
