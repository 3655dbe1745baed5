# Everything runs in .venv, which is made when it is first needed.
# PYTHON is the interpreter that makes it; PORT is where `make demo` listens.

PYTHON ?= python3
PORT ?= 8000

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
MANAGE := cd example && ../$(BIN)/python manage.py

.PHONY: help demo test lint types docs check release-check clean

help:
	@echo "make demo    serve the example at http://127.0.0.1:$(PORT)/ and print each event"
	@echo "make test    run the tests"
	@echo "make lint    check style and import contracts"
	@echo "make types   check types with mypy and pyright"
	@echo "make docs    build the documentation into docs/_build/html"
	@echo "make check   lint, types, docs and test"
	@echo "make release-check   build what is published into dist, and check it"
	@echo "make clean   remove what these commands made"

demo: $(VENV)/.demo
	@$(MANAGE) migrate --verbosity 0
	@$(MANAGE) seed
	@echo
	@echo "Open http://127.0.0.1:$(PORT)/api/todos/ and add a todo with the form,"
	@echo "or run this in another terminal:"
	@echo
	@echo "  curl -d title='Feed the cat' http://127.0.0.1:$(PORT)/api/todos/"
	@echo
	@echo "Each change is printed below as the event that it broadcasts. Ctrl-C stops the server."
	@echo
	@$(MANAGE) runserver 127.0.0.1:$(PORT)

test: $(VENV)/.test
	$(BIN)/python -m pytest

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
	rm -rf $(VENV) docs/_build build dist example/db.sqlite3
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
	@$(PIP) install --editable ".[pusher]"
	@touch $@

$(VENV)/.test $(VENV)/.lint $(VENV)/.typing $(VENV)/.docs $(VENV)/.release: $(VENV)/.%: pyproject.toml | $(VENV)/.pip
	@echo "Installing what is needed for $* ..."
	@$(PIP) install --editable ".[all]" --group $*
	@touch $@
