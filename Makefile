# make lab    set up .venv, open JupyterLab on notebooks/ with the quickstart in front
# make tour   set up .venv, run the BERT walk headless in a real kernel, print its table
# make test   set up .venv, lint, type-check and run every test
# make quick  the tests that run at every change (about two minutes)
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
ROOT_FLAG := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)
# Two workers, whatever the machine: each holds PyTorch, Keras, ... in memory; files stay whole for their fixtures.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help lab tour test chromium quick lint format bench clean

help:
	@sed -n 's/^# //p' Makefile

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make a venv: apt-get install python3-venv, then again"; exit 1; }
	@echo "Setting up $(VENV): PyTorch, ONNX Runtime, JupyterLab, ... about 10 GB and a few minutes, once."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --progress-bar off -c constraints.txt -e '.[lab,dev]'
	@touch $@

lab: $(READY)
	@$(BIN)/python -m onnx_lab.jupyter.start notebooks $(ROOT_FLAG)

tour: $(READY)
	@$(BIN)/python -m onnx_lab.jupyter.tour notebooks/01_bert.ipynb --out artifacts/01_bert.ipynb

# The browser tests hold answers to fractions of a second: nothing else runs beside them.
test: $(READY) lint chromium
	@$(PYTEST) --ignore=tests/browser; rest=$$?; \
	  $(BIN)/python -m pytest tests/browser; browser=$$?; \
	  exit $$((rest || browser))

# What the browser tests open. Where it may not be installed they fail, and say what to do.
chromium:
	@for name in "$$CHROMIUM" chromium chromium-browser google-chrome; do \
	  test -n "$$name" && command -v "$$name" >/dev/null && exit 0; done; \
	echo "Installing Chromium for the browser tests"; \
	{ apt-get update -qq && apt-get install -y -qq chromium; } || \
	  echo "It could not be installed here: the browser tests will fail. As root: apt-get install chromium"

quick: $(READY)
	@$(PYTEST) -m "not slow"

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY)
	@$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) artifacts build dist .mypy_cache .ruff_cache .pytest_cache
