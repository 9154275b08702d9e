# make demo   segments examples/photos with the weights that come with banet
# make test   runs the tests
# make heavy  runs the tests that take minutes each
# make check  runs all that CI runs
# make docs   writes docs/cli.md anew from the commands, docs/reproduction.md, docs/training.md and
#             docs/scale.md from benchmarks/results
# Each sets up .venv itself; all that is needed is Python 3.11 or newer, as python3 or as
# `make PYTHON=/path/to/python demo`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
INSTALLED := $(VENV)/.installed
DEVELOPED := $(VENV)/.developed

.DEFAULT_GOAL := help
.PHONY: help demo test heavy check lint types imports wheel docs clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "banet needs Python 3.11 or newer; $(PYTHON) is" \
			"$$($(PYTHON) --version 2>&1 || true)." \
			"Name another: make PYTHON=python3.12 demo" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/pip
	$(PIP) --editable .
	@touch $@

$(DEVELOPED): pyproject.toml constraints.txt | $(BIN)/pip
	$(PIP) --editable '.[dev]'
	@touch $(INSTALLED) $@

demo: $(INSTALLED)
	$(BIN)/banet segment examples/photos --out demo-output
	@echo "Look at demo-output/masks and demo-output/composites; demo-output/results.jsonl lists every photo."

test: $(DEVELOPED)
	$(BIN)/python -m pytest

heavy: $(DEVELOPED)
	$(BIN)/python -m pytest -m heavy

lint: $(DEVELOPED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEVELOPED)
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py

imports: $(DEVELOPED)
	$(BIN)/lint-imports

wheel: $(DEVELOPED)
	.ci/check-wheel $(BIN)/python

check: lint types imports wheel test

docs: $(DEVELOPED)
	$(BIN)/python docs/generate_cli.py > docs/cli.md
	$(BIN)/python benchmarks/tables.py render
	$(BIN)/python benchmarks/ablation.py render
	$(BIN)/python benchmarks/scale.py

clean:
	rm -rf $(VENV) demo-output build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
