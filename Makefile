# Everything a developer types. Each target sets up what it needs and says what it installs; nothing is installed twice.
# As root, or with sudo where Debian packages are missing and for the lab.

PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
WORKERS ?= 2
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
LAB := $(SUDO) env KEEPALIVE_REQUIRE_LAB=$(KEEPALIVE_REQUIRE_LAB) PYTHONDONTWRITEBYTECODE=1 $(BIN)/python -m tests.lab
CONSTRAINTS := $(wildcard constraints.txt)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS:%=-c %)
NODE_CLIENT := tests/support/real_clients/node_modules
SHELL_FILES := .ci/run tools/install-packages $(shell git ls-files 'src/*.sh' 'tests/*.sh' bench/ssh_loop.sh)

.PHONY: help demo dev lint test coverage test-plain test-sshd test-readers test-lab guarantees hosts fuzz bench bench-latency bench-scale docs pictures dist test-wheel wheelhouse matrix constraints lock clean packages-ssh packages-plain packages-readers packages-lab packages-postgresql
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' Makefile

demo: .venv/run.stamp ## check, plan and apply on real sshd servers on loopback
	@tools/install-packages openssh-server openssh-client
	$(BIN)/sshd-keepalive demo

dev: .venv/dev.stamp ## the virtual environment .venv with everything a developer needs

lint: dev ## format, lint, types, import rules, shell scripts, workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/shellcheck $(SHELL_FILES)
	$(BIN)/zizmor --offline --quiet .github action.yml
	@if command -v actionlint; then actionlint; else echo "actionlint is not installed: the workflows were not checked with it"; fi

test: test-plain coverage test-sshd test-readers test-lab ## all tests

test-plain: packages-ssh packages-plain dev ## plain `pytest` and its slow tests: no root, no server; ssh-keygen makes the keys
	$(PYTEST) -q -n $(WORKERS) -m 'not sshd and not lab and not readers and not fuzz'

coverage: dev ## every branch of what reads, judges and edits configurations; half a minute
	$(BIN)/coverage run -m pytest -q tests/unit/sshd_config tests/unit/planning tests/unit/scripts/test_survey.py tests/unit/history/test_changes.py tests/property/test_core.py
	$(BIN)/coverage report

test-sshd: packages-ssh packages-postgresql $(NODE_CLIENT) dev ## against real sshd and PostgreSQL servers on loopback, no root needed
	$(PYTEST) -q -n $(WORKERS) -m sshd

test-readers: packages-readers dev ## the reports in a real browser and in promtool; no root needed
	$(PYTEST) -q -n $(WORKERS) --dist loadfile -m readers tests/readers

test-lab: packages-ssh packages-lab $(NODE_CLIENT) dev ## against real hosts, Debian and layouts of others; needs root for systemd-nspawn
	$(LAB) run $(PYTEST) -q -n $(WORKERS) --dist loadfile -p no:cacheprovider -rs -m lab tests/lab
	$(SUDO) env KEEPALIVE_REQUIRE_LAB=$(KEEPALIVE_REQUIRE_LAB) PYTHONDONTWRITEBYTECODE=1 $(PYTEST) -q -n $(WORKERS) -p no:cacheprovider -rs -m lab tests/sshd

guarantees: packages-ssh packages-lab dev ## every fault before every step on every kind of host; writes the table of docs/guarantees.md
	$(LAB) run env KEEPALIVE_WRITE_GUARANTEES=1 $(PYTEST) -q -p no:cacheprovider -rs -m lab tests/lab/test_which_daemon.py tests/lab/test_guard_faults.py

hosts: packages-ssh packages-lab dev ## the commands and their failures on every kind of host; writes docs/reference/hosts.md
	$(LAB) run env KEEPALIVE_WRITE_HOSTS=1 $(PYTEST) -q -p no:cacheprovider -rs -m lab tests/lab/test_kinds.py

fuzz: packages-ssh packages-lab dev ## 27,000 trees against real servers, and ten minutes of mutated files and of hostile answers; needs root
	$(LAB) build d11 d12 d13 sid
	$(SUDO) env PYTHONDONTWRITEBYTECODE=1 KEEPALIVE_WRITE_TRIED=1 $(PYTEST) -q -s -n $(WORKERS) --dist loadfile -p no:cacheprovider -rs -m fuzz tests/sshd tests/fuzz

bench: packages-ssh packages-lab .venv/run.stamp .venv-bench/stamp ## ours beside ssh, paramiko, pyinfra, Ansible; writes bench/results.md and the figures of the README
	$(LAB) build d12py
	$(LAB) run $(BIN)/python -m bench
	$(LAB) run $(BIN)/python -m bench.rollback
	$(BIN)/python tools/write-reference

bench-latency: packages-ssh packages-lab .venv/run.stamp .venv-bench/stamp ## one host behind a slow path, ours beside the others; writes bench/latency.md and the figures of the README
	$(LAB) build d12py
	$(LAB) run $(BIN)/python -m bench.latency
	$(BIN)/python tools/write-reference

SCALE ?= --sizes 100,1000,10000
bench-scale: packages-ssh .venv/run.stamp .venv-bench/scale.stamp ## check of 100 to 10,000 hosts on loopback; writes bench/scale.md
	$(BIN)/python -m bench.scale $(SCALE)

docs: dev ## the pages that are made from the program, and the site in build/site; a broken link is an error
	$(BIN)/python tools/write-reference
	$(BIN)/python tools/build-site

pictures: packages-ssh packages-readers dev ## the pictures of the README, from a real run
	$(BIN)/python tools/draw-pictures

NOX := $(BIN)/nox --non-interactive --reuse-existing-virtualenvs
dist: dev ## sdist, wheel, the single file sshd-keepalive.pyz and the SBOM, in dist/
	$(NOX) -s dist

test-wheel: packages-ssh packages-plain dist ## the wheel and the single file, installed where the sources are not
	$(NOX) -s wheel light pyz

wheelhouse: dist ## dist/wheelhouse, all that an installation without a package index needs
	$(NOX) -s wheelhouse

matrix: packages-ssh packages-plain dev ## plain tests on every Python this machine has, and with the lowest dependencies
	$(NOX) -s tests lowest

constraints: dev ## write the versions in .venv to constraints.txt, from which `make` installs
	$(BIN)/python -m pip freeze --exclude-editable >constraints.txt

lock: dev ## requirements.lock: the packages of the program, of history and of reports, with hashes, in the versions of constraints.txt
	$(BIN)/uv pip compile pyproject.toml --extra history --extra reports --quiet --universal --generate-hashes --no-annotate --custom-compile-command 'make lock' -c constraints.txt -o requirements.lock

clean: ## remove the environments and caches of this checkout; the lab's roots stay in the user's cache
	rm -rf .venv .venv-bench .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .cache .nox build dist

.venv/run.stamp: pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	@echo "Installing sshd-keepalive into .venv"
	$(PIP) -e '.[history,reports]'
	@touch $@

.venv/dev.stamp: pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	@echo "Installing sshd-keepalive and the developers' tools into .venv"
	$(PIP) -e '.[dev]'
	@touch .venv/run.stamp $@

.venv-bench/stamp: bench/requirements.txt | .venv/bin/python
	@echo "Installing what we are compared with into .venv-bench"
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	@touch $@

.venv-bench/scale.stamp: bench/scale/requirements.txt | .venv/bin/python
	@echo "Installing what we are compared with into .venv-bench"
	[ -x .venv-bench/bin/python ] || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r bench/scale/requirements.txt
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || tools/install-packages python3-venv
	$(PYTHON) -m venv .venv

# node's ssh2, in the versions and with the hashes of its lock. Some distributors of Node bring npm with it.
$(NODE_CLIENT): $(NODE_CLIENT:node_modules=package-lock.json)
	@command -v npm >/dev/null || tools/install-packages nodejs npm
	cd $(@D) && npm ci --silent
	@touch $@

packages-plain:
	@tools/install-packages busybox mksh patch xz-utils bzip2 zsh fish man-db mandoc

packages-ssh:
	@tools/install-packages openssh-server openssh-client dropbear-bin tinysshd
	@[ "$$(id -u)" != 0 ] || install -d -m 755 /run/sshd # sshd run by root wants it; the service, never started here, makes it

# playwright brings a Node of its own, which wants libatomic1.
packages-readers:
	@tools/install-packages chromium prometheus libatomic1

packages-postgresql:
	@tools/install-packages postgresql

packages-lab:
	@tools/install-packages systemd-container debootstrap debian-archive-keyring iproute2 mount util-linux
