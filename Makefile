# make demo: set up, then every application's quick preset on its packaged sample.
# make test: set up, then the tests.  test-fast: those that neither train nor start a server.  test-all: also the long ones.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')

.PHONY: demo test test-fast test-all lint format install clean

install: $(STAMP)

# One stamp: installs only when the requirements or the Python have changed.
$(STAMP): pyproject.toml requirements.txt requirements-samples.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else "error: Python 3.11 to 3.13 is needed; say which: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-samples.txt -r requirements-dev.txt --editable .
	touch $@

demo: install
	$(BIN)/python -m apps demo

# Modules of tests run side by side in processes that end before they are large: see tests/module_processes.py.
test: install
	$(BIN)/python -m pytest -m "not long"

test-fast: install
	$(BIN)/python -m pytest -m "not long and not slow"

test-all: test
	$(BIN)/python -m pytest -m long

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
