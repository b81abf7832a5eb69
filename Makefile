# Written for GNU make 3.81, which macOS has. Every target can be called again: stamp files make the second call quick.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:

PYTHON ?= python3
VENV ?= .venv
LAB_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
GUIDE := notebooks/guide/01-first-network.ipynb

BIN := $(VENV)/bin
PY := $(BIN)/python
STAMPS := $(VENV)/.stamps
LABEXTENSION := $(VENV)/share/jupyter/labextensions/mlkit-lab
# In a container one is root, which Jupyter refuses unless told; its server answers on loopback only and asks for a token.
ALLOW_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The tests read the real MNIST files where a checkout has them beside it.
ifneq ($(wildcard ../shared/data/.),)
MLKIT_DATA ?= $(abspath ../shared/data)
export MLKIT_DATA
endif

##@ Start here
.PHONY: lab
lab: extension ## JupyterLab on the first notebook (LAB_ARGS=--no-browser: the server only)
	$(BIN)/jupyter lab $(ALLOW_ROOT) --LabApp.default_url=/lab/tree/$(GUIDE) $(LAB_ARGS)

.PHONY: test
test: $(STAMPS)/test $(STAMPS)/browser front-end-test ## Every test: Python, TypeScript, real browser (PYTEST_ARGS="-k name")
	@echo "== tests without a browser"; $(PY) -m pytest -n auto --maxprocesses=4 -m "not browser" $(PYTEST_ARGS); first=$$?; \
	echo "== tests in a real browser"; $(PY) -m pytest -m browser $(PYTEST_ARGS); second=$$?; \
	case "$$first $$second" in "0 0"|"0 5"|"5 0") exit 0;; *) exit 1;; esac  # 5: no test of that name here

##@ While working
.PHONY: check
check: $(STAMPS)/check ## Lint, format, types, import contract and the ten-second tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=.:widgets $(BIN)/lint-imports
	$(PY) -m pytest -q tests/test_tiny.py

.PHONY: format
format: $(STAMPS)/check ## Put the Python files into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: widgets
widgets: $(STAMPS)/node ## Build the notebook widgets where a source is newer
	$(PY) hatch_build.py widgets

.PHONY: extension
extension: $(STAMPS)/lab ## Build widgets and JupyterLab extension where a source is newer, into .venv
	@$(PY) hatch_build.py
	@rm -rf $(LABEXTENSION) && mkdir -p $(LABEXTENSION)
	@cp -R extensions/lab/labextension/. extensions/lab/install.json $(LABEXTENSION)

.PHONY: front-end-test
front-end-test: extension ## Lint and unit tests of the TypeScript
	$(PY) hatch_build.py --script lint --script test

.PHONY: bench
bench: $(STAMPS)/test ## mlkit against PyTorch (MLKIT_BENCH_PYTORCH=/a/python/with/torch; BENCH_ARGS=--quick)
	$(PY) -m tests.bench $(BENCH_ARGS)

.PHONY: wheel
wheel: $(STAMPS)/test ## The sdist and the wheel, into dist/
	$(PY) -m build --outdir dist

.PHONY: clean
clean: ## Remove what was installed or built here (.venv, dist, front end, caches), not runs/
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf widgets/node_modules extensions/lab/node_modules extensions/lab/lib extensions/lab/labextension
	rm -f widgets/mlkit_widgets/*/view.js widgets/mlkit_widgets/*/view.built.css
	find mlkit widgets tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile
	@printf '\nPython is "%s" (PYTHON=...); everything is installed into %s and nothing outside this folder,\n' '$(PYTHON)' '$(VENV)'
	@printf 'but for a browser that make test may install.\n'

# --- what the targets stand on ---------------------------------------------------------------------------------------

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mlkit needs Python 3.11 or newer; '$(PYTHON)' is older or missing. Try: make lab PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "'$(PYTHON)' cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

# Node from PyPI, only where the machine has none that is new enough.
$(STAMPS)/node: $(STAMPS)/venv hatch_build.py
	@$(PY) -c 'import sys, hatch_build; sys.exit(hatch_build.find_node() is None)' || \
	  { echo "No Node here: installing the one from PyPI into $(VENV)"; \
	    $(PY) -m pip install -q "$$($(PY) -c 'import hatch_build; print(hatch_build.NODE_WHEEL)')"; }
	@touch $@

$(STAMPS)/lab: $(STAMPS)/node pyproject.toml
	$(PY) hatch_build.py
	@echo "Installing mlkit and JupyterLab into $(VENV) (a minute or two the first time)"
	$(PY) -m pip install -q -e '.[lab]'
	@touch $@

$(STAMPS)/test: $(STAMPS)/lab
	@echo "Installing what the tests need into $(VENV)"
	$(PY) -m pip install -q -e '.[test]'
	@touch $@

# `make check` needs neither JupyterLab nor the front end: the dependencies, and not mlkit itself.
$(STAMPS)/check: $(STAMPS)/venv pyproject.toml
	@$(PY) -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; print(*p["dependencies"], *p["optional-dependencies"]["dev"], sep="\n")' > $@.txt
	$(PY) -m pip install -q -r $@.txt
	@touch $@

$(STAMPS)/browser: $(STAMPS)/test
	$(PY) tests/tools/browser.py
	@touch $@
