# On a machine with Python and make, each target sets up what it needs in .venv and then runs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV = $(PYTHON) tools/uv.py $(VENV)
OLDEST := 3.11

# Programs that are spoken to, each in an environment of its own; they want a newer Python.
FOREIGN ?= 3.13
ESPHOME := esphome==2026.10.0
HOMEASSISTANT := homeassistant==2025.4.4 home-assistant-frontend==20250411.0 paho-mqtt==2.1.0
PEERS := pjrpc==2.2.0 aiohttp==3.14.5 jsonrpcserver==5.0.9 jsonrpclib-pelix==1.2.0 aiorpcx==0.25.0
JAYSON := node@22.23.3 jayson@5.0.0
WITH_PEERS = PEERS_PYTHON='$(CURDIR)/$(VENV)-peers/bin/python' PEERS_NODE='$(CURDIR)/$(VENV)-jayson'
MCP := node@22.23.3 @modelcontextprotocol/conformance@0.1.16

# make test ARGS="-k tcp"; ARGS goes to whatever the target runs.
ARGS ?=

# Debian's, of whose kernel and BlueZ make test-ble makes a machine.
RELEASE ?= trixie

# Processes that share the tests: more than cores, since tests wait most of the time.
WORKERS ?= 4
PYTEST = python -m pytest -n $(WORKERS) --dist worksteal

# Bytecode is kept whatever the shell says: else each of the thousands of processes that the tests
# start would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-oldest test-newest test-browser test-ble test-wifi test-timescale \
  test-firmware test-foreign fuzz chaos lint \
  bench docs screenshots screenshots-console screenshots-home-assistant recording conformance-reports \
  lock upgrade clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo    show it at work: a simulated device on this machine and calls to it'
	@echo 'make test    run the tests              ARGS="-k tcp" goes to pytest'
	@echo 'make test-oldest   with the oldest libraries that pyproject.toml allows'
	@echo 'make test-newest   with the newest libraries of today'
	@echo 'make test-browser  press the pages of the console and the example in Chromium, which it installs'
	@echo 'make test-ble      Bluetooth on real daemons in a virtual machine, on Debian. It takes minutes;'
	@echo '             RELEASE=bookworm takes the kernel and BlueZ of that release'
	@echo 'make test-wifi     NetworkManager, wpa_supplicant and hostapd in such a machine'
	@echo 'make test-timescale   NovaCloud on TimescaleDB, which it fetches'
	@echo 'make test-firmware    the peers for microcontrollers, in qemu, whose compiler it installs'
	@echo 'make fuzz    look for bytes that the peer in C does not bear; ARGS="-max_total_time=600"'
	@echo 'make test-foreign  ESPHome, Home Assistant, the conformance suite of MCP and other libraries of'
	@echo '             JSON-RPC at the other end; it installs them, with Python 3.13 or that which'
	@echo '             FOREIGN=/path/to/python3.13 names'
	@echo 'make chaos   call over bad links while devices are stopped and killed, through a gateway'
	@echo '             too, that is killed with its broker; kill NovaCloud devices and a platform'
	@echo '             200 times, restart one under 1,000; kill and freeze three nodes with their'
	@echo '             database and bus'
	@echo 'make lint    check style, types and import directions'
	@echo 'make bench   measure against the targets and other libraries'
	@echo 'make docs    build the documentation into site/'
	@echo 'make screenshots   take the pictures of the documentation: of the console, and of'
	@echo '             Home Assistant, which takes minutes; screenshots-console takes the first alone'
	@echo 'make recording     record a session in a terminal, for the documentation'
	@echo 'make conformance-reports   write what those libraries do into the documentation'
	@echo 'make lock    pin in the locks what has changed in pyproject.toml'
	@echo 'make upgrade pin the newest of all'
	@echo 'make clean   remove all that these have made, $(VENV) too'
	@echo 'PYTHON=python3.13 chooses the interpreter that $(VENV) is made with, after a make clean.'

demo: $(VENV)/.demo
	@$(BIN)/jsonrpc-iot demo $(ARGS)

test: $(VENV)/.test
	@tools/system-packages
	@$(BIN)/$(PYTEST) $(ARGS)

test-oldest: $(VENV)-oldest/.test
	@tools/system-packages
	@$(VENV)-oldest/bin/$(PYTEST) $(ARGS)

test-newest: $(VENV)/.uv
	@echo 'Installing the newest into $(VENV)-newest ...'
	@$(UV) venv -q --clear --python $(BIN)/python $(VENV)-newest
	@$(UV) pip install -q --python $(VENV)-newest -e '.[all,bumble]' --group test
	@tools/system-packages
	@$(VENV)-newest/bin/$(PYTEST) $(ARGS)

test-browser: $(VENV)/.browser
	@tools/system-packages chromium
	@$(BIN)/python -m pytest -m browser tests/browser tests/console $(ARGS)

test-timescale: $(VENV)/.test
	@tools/system-packages
	@$(BIN)/python -m pytest -m timescale --timeout 200 tests/novacloud/store $(ARGS)

test-firmware: $(VENV)/.firmware
	@tools/system-packages arm-none-eabi-gcc qemu-system-arm clang
	@$(BIN)/$(PYTEST) -m firmware tests/firmware $(ARGS)
	@$(BIN)/python -m tests.firmware.c.sizes

fuzz: $(VENV)/.test
	@tools/system-packages clang
	@$(BIN)/python -m tests.firmware.c.fuzz $(ARGS)

test-ble: $(VENV)/.test
	@tools/system-packages qemu-system-x86_64
	@$(BIN)/python -m tests.ble_vm '$(RELEASE)' $(ARGS)

test-wifi: $(VENV)/.test
	@tools/system-packages qemu-system-x86_64
	@$(BIN)/python -m tests.wifi_vm $(ARGS)

test-foreign: $(VENV)/.firmware $(VENV)-esphome/.ready $(VENV)-homeassistant/.ready $(VENV)-mcp/.ready \
  $(VENV)-peers/.ready $(VENV)-jayson/.ready
	@tools/system-packages g++
	@ESPHOME_PYTHON='$(CURDIR)/$(VENV)-esphome/bin/python' MCP_CONFORMANCE='$(CURDIR)/$(VENV)-mcp' \
	  HOMEASSISTANT_PYTHON='$(CURDIR)/$(VENV)-homeassistant/bin/python' $(WITH_PEERS) \
	  $(BIN)/python -m pytest tests/interop/test_esphome.py tests/interop/test_home_assistant.py \
	  tests/interop/test_mcp_conformance.py tests/interop/test_peers.py $(ARGS)

conformance-reports: $(VENV)/.firmware $(VENV)-peers/.ready $(VENV)-jayson/.ready
	@tools/system-packages
	@$(WITH_PEERS) $(BIN)/python -m tools.conformance_reports

screenshots: screenshots-console screenshots-home-assistant

screenshots-console: $(VENV)/.browser
	@tools/system-packages chromium
	@$(BIN)/python -m tools.console_screenshots $(ARGS)

screenshots-home-assistant: $(VENV)/.test $(VENV)-homeassistant/.ready
	@tools/system-packages chromium
	@HOMEASSISTANT_PYTHON='$(CURDIR)/$(VENV)-homeassistant/bin/python' \
	  $(BIN)/python -m tools.home_assistant_screenshot $(ARGS)

recording: $(VENV)/.test
	@$(BIN)/python -m tools.terminal_recording $(ARGS)

chaos: $(VENV)/.test
	@$(BIN)/python -m tests.peer.lossy.chaos
	@$(BIN)/python -m tests.gateway.chaos
	@$(BIN)/python -m tests.novacloud.chaos
	@JSONRPC_IOT_CRASHES=200 $(BIN)/python -m pytest -q tests/services/files/test_chaos.py \
	  tests/novacloud/device/test_crash.py tests/novacloud/test_joint_crash.py \
	  tests/novacloud/test_joint_restart.py $(ARGS)

lint: $(VENV)/.test
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_imports.py tests/test_layout.py

bench: $(VENV)/.bench
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet $(ARGS)

# The locks hold for every system and Python. They are made from one index alone: others that pip
# may be told of can have a part of a release's files, and so of its hashes.
COMPILE = UV_INDEX= UV_FIND_LINKS= UV_CUSTOM_COMPILE_COMMAND='make lock' $(UV) pip compile -q \
  pyproject.toml --all-extras --universal --python-version $(OLDEST) --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-annotate $(UPGRADE)

upgrade: UPGRADE = --upgrade
lock upgrade: $(VENV)/.uv
	@$(COMPILE) --group build --group test --group browser --group firmware --group docs -o requirements.lock
	@$(COMPILE) --group build --group test --resolution lowest-direct -o requirements-oldest.lock

clean:
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-newest $(VENV)-esphome $(VENV)-homeassistant $(VENV)-mcp \
	  $(VENV)-peers $(VENV)-jayson build dist site
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp says that its packages are installed as the lock of that time pins them.

# $(call install,ENVIRONMENT,LOCK,PARTS OF pyproject.toml); what they need is checked by its hash.
define install
@$(UV) pip install -q --python $(1) -c $(2) -b $(2) --require-hashes -r pyproject.toml $(3)
@$(UV) pip install -q --python $(1) -b $(2) --no-deps -e .
@touch $@
endef

$(VENV)/.uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo 'jsonrpc-iot needs Python 3.11 or newer, but $(PYTHON) is' \
	    "$$($(PYTHON) --version 2>/dev/null || echo 'not there')." \
	    'Name another one: make PYTHON=python3.13 ...' >&2; exit 1; }
	@echo 'Setting up $(VENV) ...'
	@$(PYTHON) -m venv --without-pip $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.uv pyproject.toml requirements.lock
	@echo 'Installing the package ...'
	$(call install,$(VENV),requirements.lock,$(addprefix --extra ,cli uart mqtt http bumble seal) --group demo)

$(VENV)/.test: $(VENV)/.uv pyproject.toml requirements.lock
	@echo 'Installing the package with all extras, and what the tests need ...'
	$(call install,$(VENV),requirements.lock,--all-extras --group test)
	@touch $(VENV)/.demo $(VENV)/.bench

$(VENV)/.browser: $(VENV)/.test
	@echo 'Installing what presses pages in a browser ...'
	$(call install,$(VENV),requirements.lock,--group browser)

$(VENV)/.firmware: $(VENV)/.test
	@echo 'Installing MicroPython, where there is one for this machine ...'
	$(call install,$(VENV),requirements.lock,--group firmware)

$(VENV)/.bench: $(VENV)/.uv pyproject.toml requirements.lock
	@echo 'Installing the package and the libraries to compare with ...'
	$(call install,$(VENV),requirements.lock,--extra all --group bench)
	@touch $(VENV)/.demo

$(VENV)/.docs: $(VENV)/.uv pyproject.toml requirements.lock
	@echo 'Installing the package and the documentation tools ...'
	$(call install,$(VENV),requirements.lock,--group docs)

$(VENV)-oldest/.test: $(VENV)/.uv pyproject.toml requirements-oldest.lock
	@echo 'Installing the oldest libraries into $(VENV)-oldest ...'
	@$(UV) venv -q --clear --python $(OLDEST) $(VENV)-oldest
	$(call install,$(VENV)-oldest,requirements-oldest.lock,--all-extras --group test)

# $(call foreign,ENVIRONMENT,PACKAGES)
define foreign
@echo 'Installing $(2) ...'
@$(UV) venv -q --clear --python $(FOREIGN) $(1)
@$(UV) pip install -q --python $(1) $(2)
@touch $@
endef

# $(call node,FOLDER,PACKAGES); a Node is one of them.
define node
@tools/system-packages
@echo 'Installing $(2) ...'
@npm install --silent --no-audit --no-fund --prefix $(1) $(2)
@touch $@
endef

$(VENV)-esphome/.ready: $(VENV)/.uv Makefile
	$(call foreign,$(VENV)-esphome,$(ESPHOME))

$(VENV)-homeassistant/.ready: $(VENV)/.uv Makefile
	$(call foreign,$(VENV)-homeassistant,$(HOMEASSISTANT))

$(VENV)-peers/.ready: $(VENV)/.uv Makefile
	$(call foreign,$(VENV)-peers,$(PEERS))

$(VENV)-jayson/.ready: Makefile
	$(call node,$(VENV)-jayson,$(JAYSON))

$(VENV)-mcp/.ready: Makefile
	$(call node,$(VENV)-mcp,$(MCP))
