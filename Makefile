# The README's two commands are `make demo` and `make test`; each sets up all it needs in .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data

.PHONY: demo test check lint types contracts clean weights rivals

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

# Fits and measures every codec that ships: half an hour on two cores, most of it for blocks.2.
TRAIN = $(BIN)/isthmus train --data $(DATA)/caltech-101
weights: $(VENV)/ready
	$(TRAIN) --point blocks.13 --setting k64-s1-b500 --views 6
	$(TRAIN) --point blocks.9 --setting k56-s1-b1720 --views 6
	$(TRAIN) --point blocks.4 --setting k80-s2-b3180 --views 6
	$(TRAIN) --codec bottlenet --reconstruct-epochs 2 --point blocks.2 --setting c12-s4 --distil-epochs 8 --views 2 --clip 1 --learning-rate 2e-3
	$(BIN)/isthmus bundle build --measure $(DATA)/imagenet-1k-cc-by

# Trains BottleNet's codec, to compare with: about an hour on two cores; after a stop it goes on where it was.
RIVAL = $(TRAIN) --codec bottlenet --out cluster/codecs/rivals --reconstruct-epochs 2
rivals: $(VENV)/ready
	$(RIVAL) --point blocks.14 --setting c48-s1 --distil-epochs 26 --views 4
	$(RIVAL) --point blocks.10 --setting c48-s2 --distil-epochs 18 --views 3
	$(RIVAL) --point blocks.4 --setting c24-s2 --distil-epochs 8 --views 2

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build demo bundles runs *.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache
