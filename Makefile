# Every verb sets up what it needs in .venv; nothing is installed outside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.ready
SETUP_DEV := $(VENV)/.ready-dev
SETUP_SITE := $(VENV)/.ready-site

.PHONY: help setup quickstart test test-slow lint types site check tensorboard clean

help:  ## Show these verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(SETUP)  ## The virtual environment alone

quickstart: $(SETUP)  ## The whole pipeline on real CarRacing in a quarter of an hour or less on 2 cores
	$(BIN)/python scripts/pipeline.py --preset quick --run runs/quickstart

test: $(SETUP_DEV)  ## All tests: no GPU, no display, no data needed
	$(BIN)/python -m pytest

test-slow: $(SETUP_DEV)  ## The tests that take longest, among them kills in every stage; CI runs them too
	$(BIN)/python -m pytest -m slow

lint: $(SETUP_DEV)  ## Style
	$(BIN)/ruff check .

types: $(SETUP_DEV)  ## Types
	$(BIN)/mypy

site: $(SETUP_SITE)  ## The documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

check: test test-slow lint types site  ## What CI runs

tensorboard: $(SETUP)  ## Curves and pictures of all runs
	$(BIN)/tensorboard --logdir runs

clean:  ## Remove the virtual environment; runs are kept
	rm -rf $(VENV)

$(SETUP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(SETUP_DEV): $(SETUP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

$(SETUP_SITE): $(SETUP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[site]'
	touch $@
