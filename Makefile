# Two commands for a newcomer: `make demo` and `make test`. Both set up .venv first and are quick when nothing changed.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
VENV  := .venv
BIN   := $(VENV)/bin
READY := $(VENV)/.ready
OUT   ?= out

# One thread per process: hoiray goes parallel by actors, and oversubscribed cores were measured four times slower.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test test-slow test-lerobot lint types layers check format schemas bench chaos clean
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt scripts/setup_env.sh
	@scripts/setup_env.sh $(VENV)
	@touch $@

SOURCES := $(shell find hoiray -name '*.py' -o -name '*.npz')

demo: $(OUT)/doctor.txt $(OUT)/hand.png $(OUT)/lab.png  ## the whole loop on a synthetic world, into out/; again, it goes on
	@$(BIN)/hoiray demo --out $(OUT)/demo
	@echo "demo: look at $(OUT)/demo/demo.html, $(OUT)/hand.png and $(OUT)/lab.png"

$(OUT)/doctor.txt: $(READY)
	@mkdir -p $(OUT)
	@$(BIN)/hoiray doctor | tee $@.partial && mv $@.partial $@

$(OUT)/hand.png: $(READY) $(SOURCES)
	@$(BIN)/hoiray hand --out $@

# The twin of HO-3D, small: made, read back as the real data set would be, and drawn with its annotations.
$(OUT)/lab.png: $(READY) $(SOURCES)
	@$(BIN)/hoiray synth lab --out $(OUT)/lab --size tiny --resume
	@$(BIN)/hoiray inspect $(OUT)/lab --out $@

# Modules are dealt out whole to so many processes; those that start a Ray cluster all go to one (tests/conftest.py).
TEST_PROCESSES ?= 2

test: $(READY)  ## the test suite
	@$(BIN)/pytest -m "not slow" -n $(TEST_PROCESSES) --dist loadscope --no-loadscope-reorder

test-slow: $(READY)  ## the slower proofs (rebuild of the hand from its sources, and so on)
	@$(BIN)/pytest -m slow --timeout 1800

test-lerobot: $(READY)  ## exports read by LeRobot, whose pins clash with ours: in an environment of its own, made anew
	@$(BIN)/pytest -m slow --timeout 1800 tests/export/test_lerobot.py

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

BENCH ?= --out $(OUT)/benchmark

bench: $(READY)  ## the table of speeds, some 20 minutes on two idle cores; BENCH="--force --parts judge" for some of it
	@$(BIN)/python jobs/benchmark.py all $(BENCH)

CHAOS ?= --rounds 50 --seed 1 --max-minutes 90

chaos: $(READY)  ## kill labellings 50 times on a cluster of several nodes; CHAOS="--kinds node --rounds 5" for other rounds
	@PYTHONPATH=tests $(BIN)/python -m chaos $(CHAOS) --out results/reliability.json

clean:  ## remove what was made, the environment included
	rm -rf $(VENV) $(OUT) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
