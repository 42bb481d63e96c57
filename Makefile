# On a machine with Python and make, each target sets up what it needs in .venv and then runs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

# make test ARGS="-k tcp"; ARGS goes to whatever the target runs.
ARGS ?=

# Processes that share the tests: more than cores, since tests wait most of the time.
WORKERS ?= 3

.PHONY: help demo test test-browser chaos lint bench docs clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo    show it at work: a simulated device on this machine and calls to it'
	@echo 'make test    run the tests              ARGS="-k tcp" goes to pytest'
	@echo 'make test-browser  open the example page in Chromium, which it installs'
	@echo 'make chaos   call over bad links while devices are stopped and killed; kill NovaCloud'
	@echo '             devices and a platform 200 times, restart one under 1,000'
	@echo 'make lint    check style, types and import directions'
	@echo 'make bench   measure against the targets and other libraries'
	@echo 'make docs    build the documentation into site/'
	@echo 'make clean   remove all that these have made, $(VENV) too'
	@echo 'PYTHON=python3.13 chooses the interpreter that $(VENV) is made with, after a make clean.'

demo: $(VENV)/.demo
	@$(BIN)/jsonrpc-iot demo $(ARGS)

test: $(VENV)/.test
	@tools/system-packages
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-browser: $(VENV)/.test
	@tools/system-packages chromium
	@$(BIN)/python -m pytest -m browser tests/browser $(ARGS)

chaos: $(VENV)/.test
	@$(BIN)/python -m tests.lossy.chaos
	@JSONRPC_IOT_CRASHES=200 $(BIN)/python -m pytest -q \
	  tests/novacloud/test_device_crash.py tests/novacloud/test_joint_crash.py \
	  tests/novacloud/test_joint_restart.py $(ARGS)

lint: $(VENV)/.test
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_imports.py

bench: $(VENV)/.bench
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet $(ARGS)

clean:
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp says that its packages are installed as pyproject.toml of that time asked for.

$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo 'jsonrpc-iot needs Python 3.11 or newer, but $(PYTHON) is' \
	    "$$($(PYTHON) --version 2>/dev/null || echo 'not there')." \
	    'Name another one: make PYTHON=python3.13 ...' >&2; exit 1; }
	@echo 'Setting up $(VENV) ...'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.demo: $(VENV)/.pip pyproject.toml
	@echo 'Installing the package ...'
	@$(PIP) install -e '.[cli,uart,mqtt,http,bumble]' --group demo
	@touch $@

$(VENV)/.test: $(VENV)/.pip pyproject.toml
	@echo 'Installing the package with all extras, and what the tests need ...'
	@$(PIP) install -e '.[all]' --group test
	@touch $@ $(VENV)/.demo $(VENV)/.bench

$(VENV)/.bench: $(VENV)/.pip pyproject.toml
	@echo 'Installing the package and the libraries to compare with ...'
	@$(PIP) install -e '.[all]' --group bench
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: $(VENV)/.pip pyproject.toml
	@echo 'Installing the package and the documentation tools ...'
	@$(PIP) install -e . --group docs
	@touch $@
