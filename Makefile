# The two commands of the README: `make demo` and `make test`. Each does all of its own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
PYTEST := $(BIN)/python -m pytest -q
# a file of tests stays with one worker, which makes its fixtures once
PARALLEL := -n 2 --dist loadfile

.PHONY: demo test test-fast test-install test-operators test-quantization test-microcontrollers test-devices test-apps test-search test-full lint types layers format wheel docs debian bench bench-arm clean

demo: $(VENV)/.demo
	$(BIN)/edgert demo

# the fast suite: under 10 minutes on 2 cores
test: $(VENV)/.dev debian
	$(PYTEST) $(PARALLEL) tests/unit tests/property tests/layering tests/e2e -m "not slow"

# further tiers of .ci/run
# what pip installs; and this computer's engines, raced and measured
test-install: $(VENV)/.dev debian
	$(PYTEST) tests/install
	$(PYTEST) $(PARALLEL) tests/engines -m "not slow"
test-operators: $(VENV)/.dev debian
	EDGERT_FUZZ_COUNT=300 $(PYTEST) $(PARALLEL) tests/conformance tests/fuzz -m "not slow"
test-quantization: $(VENV)/.dev debian
	$(PYTEST) $(PARALLEL) tests/quantization -m "not slow"

test-microcontrollers: $(VENV)/.dev debian
	EDGERT_GRAPHS=32 $(PYTEST) $(PARALLEL) tests/microcontrollers -m "not slow"

# boards over SSH, on emulated ones; needs root and skips without
test-devices: $(VENV)/.dev debian
	$(PYTEST) -n 3 --dist loadfile tests/emulation --ignore tests/emulation/apps -m "not slow"  # many wait for limits

# apps as processes, their pages in a browser, each for 20 s (EDGERT_ENDURANCE_S=3600: an hour), and deployed to boards
test-apps: $(VENV)/.dev debian
	$(PYTEST) -n 3 --dist loadfile tests/apps tests/emulation/apps -m "not slow"  # much of it waits

# cost models and search: real studies, a real PostgreSQL and Dask cluster, processes that are killed
test-search: $(VENV)/.dev debian
	$(PYTEST) $(PARALLEL) tests/search -m "not slow"

# everything, the slow cases and all mutations as well; run by hand
test-full: $(VENV)/.dev debian
	$(PYTEST) $(PARALLEL) tests

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
types: $(VENV)/.dev
	$(BIN)/mypy
	$(BIN)/basedpyright --level error
layers: $(VENV)/.dev
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build -q

# pages that are made from the code
docs: $(VENV)/.dev
	$(BIN)/python -m edgert_converters.support_table
	$(BIN)/python -m edgert_converters.schemes_table
	$(BIN)/python -m edgert_converters.comparison.table
	$(BIN)/python -m edgert_targets.table

# benchmarks print tables; never part of CI
bench: $(VENV)/.dev
	for script in tests/bench/*.py; do $(BIN)/python $$script || exit 1; done

# instructions per inference on emulated ARM cores; needs root once, for Debian's arm64 packages
bench-arm: $(VENV)/.dev
	$(BIN)/python -m tests.bench.arm

# Debian packages that some tests use; without them those tests skip and say so
debian:
	@.ci/debian

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("edgert needs Python 3.11 or newer, found " + sys.version.split()[0] + "; set PYTHON=") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[convert,ort]'
	touch $@

# exactly this torch first: a range would pull builds of several gigabytes
$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(PIP) install torch==2.13.0
	$(PIP) install -e '.[dev]'
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) dist build
