# The two commands: `make repro` runs the pipeline, `make test` the tests. See README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: repro test test-slow test-hostile lint docs setup lock clean
.DEFAULT_GOAL := repro

repro: setup            ## train, score and compare every variant; then open reports/report.html
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro

test: setup             ## the fast tests, warnings as errors
	$(BIN)/python -m pytest -W error -n auto --dist worksteal -m "not slow and not gpu"

test-slow: setup        ## the slow ones: the pipeline under DVC, a tenth of the hostile ones
	$(BIN)/python -m pytest -W error -n auto --dist worksteal -m "slow and not gpu"

test-hostile: setup     ## damaged inputs of every reader, faults at every stage, scale
	$(BIN)/python -m pytest -W error -n auto --dist worksteal -m slow tests/hostile --share 1

lint: setup             ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup             ## the documentation as a site, in site/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint requirements.lock --editable '.[docs]'
	$(BIN)/mkdocs build --strict

setup: $(INSTALLED)     ## the virtual environment with the pinned dependencies

$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11, 4) <= sys.version_info < (3, 14))' || { \
	    echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1); SharpVAE needs Python 3.11.4 to 3.13."; \
	    echo "Name one that you have: make setup PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint requirements.lock --editable '.[dev]'
	@touch $@

lock:                   ## resolve pyproject.toml anew into requirements.lock
	rm -rf $(VENV).lock && $(PYTHON) -m venv $(VENV).lock
	$(VENV).lock/bin/python -m pip install --quiet '.[dev,docs]'
	{ sed -n '/^#/p' requirements.lock; $(VENV).lock/bin/python -m pip freeze --exclude sharpvae; } \
	    > requirements.lock.new && mv requirements.lock.new requirements.lock
	rm -rf $(VENV).lock

clean:                  ## remove the virtual environment and caches; artefacts stay with DVC
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
