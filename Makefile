PYTEST = .venv/bin/python -m pytest
JOBS ?= 2
# Labs side by side: a lab's test waits for its server about half of the time.
LABS ?= 3

.PHONY: help setup demo check test test-all faults bench clean

help:
	@echo "make demo    a simulated rented server becomes a host of IPv6-only guests (root or sudo, Debian 12)"
	@echo "make test    everything, with labs and guests"
	@echo "make test-all  more of it: every backend with every kind of hoster, 200 random walks, ten times the fuzz cases"
	@echo "make check   lint, types, pure tests"
	@echo "make faults  what goes wrong in a network change, how soon it is noticed, how long the server is away"
	@echo "make bench   what an up and a refresh cost: connections and exchanges"
	@echo "make clean   remove labs, caches and the virtual environment"

setup:
	@./setup

demo:
	@./setup --lab
	@./demo

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	$(PYTEST) -q -n $(JOBS) tests/unit

test: check
	$(PYTEST) -q -n $(JOBS) tests/fuzz
	@./setup --lab
	$(PYTEST) -n $(LABS) --dist loadfile --no-loadscope-reorder tests/engine tests/host tests/scenario

test-all: export TEST_ALL = yes
test-all: test

faults:
	@./setup --lab
	$(PYTEST) -q -s tests/scenario/test_faults.py tests/scenario/test_faults_midway.py

bench:
	@./setup --lab
	.venv/bin/python -m bench

clean:
	-./sixstead lab down --purge
	rm -rf .venv .pulumi .hypothesis
