# The commands of this repository. Each makes the environment first where it is missing or out of date.

.DEFAULT_GOAL := help
.PHONY: help run dev init check fmt migration resource field where upgrade resource-remove example-remove cli shell debug lock bench profile profile-memory mutants doctor clean
.PHONY: test coverage retest test-app test-fork test-previous test-providers test-reliability test-pooler check-alerts
.PHONY: openapi lint-openapi client test-client test-contract fuzz
.PHONY: check-format check-lint check-types check-imports check-dependencies check-lock check-migrations check-openapi

PY := .venv/bin/python
ENV := .venv/.complete
CODE := $(wildcard src tests bench builder scripts)

# What a pooler can make a difference to: not the tests of listening, stopping, other servers in front, and documents.
HTTP := tests/kernel/entrypoints/http
PAST_POOLER := $(patsubst %,$(HTTP)/test_%.py,behind_proxies connections docs document hosts main proxies raw_sockets stopping)

# Of tests: one more than cores, as some wait for processes that they have started, and four at most.
PROCESSES = $(shell $(PY) -c 'import os; print(min(4, (os.cpu_count() or 1) + 1))')

# What is measured without a name is the kernel's specimen, which lies with its tests.
BENCH = PYTHONPATH=tests:$$PYTHONPATH $(PY) -m bench
MEASURED = $(if $(RESOURCE),--resource $(RESOURCE))

# An interpreter is found, never fetched: what runs here is what the machine's owner installed.
export UV_PYTHON_DOWNLOADS := never

# Or each of the hundreds of processes that tests start would compile the code anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

run: $(ENV) ## serve with an embedded PostgreSQL, and say where (PORT=8001 for another port)
	@$(PY) -m entrypoints.local

dev: $(ENV) ## the same, and reload when a file changes
	@$(PY) -m entrypoints.local --reload

init: $(ENV) ## name the service after a fork (name=billing title="Billing" description="…" owner="Example Ltd" licence=MIT port=8100)
	@$(PY) scripts/init.py --name "$$name" --title "$$title" --description "$$description" --owner "$$owner" --licence "$$licence" --port "$$port"

test: $(ENV) ## run every test (ARGS="-k word" runs a part)
	@$(PY) -m pytest -n $(PROCESSES) $(ARGS)

coverage: $(ENV) ## run every test and measure which lines they cover; fails under 95 %
	@$(PY) -m pytest -n $(PROCESSES) --cov

retest: $(ENV) ## run what failed in the last run once more, one test after the other (five at most)
	@$(PY) scripts/retest.py $(ARGS)

test-providers: $(ENV) tests/kernel/providers/node_modules/.complete ## run the tests with a certified OpenID provider and a browser (needs Node 20)
	@$(PY) -m pytest tests/kernel/providers $(ARGS)

test-contract: $(ENV) ## hold the running service against its OpenAPI document, whoever asks (SEED=7 EXAMPLES=50 for other requests)
	@$(PY) -m pytest tests/kernel/openapi -p schemathesis -n $(PROCESSES) $(ARGS)

test-reliability: $(ENV) tests/kernel/providers/node_modules/.complete ## see what holds under load and failure, with its figures (HOURS=8 for a night; needs Node 20)
	@$(PY) -m pytest tests/kernel/reliability $(ARGS)

check-alerts: $(ENV) ## hold the alerts against promtool, and see them fire and clear on the running service (needs Prometheus)
	@command -v promtool >/dev/null || { echo 'There is no promtool: apt install prometheus.'; exit 1; }
	@promtool check rules deploy/monitoring/alerts.yml && promtool check config deploy/monitoring/prometheus.yml \
	    && promtool test rules deploy/monitoring/alerts_test.yml
	@$(PY) -m pytest tests/kernel/monitoring $(ARGS)

test-pooler: $(ENV) ## run the HTTP and repository tests through PgBouncer in transaction mode (TEST_PGBOUNCER_IMAGE=, or on PATH)
	@TEST_POOLER=transaction $(PY) -m pytest -n $(PROCESSES) tests/kernel/pooler \
	    $(filter-out $(PAST_POOLER),$(wildcard $(HTTP)/test_*.py)) $(HTTP)/v1 tests/kernel/contracts/test_repositories.py \
	    $(wildcard tests/entrypoints/http tests/contracts) $(ARGS)

test-previous: $(ENV) ## run the previous release's tests on this release's schema (PREVIOUS=v1.2.0 for another one)
	@$(PY) scripts/test_previous.py $(ARGS)

fuzz: $(ENV) ## the same for a night, with other requests in each round (HOURS=8); what failed is told in .fuzz
	@$(PY) scripts/fuzz.py $(or $(HOURS),8)

test-app: $(ENV) ## run this service's own tests, and every suite over its resources (a minute)
	@$(PY) -m pytest -n $(PROCESSES) $(wildcard tests/domain tests/application tests/adapters tests/contracts tests/entrypoints) \
	    tests/kernel/contracts/test_repositories.py tests/kernel/adapters/postgres/test_statements.py \
	    tests/kernel/adapters/postgres/test_mapping.py tests/kernel/adapters/postgres/test_lists.py tests/kernel/entrypoints/http/test_matrix.py \
	    tests/kernel/entrypoints/http/test_examples.py tests/kernel/entrypoints/http/test_document.py $(ARGS)

test-fork: $(ENV) ## try on a copy that the example can be deleted, and that upstream merges without a conflict (ARGS=strip: the first; ARGS=all: with every test, for a night)
	@$(PY) scripts/fork.py $(ARGS)

check: check-format check-lint check-types check-imports check-dependencies check-lock check-migrations check-openapi ## format, lint, types, import rules, dependencies, lock files, migrations, OpenAPI documents

fmt: $(ENV) ## format the code and mend what the linter can mend
	@.venv/bin/ruff check --fix-only --quiet $(CODE)
	@.venv/bin/ruff format $(CODE)

openapi: $(ENV) ## store the OpenAPI documents, unless clients would break (BREAKING=allowed where nobody minds)
	@$(PY) -m entrypoints.cli openapi --write $(if $(filter allowed,$(BREAKING)),--breaking)

lint-openapi: openapi/node_modules/.complete ## hold the stored OpenAPI documents against Spectral and Redocly (needs Node 20)
	@cd openapi && node_modules/.bin/spectral lint --ruleset spectral.yaml --fail-severity hint v*.json
	@cd openapi && REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
	    node_modules/.bin/redocly lint --config redocly.yaml v*.json

client: $(ENV) clients/typescript/node_modules/.complete ## write the TypeScript client from the stored OpenAPI document (needs Node 20)
	@cd clients/typescript && npm run --silent generate && npm run --silent build

test-client: $(ENV) clients/typescript/node_modules/.complete ## see that the client is current, and run its tests on the real service (needs Node 20)
	@cd clients/typescript && npm run --silent check && npm run --silent build
	@$(PY) -m entrypoints.embedded -- sh -c '$(PY) -m entrypoints.cli migrate && cd clients/typescript && PYTHON=$(CURDIR)/$(PY) npm test --silent'

migration: $(ENV) ## write a migration from what the tables have become, and try it (m="add labels"; LINE=kernel upstream; JOIN=app)
	@test -n "$${m}$(JOIN)" || { echo 'Say what changes: make migration m="add labels to invoices"'; exit 2; }
	@$(PY) -m entrypoints.embedded -- sh -c '$(if $(JOIN),,$(PY) -m entrypoints.cli migrate &&) \
	    $(PY) -m entrypoints.cli migration "$$m" $(if $(LINE),--line $(LINE)) $(if $(JOIN),--join $(JOIN))'
	@$(PY) scripts/lint_migrations.py

resource: $(ENV) ## write a whole resource (name=invoice fields="number:str(40)!unique notes:text?"; DRY=1 shows it)
	@$(PY) -m builder --name "$$name" --fields "$$fields" --plural "$$plural" --can "$$can" --role "$$role" \
	    --sort "$$sort" --filter "$$filter" --search "$$search" $(if $(DRY),--dry)

field: $(ENV) ## add fields to a resource that is there (resource=invoice add="paid_at:datetime?"; DRY=1 shows it)
	@$(PY) -m builder.field --resource "$$resource" --add "$$add" $(if $(DRY),--dry)

upgrade: $(ENV) ## take a release of upstream over, on a branch of its own (TO=v1.4.0; DRY=1 tells what it is)
	@$(PY) -m builder.upgrade --to "$$TO" $(if $(DRY),--dry)

where: $(ENV) ## show all of a resource on one screen (r=invoices)
	@$(PY) -m builder.where "$$r"

resource-remove: $(ENV) ## take a resource out again (name=invoice SINCE=1.3.0; DRY=1 shows it)
	@$(PY) -m builder.removal --name "$$name" --since "$$SINCE" $(if $(DRY),--dry)

example-remove: $(ENV) ## take the example out: its files, its lines, its tables (DRY=1 shows it)
	@$(PY) -m builder.removal --example $(if $(DRY),--dry)

cli: $(ENV) ## run a command on the database of `make run` (ARGS="user create")
	@$(PY) -m entrypoints.local -- $(PY) -m entrypoints.cli $(ARGS)

lock: $(ENV) ## write the lock files after a change in pyproject.toml (ARGS=--upgrade for newer releases)
	@$(call compile,requirements.lock) $(ARGS)
	@$(call compile,requirements-dev.lock) --group dev -c requirements.lock $(ARGS)

bench: $(ENV) ## measure requests per second and CPU per request beside a raw ASGI handler (RESOURCE=invoices; ARGS=--layers: layer by layer)
	@$(BENCH) $(MEASURED) $(ARGS)

profile: $(ENV) ## draw where an operation of `make bench` spends its time (ARGS=create; a flame graph in .profile, and a table)
	@$(BENCH) profile $(MEASURED) $(or $(ARGS),get)

profile-memory: $(ENV) ## the same for the memory that it allocates
	@$(BENCH) profile --memory $(MEASURED) $(or $(ARGS),get)

shell: $(ENV) ## a console with the container, await, and a unit of work that is rolled back, on the database of `make run`
	@$(PY) -m entrypoints.local -- $(PY) -m entrypoints.shell

debug: $(ENV) ## serve on the database of `make run` once a debugger has connected to localhost:5678
	@$(PY) -m entrypoints.local -- $(PY) -Xfrozen_modules=off -m debugpy --listen 127.0.0.1:5678 --wait-for-client -m entrypoints.http

mutants: $(ENV) ## change the domain and the application in small ways and see the tests fail
	@$(PY) -m mutmut run $(ARGS)
	@$(PY) -m mutmut results

doctor: ## say what on this machine would stop run or test, and the remedy
	@for python in $(PY) $(PYTHON) python3 python /usr/bin/python3; do \
	    "$$python" -c '' 2>/dev/null && exec "$$python" scripts/doctor.py; \
	done; echo 'There is no Python here. $(GET_PYTHON)'; exit 1

clean: ## remove the environment and the caches (the database in .postgres stays)
	@rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .coverage .coverage.* mutants
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

%/node_modules/.complete: %/package-lock.json
	@command -v npm >/dev/null || { echo 'Install Node 20 or newer, with npm (Debian, Ubuntu: apt install nodejs npm).'; exit 1; }
	@cd $* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# --- the parts of `check` -----------------------------------------------------------------------

check-format: $(ENV)
	@.venv/bin/ruff format --check $(CODE)

check-lint: $(ENV)
	@.venv/bin/ruff check $(CODE)

check-types: $(ENV)
	@$(PY) -m mypy $(CODE)

check-imports: $(ENV)
	@$(PY) -c 'import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_logo=True))'

check-dependencies: $(ENV)
	@$(PY) -m deptry src

# The files themselves are the starting point, so that a release of today changes nothing.
check-lock: $(ENV)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && cp requirements*.lock "$$folder" && \
	$(call compile,"$$folder/requirements.lock") && \
	$(call compile,"$$folder/requirements-dev.lock") --group dev -c requirements.lock && \
	for lock in requirements.lock requirements-dev.lock; do \
	    cmp -s $$lock "$$folder/$$lock" || { echo "$$lock does not follow from pyproject.toml: run make lock"; exit 1; }; \
	done && echo 'The lock files are up to date.'

check-openapi: $(ENV)
	@$(PY) -m entrypoints.cli openapi --check

check-migrations: $(ENV)
	@$(PY) -m entrypoints.embedded -- sh -c '$(PY) -m entrypoints.cli migrate && $(PY) -m entrypoints.cli check-migrations'
	@$(PY) scripts/lint_migrations.py

# One file for every platform, without the addresses it was resolved from; and without naming the service,
# which stands in pyproject.toml alone.
compile = .venv/bin/uv pip compile pyproject.toml --quiet --universal --generate-hashes --python-version 3.12 \
    --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' -o $(1)

# --- the environment ----------------------------------------------------------------------------

GET_PYTHON = Install Python 3.12 or newer (Debian 13, Ubuntu 24.04: apt install python3 python3-venv; \
    macOS: brew install python@3.13; pyenv: pyenv install 3.13) or name one: make PYTHON=/path/to/python3

# A .venv whose interpreter has gone is no environment, however new its stamp.
ifneq ($(shell test -x $(PY) && echo yes),yes)
.PHONY: $(ENV)
endif

# The first Python >= 3.12 that runs (through pyenv's shims .python-version has its say). uv does the work: the
# one on PATH or else the one that requirements-dev.lock pins, installed by the new environment's own pip.
# The .pth line makes `domain`, `application`, `adapters` and `entrypoints` importable, wherever the clone lies.
# `ours` is the driver that .gitattributes names.
$(ENV): requirements-dev.lock .python-version
	@set -e; fits='import sys; sys.exit(sys.version_info < (3, 12))'; \
	if ! $(PY) -c "$$fits" 2>/dev/null; then \
	    for python in $(PYTHON) python$$(cat .python-version) python3.13 python3.14 python3.12 python3 python none; do \
	        "$$python" -c "$$fits" >/dev/null 2>&1 && break; \
	    done; \
	    if [ $$python = none ]; then \
	        python=$$(uv python find '>=3.12' 2>/dev/null) || { echo 'No Python 3.12 or newer here. $(GET_PYTHON)'; exit 1; }; \
	    fi; \
	    echo "Making .venv with $$("$$python" --version) ($$python)"; \
	    rm -rf .venv; \
	    if command -v uv >/dev/null; then uv venv --quiet --python "$$("$$python" -c 'import sys; print(sys.executable)')" .venv; \
	    else "$$python" -m venv .venv || { echo 'make doctor says what this machine lacks.'; rm -rf .venv; exit 1; }; \
	    fi; \
	fi; \
	uv=uv; \
	if ! command -v uv >/dev/null; then uv=.venv/bin/uv; if ! [ -x $$uv ]; then \
	    sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.lock >.venv/uv.txt; \
	    $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.txt; \
	fi; fi; \
	echo 'Installing what requirements-dev.lock names'; \
	$$uv pip sync --quiet --require-hashes --compile-bytecode --python $(PY) requirements-dev.lock; \
	echo '../../../../src' >"$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/src.pth"; \
	git config merge.ours.driver true 2>/dev/null || true; \
	touch $@
