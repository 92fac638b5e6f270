# The commands of the README. Each sets up what it needs in .venv, from constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup test demo bench check glossary clean

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Tradewind needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,test]'
	touch $@

# What reckons with the time that real processes take has the machine to itself; the rest shares it, a file at
# a time, what takes longest first.
ALONE := $(addprefix tests/,journeys providers runtimes)
SHARING := tests/journeys/test_audited_image.py $(wildcard tests/runtimes/test_functions_*.py)
TOGETHER := $(SHARING) $(filter-out $(ALONE),$(patsubst %/,%,$(wildcard tests/*/)) $(wildcard tests/test_*.py))

test: setup
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
	    $(TOGETHER) $(PYTEST_ARGS) $(if $(REPORTS),--junitxml=$(REPORTS)/together.xml)
	$(BIN)/python -m pytest $(ALONE) $(addprefix --ignore=,$(SHARING)) $(PYTEST_ARGS) \
	    $(if $(REPORTS),--junitxml=$(REPORTS)/alone.xml)

demo: setup
	$(BIN)/tradewind demo

# make bench NAME=area/name ARGS="--quick"
bench: $(VENV)/bench
	$(BIN)/python benchmarks/$(NAME).py $(ARGS)

$(VENV)/bench: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,bench]'
	touch $@

check: setup
	$(BIN)/ruff check src tests benchmarks docs $(wildcard examples)
	$(BIN)/ruff format --check src tests benchmarks docs $(wildcard examples)
	$(BIN)/mypy
	$(BIN)/lint-imports

glossary: setup
	$(BIN)/python docs/glossary.py

clean:
	rm -rf $(VENV) build dist
