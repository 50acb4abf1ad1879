# Everything runs in a virtual environment of its own, pinned by constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test bench docs flower ray gradients check lint types imports fuzz kills nulls mutants wheel clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/fedprivacy run --protocol mutual --attack membership

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

gradients: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps timm==1.0.31
	OMP_NUM_THREADS=1 DIFFERENTIAL_MODELS=400 $(BIN)/python -m pytest tests/training/differential

# Flower caps libraries that the rest uses newer, so it has an environment of its own.
FLOWER := .venv-flower

$(FLOWER)/.installed: pyproject.toml constraints-flower.txt
	$(PYTHON) -m venv $(FLOWER)
	$(FLOWER)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-flower.txt torch
	$(FLOWER)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-flower.txt -e '.[dev,flower]'
	touch $@

flower: $(FLOWER)/.installed
	OMP_NUM_THREADS=1 $(FLOWER)/bin/python -m pytest tests/flower

# Ray is 240 MB that most do without. It goes with all the rest; afterwards `make test` runs its tests too.
RAY := $(VENV)/.ray

$(RAY): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	touch $@

ray: $(RAY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/ray

# 5,000 generated bad inputs, of which `make test` samples 300; and 80 kills and signals.
fuzz: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -W error tests/hardship/fuzz.py

kills: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python tests/hardship/kills.py

# The recipes under docs/recipes, from real runs; PAGES="docs/recipes/data.md" makes some of them.
docs: $(STAMP)
	$(BIN)/python docs/build.py $(PAGES)

# What everything costs, in one table: the page and its cells as JSON. BENCH="--peer DIR" times a clone of PFLlib too,
# BENCH=--resume goes on where it was stopped, BENCH="--only growth" measures some cells again.
bench: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench.py --out reports/protocol_speed.md --json reports/protocol_speed.json $(BENCH)

# 400 audits of honest mechanisms a bound, and 200 runs in which there is nothing to find; `make test` plays a few.
nulls: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python tests/hardship/nulls.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/hardship/runs.py

# Thirteen known ways to break DP-SGD and DP-FedAvg, planted here and audited; `make test` tries two of them.
mutants: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python tests/hardship/mutants.py --out reports/mutants.md

check: lint types imports

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

wheel: $(STAMP)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) $(FLOWER) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
