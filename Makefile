# Two commands for a newcomer: `make demo` and `make test`. Both set up .venv first and are quick when nothing changed.
SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
READY := $(VENV)/.ready
OUT   ?= out

# One thread per process: hoiray goes parallel by actors, and oversubscribed cores were measured four times slower.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test test-slow lint types layers check format schemas bench clean
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt scripts/setup_env.sh
	@scripts/setup_env.sh $(VENV)
	@touch $@

demo: $(READY)  ## run what exists so far, end to end, into out/
	@$(BIN)/hoiray doctor
	@$(BIN)/hoiray hand --out $(OUT)/hand.png

test: $(READY)  ## the test suite
	@$(BIN)/pytest -m "not slow"

test-slow: $(READY)  ## the slower proofs (rebuild of the hand from its sources, and so on)
	@$(BIN)/pytest -m slow --timeout 1800

lint: $(READY)  ## formatting and lint
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(READY)  ## static types
	@$(BIN)/mypy

layers: $(READY)  ## which package may import which
	@$(BIN)/lint-imports

check: lint types layers test  ## everything that must hold before a change lands

format: $(READY)  ## put the code into the house's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

schemas: $(READY)  ## write schemas/*.json from hoiray/schema
	@$(BIN)/python scripts/write_schemas.py

bench: $(READY)  ## the benchmarks
	@$(BIN)/python jobs/benchmark.py hand --out $(OUT)/benchmark

clean:  ## remove what was made, the environment included
	rm -rf $(VENV) $(OUT) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
