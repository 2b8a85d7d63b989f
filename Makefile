# The course's commands. `make lab` or `make test` is enough on a fresh clone: each builds .venv when it is missing.
ifndef PYTHON
PYTHON := $(shell command -v python3.11 || command -v python3)
endif
PORT      ?= 8888
LAB_FLAGS ?=
WORKERS   ?= 2
NOTEBOOKS ?= $(wildcard notebooks/*.ipynb)

SHELL  := /bin/bash
BIN    := .venv/bin
READER := .venv/.reader
READY  := .venv/.installed
STEPS  := lint unit notebooks browser
PIP     = $(BIN)/python -m pip install $(if $(CI),-q) --disable-pip-version-check -c constraints.txt

# whatever a test starts (kernels, JupyterLab, nbgrader) is the one of this environment
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONPATH

.PHONY: help lab copies test $(STEPS) execute student sources bench claims site clean here
.DEFAULT_GOAL := help

help: ## say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

# What a reader needs; a .venv that uv made has no pip and gets it.
$(READER): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; say which: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@echo "== installing into .venv (the first time this takes minutes and about 6 GB, most of it PyTorch)"
	@$(BIN)/python -c 'import pip' 2> /dev/null || $(BIN)/python -m ensurepip > /dev/null 2>&1 \
	  || $(PYTHON) -m venv --clear .venv
	@$(PIP) -e .
	@touch $@

$(READY): $(READER)
	@echo "== installing what tests, grading and the site need as well"
	@$(PIP) -e ".[all]"
	@touch $@

# An environment holds the name of its folder in many files: written anew where the folder was moved or renamed.
define MOVED
import json, pathlib, sys
from importlib.metadata import distribution
from urllib.parse import urlparse
from urllib.request import url2pathname
url = json.loads(distribution("seglab").read_text("direct_url.json"))["url"]
old, new = url2pathname(urlparse(url).path), str(pathlib.Path.cwd())
if old != new:
    print(f"== this folder was {old} when .venv was made: .venv is told its new place")
    venv = pathlib.Path(".venv")
    for file in [venv / "pyvenv.cfg", *venv.glob("bin/*"), *venv.glob("lib/python*/site-packages/*seglab*"),
                 *venv.glob("lib/python*/site-packages/seglab-*.dist-info/direct_url.json")]:
        if file.is_file() and not file.is_symlink():
            was, now = (url, pathlib.Path(new).as_uri()) if file.name == "direct_url.json" else (old, new)
            if was.encode() in (data := file.read_bytes()):
                file.write_bytes(data.replace(was.encode(), now.encode()))
endef
export MOVED

here: $(READER)
	@$(BIN)/python -c "" 2> /dev/null || { echo "the Python that .venv was made with is gone; type: rm -rf .venv && \
	make lab"; exit 1; }
	@$(BIN)/python -I -c "$$MOVED"

# A home that cannot be written to would end in Jupyter's traceback. nbgrader's pages are for instructors.
lab: copies ## open JupyterLab on your own copies of the notebooks in work/ (PORT=8888)
	@if ! test -w "$${HOME:-/}"; then export HOME="$(CURDIR)/.venv/home"; mkdir -p "$$HOME"; \
	  echo "== your home folder cannot be written to: Jupyter keeps its files in .venv/home"; fi; \
	cd work && exec python -m jupyterlab --ip=127.0.0.1 --port=$(PORT) --ServerApp.root_dir="$$PWD" \
	  --ServerApp.jpserver_extensions=nbgrader.server_extensions.formgrader=False \
	  $$(test "$$(id -u)" != 0 || echo --allow-root) $(LAB_FLAGS)

copies: here ## make or refresh your copies in work/; what you edited stays
	@python -m seglab.coursework lab-copies notebooks work

# One torch thread a worker, and no progress bars in what is compared.
$(STEPS) test: export OMP_NUM_THREADS := 1
$(STEPS) test: export SEGLAB_QUIET := 1

test: here $(READY) ## lint, unit and parity tests, every notebook, widgets in a browser
	@echo "== make test runs: $(STEPS)"; failed=; for step in $(STEPS); do \
	  echo "== $$step"; $(MAKE) --no-print-directory $$step || failed="$$failed $$step"; done; \
	if [ -n "$$failed" ]; then echo "== failed:$$failed"; exit 1; fi; echo "== all of it passed: $(STEPS)"

lint: $(READY) ## ruff over the package, the tests and the notebooks
	@python -m ruff check .

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

sources: $(READY) ## lay the notebooks out for nbgrader in grading/source (see nbgrader_config.py)
	@python -m seglab.coursework sources --to grading/source $(NOTEBOOKS)

bench: $(READY) ## time the package against its rivals -> BENCHMARKS.md
	@python tests/benchmarks/run.py

claims: $(READY) ## measure every claim over 10 seeds -> CLAIMS.md
	@python -m seglab.coursework claims --seeds 10 --to CLAIMS.md $(NOTEBOOKS)

site: $(READY) ## the course as web pages -> build/site
	@rm -rf build/docs && mkdir -p build/docs && cp -R docs/. notebooks build/docs
	@python -m sphinx -q -b html build/docs build/site
	@echo "build/site/index.html"

clean: ## remove what is built; .venv, your copies in work/ and grading/ stay
	@rm -rf build .pytest_cache .ruff_cache .hypothesis
