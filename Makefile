PYTHON ?= python
OLDEST_VENV ?= .venv-oldest

.PHONY: check test slow oldest doc bench clean

check: ## lint, types and the rules of the house
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest -q tests/test_house.py

test: ## all but the slow tests
	$(PYTHON) -m pytest -n 2

slow: ## the tests that take minutes
	$(PYTHON) -m pytest -n 2 -m slow

oldest: ## the tests on the oldest supported versions, in an environment of their own
	$(PYTHON) -m venv $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/python -m pip install -q --upgrade pip
	$(OLDEST_VENV)/bin/python -m pip install -q -c .ci/oldest.txt ".[test]"
	$(OLDEST_VENV)/bin/python -m pytest -n 2

doc: ## these pages, in docs/_build/html; no network, no warning
	rm -rf docs/_build docs/generated
	$(PYTHON) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# The docstring of each says by its --data which file, or that it takes the folder.
bench: ## accuracy and speed, hours; make bench DATA=folder/of/data
	@test -d "$(DATA)" || { echo "Set DATA to the folder of the data files"; exit 2; }
	for file in benchmarks/[!_]*.py; do \
		name=$$(grep -o -m1 -e '--data [^ ]*' $$file | head -1 | cut -d' ' -f2); \
		case $$name in \
			"") data= ;; \
			*.npz) data=--data=$(DATA)/$$name ;; \
			*) data=--data=$(DATA) ;; \
		esac; \
		$(PYTHON) $$file $$data || exit 1; \
	done

clean:
	rm -rf docs/_build docs/generated build dist .pytest_cache .mypy_cache .ruff_cache
