# `make` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash
COMPOSE ?= docker compose
# Podman keeps an image's health check in this format only.
export BUILDAH_FORMAT := docker
# The tests start hundreds of processes: each would compile the package again.
unexport PYTHONDONTWRITEBYTECODE
# How many tests run at a time. Tests wait for servers a third of the time, so one more than there are cores. Slow tests
# keep the cores busy.
WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --maxprocesses 8
# Where there is room in memory, the servers and files of fast tests are there. On a disk, a fifth of their time is its.
IN_MEMORY := $(shell [ "$$(df --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 6000000 ] 2>/dev/null && echo TMPDIR=/dev/shm)

.PHONY: help demo check test test-slow test-adbc examples chaos matrix simulate stress check-loop many-streams bench bench-first-load bench-steady-state bench-load bench-waiting bench-dashboard bench-peers bench-peers-log bench-mongo bench-http bench-freshness bench-growth bench-build bench-reconcile bench-status bench-log long-run containers lint format docs lineage snow-cli worksheet newest floor lock outdated wheels up down logs clean screenshots

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

demo: .venv/.demo ## run the whole pipeline on this machine; DEMO_ARGS="--once" ends after one pass
	@$(BIN)/adventure demo $(DEMO_ARGS)

check: lint ## lint and run the unit tests, about a minute: what to run before every commit
	@$(IN_MEMORY) $(PYTEST) -m "unit and not slow" $(TEST_ARGS)

test: .venv/.dev ## run the test suite but its slow tests; TEST_ARGS="tests/stage -x" narrows it, WORKERS=1 limits it
	@$(IN_MEMORY) $(PYTEST) -m "not slow" $(TEST_ARGS)

test-slow: .venv/.dev ## run the slow tests: crashes, broken connections, the browser, chaos, benchmarks, Airflow and the demo, in their short forms
	@$(PYTEST) --numprocesses logical -m "slow and not examples" $(TEST_ARGS)

# tests/processor/test_copy_sessions.py tests ADBC as well, wherever it runs.
test-adbc: .venv/.dev ## test reading PostgreSQL without the optional decoder, which is taken out meanwhile (about a minute)
	@$(BIN)/python -m pip uninstall --quiet --yes adventure-pipeline-decoder
	@trap "tools/decoder install" EXIT; $(IN_MEMORY) $(PYTEST) -m "not slow" tests/processor/test_values.py \
		tests/processor/test_rejects.py tests/processor/test_every_type.py tests/test_imports.py

examples: .venv/.dev ## install Airflow and Dagster, run their recipes on generated sales, and let a task fail (about 5 minutes)
	@$(PYTEST) --numprocesses 0 tests/e2e/test_schedulers.py $(TEST_ARGS)

chaos: .venv/.dev ## kill everything at random under load, and compare; CHAOS_ARGS="--minutes 10 --seed 3"
	@$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

matrix: .venv/.dev ## write in every way against real servers, and compare with what is staged, about 5 min; MATRIX_ARGS="--seconds 5 protocol"
	@$(BIN)/python -m tests.stress $(MATRIX_ARGS)

simulate: .venv/.dev ## run the real code in simulated worlds, and shorten a schedule that fails; SIMULATE_ARGS="--minutes 30 --seed 5"
	@$(BIN)/python -m tests.simulation $(SIMULATE_ARGS)

stress: matrix ## the matrix, and count what commits late and is read all the same, about 20 min; STRESS_ARGS="horizon --rows 5000"
	@$(BIN)/python -m benchmarks.late_commits $(STRESS_ARGS)

check-loop: .venv/.dev ## run `adventure check` 200 times while everything runs, and count its alarms (about 10 minutes); CHECK_LOOP_ARGS="--runs 20"
	@$(BIN)/python -m tests.check_loop $(CHECK_LOOP_ARGS)

many-streams: .venv/.dev ## move a thousand tables in one pipeline, and compare them with their sources; MANY_STREAMS_ARGS="--streams 100"
	@$(BIN)/python -m tests.many_streams $(MANY_STREAMS_ARGS)

containers: .venv/.dev ## run the environment in containers under podman, disturb it, and compare; CONTAINERS_ARGS="--short"
	@tests/containers/run $(CONTAINERS_ARGS)

docs: .venv/.dev ## build the site that documents the dbt project, one page that needs no network: .adventure/docs/index.html
	@$(BIN)/python -m tools.site dbt .adventure/docs/index.html
	@echo "Open .adventure/docs/index.html"

worksheet: .venv/.dev ## write the checks and the dashboard's charts as Snowflake worksheets, into .adventure/worksheet
	@$(BIN)/python -m tools.worksheet .adventure/worksheet/checks.sql
	@$(BIN)/python -m tools.charts .adventure/worksheet/charts
	@echo "Written to .adventure/worksheet"

snow-cli: .venv/.dev .adventure/snow-cli/bin/snow ## bundle the dashboard with Snowflake's own command line, installed into .adventure/snow-cli
	@SNOW_CLI="$(CURDIR)/.adventure/snow-cli/bin/snow" $(PYTEST) -n 0 tests/snowflake/test_snow_cli.py

# It needs other versions than the project: an environment of its own.
.adventure/snow-cli/bin/snow: requirements/snow-cli.lock | .venv/.dev
	@$(BIN)/python -m venv --clear .adventure/snow-cli
	@.adventure/snow-cli/bin/pip install -q --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

newest: .venv/.dev .adventure/newest/.installed ## run the unit tests and the dashboard's with the newest Streamlit, pandas and pyarrow
	@$(IN_MEMORY) PYTHONPATH="$(CURDIR)" .adventure/newest/bin/pytest --numprocesses $(WORKERS) -m "unit and not slow" --ignore tests/snowflake
	@$(IN_MEMORY) PYTHONPATH="$(CURDIR)" .adventure/newest/bin/pytest --numprocesses $(WORKERS) -m "not slow" tests/dashboard

floor: .venv/.dev .adventure/floor/.installed ## run the dashboard's tests with the oldest Streamlit, that of Snowflake's warehouse runtime
	@$(IN_MEMORY) PYTHONPATH="$(CURDIR)" .adventure/floor/bin/pytest --numprocesses $(WORKERS) -m "not slow" tests/dashboard

# The developers' environment, with the versions of requirements/newest.lock or requirements/floor.lock over it.
.adventure/%/.installed: requirements/%.lock requirements/dev.lock | .venv/.dev
	@$(BIN)/python -m venv --clear .adventure/$*
	@$(BIN)/uv pip sync --quiet --python .adventure/$*/bin/python --require-hashes requirements/dev.lock
	@$(BIN)/uv pip install --quiet --python .adventure/$*/bin/python --no-deps --require-hashes -r requirements/$*.lock
	@$(BIN)/uv pip install --quiet --python .adventure/$*/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

lineage: .venv/.dev ## draw the lineage of the models into docs/lineage.md
	@$(BIN)/python -m tools.lineage dbt docs/lineage.md

lint: .venv/.dev ## check style, spelling, types, and which package imports which
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/codespell
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy

format: .venv/.dev ## apply the style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.dev ## run every benchmark and keep its figures in benchmarks/results (about 28 minutes); BENCH_ARGS="growth" runs some
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-first-load: .venv/.dev ## time the first load of 4 million order lines against psql (about 2 minutes)
	@$(BIN)/python -m benchmarks.first_load

bench-steady-state: .venv/.dev ## time a cycle of 5,000 new orders, an idle one, and a cold start (about a minute)
	@$(BIN)/python -m benchmarks.steady_state

bench-load: .venv/.dev ## time loading 4 million staged order lines against a bare insert (about a minute)
	@$(BIN)/python -m benchmarks.load

bench-waiting: .venv/.dev ## load and clean up 10,000 small windows that wait, against bare inserts (about 5 minutes)
	@$(BIN)/python -m benchmarks.waiting $(BENCH_ARGS)

bench-peers: .venv/.dev ## run dlt, sling, ingestr, rivet and pandas on the same tables (about 10 minutes; installs them once); PEERS_ARGS="--orders 50000"
	@$(BIN)/python -m benchmarks.peers --json benchmarks/results/peers.json --readme README.md $(PEERS_ARGS)

bench-peers-log: .venv/.dev ## read 100,000 changes by PostgreSQL's log with rivet and with Adventure (about 2 minutes; needs Debian's PostgreSQL 15 or newer)
	@$(BIN)/python -m benchmarks.peers.by_log --json benchmarks/results/peers_by_log.json --readme README.md $(PEERS_ARGS)

bench-mongo: .venv/.dev ## time staging 100,000 documents against reading them (about a minute)
	@$(BIN)/python -m benchmarks.mongo_load

bench-http: .venv/.dev ## time staging 100,000 records of two HTTP APIs against reading their pages (about 2 minutes)
	@$(BIN)/python -m benchmarks.http_load

bench-freshness: .venv/.dev ## time from commit to dashboard over 10 minutes of the demo
	@$(BIN)/python -m benchmarks.freshness

bench-growth: .venv/.dev ## time cycles and first loads while the source grows to 10 million lines (about 6 minutes)
	@$(BIN)/python -m benchmarks.growth

bench-build: .venv/.dev ## time a build of one batch on a long history against a short one (about 2 minutes)
	@$(BIN)/python -m benchmarks.build_growth

bench-dashboard: .venv/.dev ## time every change of a control over a million live orders, in the app and in Chromium (about 5 minutes)
	@$(BIN)/python -m benchmarks.dashboard --browser

bench-status: .venv/.dev ## time `adventure status` over a healthy pipeline, and with both databases down (about a minute)
	@$(BIN)/python -m benchmarks.status

bench-log: .venv/.dev ## time 100,000 changes by the log and by a cursor, and the time from commit to staged (about 3 minutes)
	@$(BIN)/python -m benchmarks.by_log

bench-reconcile: .venv/.dev ## time how long 10 million equal rows take to compare (about 3 minutes)
	@$(BIN)/python -m benchmarks.reconcile

long-run: .venv/.dev ## run 2,000 cycles in one process and watch its memory and open files (about 5 minutes)
	@LONG_RUN_CYCLES=2000 $(BIN)/pytest tests/processor/test_long_run.py -s

lock: .venv/.dev ## resolve requirements/*.lock from pyproject.toml (needs the network); LOCK_ARGS=--upgrade takes newer versions
	$(call compile,dev,$(PROJECTS) --group build --extra warehouse --extra dashboard --extra http --extra snowflake --extra mcp --extra alerts --extra sandbox --extra dev $(LOCK_ARGS))
	$(call compile,demo,$(PROJECTS) --group build --extra warehouse --extra dashboard --extra http --extra sandbox $(as_dev))
	$(call compile,tasks,pyproject.toml --extra warehouse --extra dashboard --extra http --extra alerts $(as_dev))
	$(call compile,processor,pyproject.toml --extra http $(as_dev))
	$(call compile,generator,$(PROJECTS) --extra http --extra api $(as_dev))
	$(call compile,processor-snowflake,pyproject.toml --extra http --extra snowflake-stage $(as_dev))
	$(call compile,build,--group build $(as_dev))
	$(call compile,uv,--group install $(as_dev))
	$(call compile,newest,requirements/newest.in $(LOCK_ARGS))
	$(call compile,floor,requirements/floor.in $(LOCK_ARGS))
	$(call compile,snow-cli,requirements/snow-cli.in $(LOCK_ARGS))
	$(call compile_example,airflow)
	$(call compile_example,dagster)

outdated: .venv/.dev ## list the locked packages that are a major version behind, and what holds each (needs the network)
	@$(BIN)/python -m tools.outdated

wheels: .venv/.dev ## build the wheels of both distributions into dist/, and the optional decoder's where a C compiler is present
	@$(BIN)/python -m hatchling build --target wheel --directory $(CURDIR)/dist
	@cd adventure/demo && ../../$(BIN)/python -m hatchling build --target wheel --directory $(CURDIR)/dist
	@tools/decoder wheel $(CURDIR)/dist

up: ## build the images and start the whole environment in containers; COMPOSE="podman-compose" uses another command
	@test -f .env || cp .env.example .env
	$(COMPOSE) up --detach --build

down: ## stop the containers; their data stays in volumes
	$(COMPOSE) down

logs: ## follow the containers' logs
	$(COMPOSE) logs --follow

screenshots: .venv/.dev ## take the pictures of the dashboard of the demo's data (needs chromium)
	@$(BIN)/python -m tests.dashboard.screenshots

clean: ## remove the environment and all data of the demo
	rm -rf .venv .adventure dist

# Versions and hashes for every Python and platform that the project supports. The locks are complete, so they are
# installed with --no-deps (docs/decisions/0009-locks-by-uv-pip-compile.md).
PROJECTS := pyproject.toml adventure/demo/pyproject.toml
compile = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --quiet \
	--custom-compile-command "make lock" --no-emit-package adventure-pipeline $(2) --output-file requirements/$(1).lock

# Each scheduler has an environment of its own, with versions of its own.
compile_example = $(BIN)/uv pip compile --python-version 3.11 --generate-hashes --no-annotate --quiet \
	--custom-compile-command "make lock" examples/$(1)/requirements.in --output-file examples/$(1)/requirements.lock

# What runs in an image or on a laptop is what was tested: the other locks take their versions from the developers'.
as_dev = --constraint requirements/dev.lock

# The environment holds what the locks say. The stamps let `make` see that nothing has changed.
.venv/.demo: requirements/demo.lock requirements/uv.lock pyproject.toml
	$(call install,demo)

# The decoder is optional: without a C compiler, a line says what is slower.
.venv/.dev: requirements/dev.lock requirements/uv.lock pyproject.toml $(wildcard decoder/*.* decoder/adventure_decoder/*)
	$(call install,dev)
	@tools/decoder install
	@touch .venv/.demo .venv/.dev

define install
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Adventure needs Python 3.11, 3.12 or 3.13; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@tools/install requirements/$(1).lock
	@touch .venv/.$(1)
endef
