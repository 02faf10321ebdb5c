# The README's two commands are `make demo` and `make test`; each sets up all it needs in .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data

.PHONY: demo test check lint types contracts clean weights

demo: $(VENV)/ready
	$(BIN)/isthmus demo

test: $(VENV)/ready
	$(BIN)/pytest

check: lint types contracts test

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy

contracts: $(VENV)/ready
	$(BIN)/lint-imports

# Trains and measures every codec that ships; about an hour and a half on one core, and it goes on after a stop.
weights: $(VENV)/ready
	$(BIN)/isthmus train --point blocks.14 --setting c8-s1 --data $(DATA)/caltech-101 --distil-epochs 15
	$(BIN)/isthmus train --point blocks.10 --setting c16-s2 --data $(DATA)/caltech-101 --distil-epochs 15
	$(BIN)/isthmus train --point blocks.4 --setting c8-s2 --data $(DATA)/caltech-101 --distil-epochs 12
	$(BIN)/isthmus train --point blocks.2 --setting c12-s4 --data $(DATA)/caltech-101 --distil-epochs 12
	$(BIN)/isthmus eval --data $(DATA)/imagenet-1k-cc-by

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build demo bundles runs *.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache
