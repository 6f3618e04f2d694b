# Historical Event Viewer Service. `make run` and `make test` are all a newcomer needs; `make help` lists the rest.
# Needs Python 3.11+, make and a package registry. Never AWS, Docker or root.

PYTHON   ?= python3
VENV     ?= .venv
HOST     ?= 127.0.0.1
PORT     ?= 8080
AWS_PORT ?= 8081
DATA_DIR ?= .data
BIN      := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help install run aws test check format bench trino-judge image lambda compaction-job lock clean

help:  ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# A stamp per lock file: installed again only when the lock file changes.
$(VENV)/installed-run: requirements.lock setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-build.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock $(VENV)/installed-run
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/installed-run  ## .venv with the locked dependencies and the data-hist command

run: install  ## the service with a sample lake on 127.0.0.1:8080 (PORT=, HOST=, DATA_DIR=)
	@$(BIN)/data-hist sample --if-empty --data-dir $(DATA_DIR)
	@exec $(BIN)/data-hist serve --host $(HOST) --port $(PORT) --data-dir $(DATA_DIR)

aws: install  ## the embedded Athena, Glue and S3 for AWS clients on 127.0.0.1:8081 (AWS_PORT=, DATA_DIR=)
	@exec $(BIN)/data-hist aws --port $(AWS_PORT) --data-dir $(DATA_DIR)

# schemathesis names all its cases alike, and pytest-xdist runs one of a name: the fuzzing runs by itself.
FUZZING := tests/e2e/test_contract_fuzzing.py

test: $(VENV)/installed-dev  ## every test
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup --ignore=$(FUZZING)
	$(BIN)/python -m pytest -q $(FUZZING)

check: $(VENV)/installed-dev  ## format, lint, types, import rules, contract, promises of the documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/unit/api/test_contract.py tests/project

format: $(VENV)/installed-dev  ## let ruff lay the code out
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/installed-dev  ## measure against peers in the same run; writes bench/results/
	$(BIN)/python -m bench

trino-judge: $(VENV)/installed-dev  ## the engine's tests and answers beside a real Trino (TRINO_HOME=, JAVA_HOME=): docs/engines.md
	$(BIN)/python -m tests.judge.trino_process $(TRINO_HOME) \
	  sh -c '$(BIN)/python -m pytest -q tests/contract/test_engines.py tests/e2e/test_trino_engine.py && $(BIN)/python -m tests.judge.trino_cases'

image:  ## the container image data-hist:latest (needs Docker)
	docker build --tag data-hist:latest .

lambda: $(VENV)/installed-dev  ## the tracker's Lambda zip, deploy/build/tracker.zip
	$(BIN)/python -m deploy.lambda_zip

compaction-job: $(VENV)/installed-dev  ## what the Glue job needs beside its script, deploy/build/compaction-job*.zip
	$(BIN)/python -m deploy.glue_job_zip

lock: $(VENV)/installed-dev  ## compile the lock files anew from requirements*.in
	$(BIN)/python -m pip install --quiet uv
	for name in requirements requirements-build requirements-dev tests/stand_ins/requirements; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    $$name.in --output-file $$name.lock || exit 1; done

clean:  ## remove the virtual environment and caches (the data directory stays)
	rm -rf $(VENV) .venv-bench .venv-stand-ins build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
