# Everything runs in .venv, which is made when it is first needed.
# PYTHON is the interpreter that makes it; PORT is where `make demo` listens. SEED repeats the order
# and the examples of a run of the tests, which WORKERS processes share. N is of `make mutants`.

PYTHON ?= python3
PORT ?= 8000
SEED ?=
N ?= 100
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(if $(SEED),--randomly-seed=$(SEED) --hypothesis-seed=$(SEED))
MANAGE := cd example && ../$(BIN)/python manage.py

.PHONY: help demo test soak mutants lint types docs check release-check clean

help:
	@echo "make demo    serve the example at http://127.0.0.1:$(PORT)/: a board that is live in every window"
	@echo "make test    run the tests"
	@echo "make soak    try many more examples, which takes long"
	@echo "make mutants plant faults in the core, and print whether a test finds them"
	@echo "make lint    check style and import contracts"
	@echo "make types   check types with mypy and pyright"
	@echo "make docs    build the documentation into docs/_build/html"
	@echo "make check   lint, types, docs and test"
	@echo "make release-check   build what is published into dist, and check it"
	@echo "make clean   remove what these commands made"

demo: $(VENV)/.demo example/node_modules/.demo
	@$(MANAGE) migrate --verbosity 0
	@$(MANAGE) seed
	@echo
	@echo "Open http://127.0.0.1:$(PORT)/ in two windows. Ctrl-C stops the server."
	@echo
	@$(BIN)/python -m uvicorn --app-dir example example.asgi:application --host 127.0.0.1 --ws-per-message-deflate false --timeout-graceful-shutdown 3 --log-level warning --port $(PORT)

test: $(VENV)/.test
	$(PYTEST)

soak: $(VENV)/.test
	$(PYTEST) -m "hypothesis or soak" --hypothesis-profile=soak

mutants: $(VENV)/.test
	$(BIN)/python -m tests.mutation --count $(N) $(if $(SEED),--seed $(SEED))

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.typing
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

check: lint types docs test

release-check: $(VENV)/.release
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) docs/_build build dist artifacts
	rm -rf example/board.sqlite3 example/node_modules client/node_modules client/dist
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis

# A file in .venv stands for each set of packages. It is out of date once pyproject.toml is newer.

$(VENV)/.pip:
	@echo "Making $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.13 ...")'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.demo: pyproject.toml | $(VENV)/.pip
	@echo "Installing what the example needs ..."
	@$(PIP) install --editable ".[channels,pusher]" "uvicorn>=0.34" "websockets>=14"
	@touch $@

# Without npm the page loads pusher-js from where Pusher has it, and the script of the repository is served.
example/node_modules/.demo: example/package.json $(wildcard example/frontend/* client/src/*)
	@mkdir -p example/node_modules
	@if command -v npm >/dev/null; then \
		echo "Installing pusher-js, and building the page ..."; \
		cd example && npm install --ignore-scripts --no-audit --no-fund --no-package-lock --silent \
			&& npm run --silent build -- --logLevel error && touch node_modules/.demo \
			|| echo "npm could not: the page is served as it was built, and loads pusher-js from js.pusher.com unless it is installed."; \
	else \
		echo "There is no npm: the page loads pusher-js from js.pusher.com."; \
	fi

$(VENV)/.test $(VENV)/.lint $(VENV)/.typing $(VENV)/.docs $(VENV)/.release: $(VENV)/.%: pyproject.toml | $(VENV)/.pip
	@echo "Installing what is needed for $* ..."
	@$(PIP) install --editable ".[all]" --group $*
	@touch $@
