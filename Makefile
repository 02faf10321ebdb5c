# The README's two commands are `make demo` and `make test`; each sets up all it needs in .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data

.PHONY: demo test check lint types contracts k8s k8s-serve-config k8s-monitoring images clean weights rivals

demo: $(VENV)/ready
	$(BIN)/isthmus demo

# What needs no quiet runs on all cores, one thread each; then the service tests, each of which has the machine for itself.
UNHURRIED := tests/service/test_images.py tests/service/test_training_tasks.py tests/unit tests/fuzz
test: $(VENV)/ready
	OMP_NUM_THREADS=1 $(BIN)/pytest $(UNHURRIED) --numprocesses auto --dist loadfile --no-loadscope-reorder
	$(BIN)/pytest tests/service $(UNHURRIED:%=--ignore=%)

check: $(VENV)/ready
	$(MAKE) --jobs 2 lint types contracts k8s
	$(MAKE) test

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy

contracts: $(VENV)/ready
	$(BIN)/lint-imports

# Renders every overlay with kubectl and checks every object; no cluster is asked.
k8s: $(VENV)/ready
	$(BIN)/isthmus manifests check

# Makes each overlay's patch of its cluster.yaml anew; a test says when that is due.
BUNDLE := bundles/efficientnet-lite0
k8s-serve-config: $(BUNDLE)
	for overlay in $(dir $(wildcard k8s/overlays/*/cluster.yaml)); do $(BIN)/isthmus serve-config $$overlay/cluster.yaml --bundle-at $(BUNDLE) \
		--patch isthmus --out $$overlay/serve-config.yaml || exit 1; done

# Makes the PrometheusRule of k8s/monitoring/rules.yml, and the dashboards.
k8s-monitoring: $(VENV)/ready
	$(BIN)/python -m cluster.kubernetes.monitoring_files k8s

# The images that k8s/ names, with docker or else podman; build.sh says what it takes from the environment.
images:
	BUNDLE=$(BUNDLE) k8s/images/build.sh $(IMAGES)

$(BUNDLE): $(VENV)/ready
	$(BIN)/isthmus bundle build

# Trains and measures every codec that ships: an hour on two cores; after a stop it goes on where it was.
TRAIN = $(BIN)/isthmus train --data $(DATA)/caltech-101
RESTORE = --learning-rate 1e-3 --clip 1
weights: $(VENV)/ready
	$(TRAIN) --point blocks.13 --setting k96-s1-b520-w384 --views 6 --distil-epochs 4 $(RESTORE)
	$(TRAIN) --point blocks.9 --setting k70-s1-b1600-w224 --views 6 --distil-epochs 2 $(RESTORE)
	$(TRAIN) --point blocks.6 --setting k60-s1-b2200 --views 6
	$(TRAIN) --point blocks.3 --setting k100-s2-b3000-c64-w160 --views 6 --distil-epochs 2 $(RESTORE)
	$(BIN)/isthmus bundle build --measure $(DATA)/imagenet-1k-cc-by

# Trains the papers' codecs, to compare with: some two hours on two cores; after a stop it goes on where it was.
RIVAL = $(TRAIN) --out cluster/codecs/rivals --reconstruct-epochs 2
rivals: $(VENV)/ready
	$(RIVAL) --codec bottlenet --point blocks.14 --setting c48-s1 --distil-epochs 26 --views 4
	$(RIVAL) --codec bottlenet --point blocks.10 --setting c48-s2 --distil-epochs 18 --views 3
	$(RIVAL) --codec bottlenet --point blocks.4 --setting c24-s2 --distil-epochs 8 --views 2
	$(RIVAL) --codec bottlenet --point blocks.2 --setting c12-s4 --distil-epochs 8 --views 2 --clip 1 --learning-rate 2e-3
	$(RIVAL) --codec bottlenet --point blocks.4 --setting c24-s2-q75 --distil-epochs 4 --views 2 --clip 1
	$(RIVAL) --codec deepcod --point blocks.4 --setting c12-s2-l16 --distil-epochs 4 --views 2 --clip 1 --learning-rate 2e-3
	$(TRAIN) --out cluster/codecs/rivals --codec offload-autoencoder --point blocks.4 --setting c12-s2 --reconstruct-epochs 3 --distil-epochs 0 --views 2

# Python compiles what it imports; pip would compile all of torch, which takes longer than the rest. Of Ray many processes
# start at once, some of users that may not write here.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib/python3.*/site-packages/ray
	touch $@

clean:
	rm -rf $(VENV) build demo bundles runs *.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache
