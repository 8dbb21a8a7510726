# make demo and make test do all their set-up themselves; Python 3.11 or newer and make are all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export OMP_NUM_THREADS ?= 1
export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION := 1
export RAY_USAGE_STATS_ENABLED := 0
unexport PYTHONDONTWRITEBYTECODE  # tests start many processes, which need not compile the same files again

.PHONY: demo test install format lint types layers unit docs notebook constraints clean

install: $(READY)

# torch comes first and by its exact version, so that the CPU build is taken where there is one.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/fedkd run method=dsfl data=digits partition=dirichlet partition.alpha=0.3 clients=10 rounds=10 seed=0 runtime=ray runtime.num_actors=2 baselines=all

# mypy takes what the tests leave of the cores while they wait for what they have started.
test: $(READY) lint layers
	$(MAKE) --jobs 2 types unit

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	nice -n 19 $(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

# Two processes, of which one waits often for what it has started; more of them need more cores and memory.
WORKERS ?= 2

unit: $(READY)
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadgroup --no-loadscope-reorder

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The pages that are written from the code; tests compare them.
docs: $(READY)
	$(BIN)/fedkd list methods --markdown > docs/methods.md.new
	mv docs/methods.md.new docs/methods.md
	$(BIN)/python -m simulations.survey
	REWRITE=1 $(BIN)/pytest tests/docs/test_fusion.py

notebook: $(READY)
	$(BIN)/jupytext --to ipynb --execute analysis/convergence.py --output analysis/convergence.ipynb

# Exact versions of everything, from a fresh resolution of the ranges in pyproject.toml.
constraints: $(READY)
	$(BIN)/python -m pip freeze --exclude-editable --exclude fedkd > constraints.txt

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
