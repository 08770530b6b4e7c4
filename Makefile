# Each command does all its own set-up: a virtual environment in .venv with the versions of constraints.txt.
# TORCH=cpu takes torch without CUDA (0.2 GB instead of 2.6): for machines without a GPU.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/ready
LAB_SETTINGS := $(VENV)/share/jupyter/lab/settings
EXTRAS ?= dev
FUZZ_MINUTES ?= 10
SITE := build/site
PYTEST = -m pytest -q --numprocesses auto --maxprocesses 4 --dist worksteal
QUICK := not notebooks and not slow and not browser
OLDEST := checkpoints degradations evaluation hints images metrics model photographs plots restoration spectra tables tasks
INDEX_cpu := --extra-index-url https://download.pytorch.org/whl/cpu
INSTALL = $(VENV)/bin/python -m pip install --constraint constraints.txt $(INDEX_$(TORCH))

.PHONY: help setup reproduce test quick-test fuzz test-oldest test-browser classroom lab explore benchmark site lint clean

help:
	@echo "make reproduce   re-make all tables and figures, and compare them with the committed ones"
	@echo "make test        run all tests"
	@echo "make quick-test  run the tests that take two minutes on two cores"
	@echo "make test-oldest   test with the oldest versions of the packages, in build/oldest"
	@echo "make test-browser  run notebooks in JupyterLab in a Chromium that is installed"
	@echo "make classroom   write the notebooks without the answers to build/classroom/"
	@echo "make lab         open JupyterLab on the notebooks; ARGS=... are passed on to it"
	@echo "make setup       install alone, for .venv/bin/memnet restore, train, ..."
	@echo "make explore     serve the explorer as a page without code; ARGS=... are passed on to voila"
	@echo "make benchmark   time inference and training against this machine's matrix product"
	@echo "make site        build the web site from the notebooks that \`make reproduce\` ran"
	@echo "                 TORCH=cpu takes torch without CUDA, for machines without a GPU"
	@echo "make fuzz        try damaged files and odd command lines for FUZZ_MINUTES, by default 10"
	@echo "make lint        check code and notebooks with ruff, types with mypy"
	@echo "make clean       remove the virtual environment and what was built"

setup: $(READY)
	@echo "Installed. Next: make lab, make reproduce, or $(VENV)/bin/memnet restore PICTURE --task jpeg --output restored"

$(READY): pyproject.toml constraints.txt binder/overrides.json
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable '.[$(EXTRAS)]'
	mkdir -p $(LAB_SETTINGS) && cp binder/overrides.json $(LAB_SETTINGS)
	@touch $@

reproduce: $(READY)
	$(VENV)/bin/memnet reproduce

# Up to four processes, of one thread each
test quick-test test-oldest: export OMP_NUM_THREADS = 1
test: $(READY)
	$(VENV)/bin/python $(PYTEST)

quick-test: $(READY)
	$(VENV)/bin/python $(PYTEST) -m "$(QUICK)"

test-oldest:
	$(PYTHON) -m venv build/oldest
	build/oldest/bin/python -m pip install --constraint constraints-oldest.txt $(INDEX_$(TORCH)) \
		--editable . hypothesis nbformat pytest pytest-xdist pyyaml
	build/oldest/bin/python $(PYTEST) -W default -m "$(QUICK)" $(OLDEST:%=tests/test_%.py)

test-browser: $(READY)
	$(INSTALL) --editable '.[dev,site]'
	$(VENV)/bin/python -m pytest -q -rs tests/browser

classroom: $(READY)
	$(VENV)/bin/python -m memnet.publishing.classroom

lab: $(READY)
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/jupyter lab --ServerApp.root_dir="$(CURDIR)" \
		--KernelManager.transport_encryption=auto notebooks/01_start.ipynb $(ARGS)

explore: $(READY)
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/voila notebooks/17_explorer.ipynb \
		--TagRemovePreprocessor.remove_cell_tags=still --KernelManager.transport_encryption=auto $(ARGS)

benchmark: $(READY)
	$(VENV)/bin/python benchmarks/inference.py
	$(VENV)/bin/python benchmarks/training.py

$(SITE)/npm/node_modules: website/package.json
	mkdir -p $(SITE)/npm && cp $< $(SITE)/npm && npm install --silent --prefix $(SITE)/npm
	@touch $@

site: $(READY) $(SITE)/npm/node_modules
	$(INSTALL) --editable '.[dev,export,site]'
	$(VENV)/bin/python website/prepare.py build/executed/embedded $(SITE)/npm/node_modules $(SITE)/source
	$(VENV)/bin/python -m sphinx --quiet --builder html $(SITE)/source $(SITE)/html
	@echo "To look at it: python3 -m http.server --directory $(SITE)/html"

fuzz: $(READY)
	$(VENV)/bin/python -W ignore tests/fuzz.py --minutes $(FUZZ_MINUTES)

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy memnet

clean:
	rm -rf $(VENV) build memnet.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
