# The only task runner. `make` alone prints this help.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_READY := $(VENV)/.run-ready
DEV_READY := $(VENV)/.dev-ready
INFRA_READY := $(VENV)/.infra-ready
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCKS := requirements
# How many tests run at once: one more than there are cores, since a worker waits a quarter of its time for others.
WORKERS ?= $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) + 1)")
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-strip-extras \
	--custom-compile-command "make lock" pyproject.toml

.PHONY: help run infra capacity rules dashboards test fuzz check audit bench observe compose drill-faults drill-alerts image-test infra-snapshot infra-preview lock format clean

help: ## Print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "authsvc needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "Making $(VENV) …"
	@$(PYTHON) -m venv $(VENV)

# Two stamps: a newcomer's `make run` does not wait for the linters and the browser driver.
$(RUN_READY): requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "Installing what the service needs from requirements/run.txt …"
	@$(PIP_INSTALL) --require-hashes -r requirements/run.txt
	@$(PIP_INSTALL) --no-build-isolation --no-deps --editable .
	@touch $@

$(DEV_READY): requirements/dev.txt $(RUN_READY)
	@echo "Installing the development tools from requirements/dev.txt …"
	@$(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

run: $(RUN_READY) ## Serve http://127.0.0.1:8080 on an embedded PostgreSQL; Ctrl-C stops both
	@exec $(BIN)/authsvc dev

test: $(DEV_READY) ## Run the whole suite, browser, proxies and poolers included (ARGS="-k login" goes to pytest; WORKERS=3)
	@./tests/install-browser
	@./tests/install-nginx
	@./tests/install-haproxy
	@./tests/install-pgbouncer
	@./tests/install-postgresql
	@./tests/install-prometheus
	@./tests/install-iproute2
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist worksteal $(ARGS)

fuzz: $(DEV_READY) ## Fuzz the API for 10 minutes and the parsers by 20,000 texts each (ARGS="--fuzz-seconds 60 --fuzz-examples 500")
	@$(BIN)/python -m pytest --no-cov -s -v tests/fuzz --fuzz-seconds 600 --fuzz-examples 20000 $(ARGS)

check: $(DEV_READY) ## Lint, types, import contracts, SQL, templates, Dockerfile, lock files
	@./.ci/check $(BIN)

# What SECURITY.md says does not reach the service is not told again.
audit: $(DEV_READY) ## Ask, over the network, for known weaknesses of the service's libraries
	@$(BIN)/uv tool run --from 'pip-audit>=2.10,<3' pip-audit --strict --disable-pip --require-hashes \
		--requirement requirements/service.txt --ignore-vuln CVE-2024-23342 $(ARGS)

bench: $(DEV_READY) ## Measure the service beside a bare route and the raw hash rate, in one run
	@./bench/install-wrk
	@$(BIN)/python -m bench $(ARGS)

capacity: $(DEV_READY) ## Write the tables of docs/scaling.md and of costs in infra/README.md anew
	@$(BIN)/python -m infra.capacity --write

rules: $(DEV_READY) ## Make infra/monitoring/rules/objectives.yml of infra/monitoring/objectives.yml
	@$(BIN)/python -m infra.monitoring

dashboards: $(DEV_READY) ## Write infra/monitoring/dashboards/*.json anew, for Grafana
	@$(BIN)/python -m infra.monitoring.dashboards

drill-faults: $(DEV_READY) ## Faults under load for 10 minutes, with a ledger; writes docs/drills/faults.md
	@./tests/install-haproxy
	@./tests/install-iproute2
	@./tests/install-nginx
	@./tests/install-pgbouncer
	@./tests/install-postgresql
	@$(BIN)/python -m drills --write $(ARGS)

observe: $(DEV_READY) ## Serve beside a Prometheus and an Alertmanager, with a light load; Ctrl-C stops all
	@./tests/install-prometheus 2>/dev/null
	@exec $(BIN)/python -m drills.observe $(ARGS)

compose: $(DEV_READY) ## With Docker: the service, Prometheus, Alertmanager and Grafana with its dashboards
	@$(BIN)/python -m infra.local
	@exec docker compose --file infra/local/compose.yaml up --build $(ARGS)

drill-alerts: $(DEV_READY) ## Break things, and see who is told, and how soon (10 minutes); writes docs/drills/alerts.md
	@./tests/install-prometheus 2>/dev/null
	@$(BIN)/python -m drills.alerts --write $(ARGS)

# An engineer's machine needs neither the linters nor the browser driver to deploy.
$(INFRA_READY): requirements/infra.txt $(RUN_READY)
	@echo "Installing what pulumi needs from requirements/infra.txt …"
	@$(PIP_INSTALL) --require-hashes -r requirements/infra.txt
	@touch $@

infra: $(INFRA_READY) ## Install what `pulumi up` needs in infra/, into .venv; then read infra/README.md

image-test: $(DEV_READY) ## Build the Dockerfile and run the image read-only, without capabilities
	@./tests/image-test

infra-snapshot: $(DEV_READY) ## Write tests/infra/cloud/golden/*.yaml anew: every resource of both stacks, for review
	@$(BIN)/python -m tests.infra.cloud.golden

infra-preview: $(DEV_READY) ## A real pulumi preview of both stacks (needs the CLI; ARGS="-c gcp:project=… -c gcp:region=…")
	@./infra/preview $(ARGS)

lock: $(DEV_READY) ## Bring requirements/*.txt up to date with pyproject.toml (UPGRADE=1 takes new versions)
	@$(COMPILE) $(if $(UPGRADE),--upgrade) --extra embedded --extra otel --group dev --output-file $(LOCKS)/dev.txt
	@$(COMPILE) --constraint $(LOCKS)/dev.txt --output-file $(LOCKS)/service.txt
	@$(COMPILE) --extra otel --constraint $(LOCKS)/dev.txt --output-file $(LOCKS)/service-otel.txt
	@$(COMPILE) --extra embedded --constraint $(LOCKS)/dev.txt --group run --output-file $(LOCKS)/run.txt
	@$(COMPILE) --constraint $(LOCKS)/dev.txt --group infra --group run --output-file $(LOCKS)/infra.txt

format: $(DEV_READY) ## Format Python and templates
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .
	@$(BIN)/djlint --reformat --quiet templates || true

clean: ## Remove what the targets made, but not your data in .authsvc/
	rm -rf $(VENV) .mypy_cache .import_linter_cache .ruff_cache .pytest_cache .hypothesis .coverage build dist
