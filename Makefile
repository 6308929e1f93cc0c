# `make run` and `make test` are all there is to know; `make help` lists the rest.
# Everything is installed into .venv with the versions of constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= etc/veloflux.yaml
TESTS ?= tests
BENCH ?=
SOAK ?=
BALANCING ?=

# A warning is an error. What a dependency warns of on import is excluded by its name here, with
# the reason beside it.
WARNINGS := -W error

.DEFAULT_GOAL := help
.PHONY: help run test lint types format docs docs-record dashboard screenshots
.PHONY: bench bench-balancing soak build clean

help:  ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 18

run: $(VENV)/.run  ## run VeloFlux before two demo backends (CONFIG=etc/veloflux.yaml)
	@exec $(BIN)/python -m veloflux.demo --config $(CONFIG)

test: $(VENV)/.test  ## run all tests, or some: make test TESTS=tests.core
	@.ci/debian curl=curl h2load=nghttp2-client haproxy=haproxy wrk=wrk prlimit=util-linux strace=strace \
		chromium=chromium openssl=openssl
	$(BIN)/python $(WARNINGS) -m twisted.trial $(TESTS)

lint: $(VENV)/.test  ## style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.test  ## bring the code into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.run  ## write the reference pages from the code
	$(BIN)/python -m docs.generate

docs-record: $(VENV)/.test  ## ask a daemon by every endpoint, for the reference's examples
	$(BIN)/python -m docs.record
	$(BIN)/python -m docs.generate

dashboard:  ## build the dashboard's page anew from dashboard/
	@command -v npm >/dev/null || { echo "The page is built by npm, which comes with Node.js (20.19 \
	or newer); dashboard/README.md says how. What was built last is in the tree." >&2; exit 1; }
	cd dashboard && npm ci && npm run build

screenshots: $(VENV)/.test  ## take the pictures of the dashboard that are in docs/
	@.ci/debian chromium=chromium pngquant=pngquant
	$(BIN)/python -m docs.screenshots

bench: $(VENV)/.bench  ## measure beside nginx and HAProxy: make bench BENCH="--rounds 3"
	@.ci/debian nginx=nginx haproxy=haproxy wrk=wrk h2load=nghttp2-client
	$(BIN)/python -m bench $(BENCH)

bench-balancing: $(VENV)/.run  ## the algorithms in simulated trouble; with BALANCING="--live" in real processes
	@case "$(BALANCING)" in *--live*) .ci/debian haproxy=haproxy ;; esac
	$(BIN)/python -m bench.balancing $(BALANCING)

soak: $(VENV)/.run  ## mixed load for ten minutes, and what is left of it: make soak SOAK="--minutes 2"
	$(BIN)/python -m bench.soak $(SOAK)

build: $(VENV)/.test  ## sdist and wheel in dist/
	rm -rf build dist
	$(BIN)/python -m build

clean:  ## remove everything that was made here; var/ is kept
	rm -rf $(VENV) build dist *.egg-info .*_cache .hypothesis .coverage* _trial_temp* bench/results
	rm -f veloflux/edge/compiled.c veloflux/edge/compiled*.so
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache

# One stamp for each set of packages: a second run installs nothing unless the lists have changed.
$(VENV)/.run: EXTRAS :=
$(VENV)/.test: EXTRAS := [test,lint]
$(VENV)/.bench: EXTRAS := [bench]
$(VENV)/.run $(VENV)/.test $(VENV)/.bench: constraints.txt setup.cfg setup.py pyproject.toml \
		veloflux/edge/compiled.pyx | $(BIN)/python
	@.ci/compiler $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.$(EXTRAS)'
	@touch $@ $(VENV)/.run  # whatever else they bring, all bring what `run` needs

$(BIN)/python:
	@.ci/venv $(PYTHON) $(VENV)
