# The course's commands. `make lab` or `make test` is enough on a fresh clone: each builds .venv when it is missing.
ifndef PYTHON
PYTHON := $(shell command -v python3.11 || command -v python3)
endif
PORT      ?= 8888
LAB_FLAGS ?=
WORKERS   ?= 2
NOTEBOOKS ?= $(wildcard notebooks/*.ipynb)

SHELL := /bin/bash
BIN   := .venv/bin
READY := .venv/.installed
STEPS := lint unit notebooks browser

# whatever a test starts (kernels, JupyterLab, nbgrader) is the one of this environment
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONPATH

.PHONY: help lab copies test $(STEPS) execute student bench claims site clean
.DEFAULT_GOAL := help

help: ## say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; say which: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@echo "== installing into .venv (the first time this takes minutes and about 6 GB, most of it PyTorch)"
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[all]"
	@touch $@

lab: copies ## open JupyterLab on your own copies of the notebooks in work/ (PORT=8888)
	@cd work && exec jupyter lab --ip=127.0.0.1 --port=$(PORT) --ServerApp.root_dir="$$PWD" \
	  $$(test "$$(id -u)" != 0 || echo --allow-root) $(LAB_FLAGS)

copies: $(READY) ## make or refresh your copies in work/; what you edited stays
	@python -m seglab.coursework lab-copies notebooks work

# One torch thread a worker, and no progress bars in what is compared.
$(STEPS) test: export OMP_NUM_THREADS := 1
$(STEPS) test: export SEGLAB_QUIET := 1

test: $(READY) ## lint, unit and parity tests, every notebook, widgets in a browser
	@failed=; for step in $(STEPS); do \
	  echo "== $$step"; $(MAKE) --no-print-directory $$step || failed="$$failed $$step"; done; \
	if [ -n "$$failed" ]; then echo "== failed:$$failed"; exit 1; fi; echo "== all of it passed: $(STEPS)"

lint: $(READY) ## ruff over the package, the tests and the notebooks
	@ruff check .

unit: $(READY) ## unit and parity tests, examples in docstrings, structure of the notebooks
	@python -m pytest -q -n $(WORKERS) --doctest-modules seglab tests/unit tests/parity tests/notebooks

# A font cache is built first: matplotlib reports it on stderr, which would count as an output of the notebook.
notebooks: $(READY) ## run every notebook and compare what it prints with what is stored
	@python -c "import matplotlib.font_manager" 2> /dev/null
	@python -m pytest -q -n $(WORKERS) --dist loadfile --nbval --nbval-current-env --nbval-cell-timeout=300 \
	  --nbval-sanitize-with=tests/sanitize.cfg $(NOTEBOOKS)

browser: $(READY) ## drive the widgets in JupyterLab; skipped where there is no Chromium
	@python -m pytest -q -n $(WORKERS) --dist load tests/browser

execute: $(READY) ## run NOTEBOOKS (all of them) and store their outputs
	@python -m seglab.coursework execute $(NOTEBOOKS)

student: $(READY) ## write notebooks with blank exercises into build/student
	@python -m seglab.coursework student --to build/student $(NOTEBOOKS)

bench: $(READY) ## time the package against its rivals -> BENCHMARKS.md
	@python tests/benchmarks/run.py

claims: $(READY) ## measure every claim over 10 seeds -> CLAIMS.md
	@python -m seglab.coursework claims --seeds 10 --to CLAIMS.md $(NOTEBOOKS)

site: $(READY) ## the course as web pages -> build/site
	@rm -rf build/docs && mkdir -p build/docs && cp -R docs/. notebooks build/docs
	@sphinx-build -q -b html build/docs build/site
	@echo "build/site/index.html"

clean: ## remove what is built; .venv and your copies in work/ stay
	@rm -rf build .pytest_cache .ruff_cache .hypothesis
