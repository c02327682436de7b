PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
COVERED := COVERAGE_FILE=build/.coverage $(BIN)/coverage
MUTANTS ?= --number 100

.PHONY: demo test pytest coverage test-mutants test-long test-cluster test-conda test-reproducible bench lint browser screenshot env lock clean
.DELETE_ON_ERROR:

demo: env  ## the default config from nothing to the tables, the figures and the page, with the time left
	$(BIN)/smgicnet demo

test:  ## every test and check
	$(MAKE) --no-print-directory --jobs 2 env browser
	$(MAKE) --no-print-directory --jobs 2 lint pytest

pytest: env browser
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

test-long: env browser  ## the tests that take minutes each: IXI and OASIS from their archives, a module without a prefix, the same seed with other numbers of cores
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder -m long

coverage: env browser  ## the tests with coverage: pages in build/coverage, and an end if less than 90 % of the lines are run
	mkdir -p build
	rm -f build/.coverage*
	$(COVERED) run -m pytest -n 2 --dist loadscope --no-loadscope-reorder
	$(COVERED) combine --quiet
	$(COVERED) html --quiet --fail-under 0
	$(COVERED) report

test-mutants: env  ## mutation tests of the mathematics; MUTANTS="--all" or MUTANTS="--number 20 registration/fields" for others
	$(BIN)/python -m tests.mutation --at-least 85 $(MUTANTS)

test-cluster: env  ## the workflow on a real Slurm of one node, and its faults; as root on Debian, writes /etc/slurm (docs/cluster.md)
	tests/cluster/slurm.sh up
	$(BIN)/python -m tests.cluster.faults .cluster-test $(FAULTS); code=$$?; tests/cluster/slurm.sh down; exit $$code

test-conda: env  ## the environments of envs/ made by a real conda, and the workflow in them; see docs/conda.md
	tests/conda/up.sh .conda-test $(BIN)/python
	$(BIN)/python -m pytest --capture=no --exitfirst tests/conda/check_conda.py

test-reproducible: env  ## the default config with other numbers of cores and jobs: the same bytes (about an hour)
	$(BIN)/python -m tests.reproducible .reproducible-test config/config.yaml

browser:  ## Chromium for the tests of the page, where there is none (Debian and Ubuntu, as root or with sudo)
	tests/install_chromium.sh || echo "Without a browser the tests of the page are skipped."

screenshot: env browser  ## the picture of the page in docs/reproduce.md, from the results of `make demo`
	$(BIN)/python -m smgicnet.publication.report.screenshot results/embedded/report/index.html docs/images/report.png

DOCS_VENV := .venv-docs

.PHONY: docs reference drawings wheel test-wheel test-lowest container test-container

docs: $(DOCS_VENV)/.ready  ## the documentation's site, site/index.html; warnings are errors (REPOSITORY_URL: see mkdocs.yml)
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --quiet
	@echo "$(CURDIR)/site/index.html"

# an environment of its own, which needs none of what the project needs to run
$(DOCS_VENV)/.ready: docs/requirements.txt
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	@touch $@

reference: env  ## the pages of the documentation that are made from the code, where it has changed
	$(BIN)/python -m docs.generate

drawings: env  ## the drawings of the documentation's concepts
	$(BIN)/python -m docs.drawings

wheel:  ## the wheel and the sdist, in dist/
	$(PYTHON) -m venv .venv-build
	.venv-build/bin/python -m pip install --quiet --disable-pip-version-check build
	.venv-build/bin/python -m build

test-wheel: env  ## the wheel in an environment of its own, with the base packages alone
	$(BIN)/python -m pytest -m long tests/test_wheel.py

container:  ## the image `smgicnet` by docker, podman or buildah; BUILD="..." for them, TORCH_ARGS="..." for pip (docs/containers.md)
	TORCH_ARGS='$(TORCH_ARGS)' containers/build.sh $(BUILD)

test-container:  ## all that the image is for, in it: without a network and as a user without rights
	containers/test.sh $(IMAGE)

LOWEST := .venv-lowest
QUICK := tests/core tests/config tests/imaging tests/registration tests/scoring tests/commands/test_extras.py

test-lowest:  ## quick tests with the lowest versions that pyproject.toml allows; torch is the one of the lock file
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	grep '^torch==' requirements.lock >$(LOWEST)/torch.txt
	$(LOWEST)/bin/uv pip compile --quiet --resolution lowest-direct --extra workflow --override $(LOWEST)/torch.txt \
	  --output-file $(LOWEST)/lowest.txt pyproject.toml
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -r $(LOWEST)/lowest.txt 'pytest>=8' pytest-xdist
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-nodeps.lock -e .
	$(LOWEST)/bin/python -m pytest -n 2 -o filterwarnings=default $(QUICK) # old versions warn of what new ones lack

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules workflow/Snakefile
	$(BIN)/snakemake --lint

bench: env  ## speed and memory, side by side in one run; see docs/results/performance.md
	$(BIN)/python -m benchmarks

env: $(READY)

# the second file holds what states a range that it does not need: see requirements-nodeps.lock
$(READY): requirements.lock requirements-nodeps.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, {v} is {sys.executable}: make PYTHON=python3.12 ...")'
	@echo "The packages of requirements.lock are installed into $(VENV), once. This can take minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-nodeps.lock -e .
	@touch $@

lock:  ## renew requirements.lock from pyproject.toml (needs uv); torch itself pins what its GPU build needs
	{ echo "# Exact versions, by 'make lock'. What a GPU build of torch needs besides is pinned by torch itself."; \
	  { echo torch==2.13.0; echo torch==2.13.0 | uv pip compile --quiet --no-header --no-annotate --universal \
	    --python-version 3.11 --all-extras --constraint - pyproject.toml | grep -vE '^(torch=|triton|nvidia-|cuda-)'; \
	  } | sort -f; } >requirements.lock

clean:
	rm -rf $(VENV) $(DOCS_VENV) .venv-build $(LOWEST) dist site .conda-test .cluster-test .reproducible-test results .snakemake
