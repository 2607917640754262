# On a fresh machine: `make run`, `make cluster` and `make test`. The others are for those who work on the code.
SHELL := /bin/bash
CARGO ?= cargo
RUN_ARGS ?=

.PHONY: run cluster test lint bench soak chaos faults fuzz audit deps-run deps-cluster deps-test deps-chaos deps-fuzz

## Starts one node on the embedded default; the terminal becomes a channel.
run: deps-run
	$(CARGO) build --release --locked
	@exec target/release/waddlebot run $(RUN_ARGS)

## Three nodes as one cluster, with PostgreSQL, Redis and certificates of their own, until Ctrl-C.
cluster: deps-cluster
	$(CARGO) build --release --locked
	@exec tests/support/cluster.sh target/release/waddlebot

## Every test, against a PostgreSQL of its own.
test: deps-test
	tests/support/servers.sh tests/support/run-tests.sh

## Format and lints, as CI checks them.
lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --features waddlebot/test-support -- -D warnings

## The figures of docs/benchmarks.md: fake Twitch on one core, the bot on the other.
bench: deps-run
	$(CARGO) build --release --locked -p waddlebot -p waddlebot-bench
	target/release/waddlebot-bench --bot target/release/waddlebot $(BENCH_ARGS)

## The long forms of the fault tests.
soak: deps-test
	WADDLEBOT_TEST_SOAK=1 tests/support/servers.sh tests/support/run-tests.sh

## Three nodes under load, killed, stopped, cut off: the table of docs/benchmarks.md. As root: it makes a network of its own.
chaos: deps-chaos
	$(CARGO) build --release --locked -p waddlebot -p waddlebot-bench --features waddlebot/test-support
	target/release/waddlebot-bench chaos --bot target/release/waddlebot $(CHAOS_ARGS)

## Fault tests by name, with their figures on the screen.
faults: deps-test
	tests/support/servers.sh $(CARGO) test --locked --features test-support --test it -- --nocapture --test-threads 1 faults

## The property tests with many more cases, and the API against its own description.
fuzz: deps-fuzz
	PROPTEST_CASES=20000 $(CARGO) test --locked --release -p waddlebot-domain
	PROPTEST_CASES=20000 $(CARGO) test --locked --release --lib
	$(CARGO) build --release --locked
	tests/support/fuzz-api.sh target/release/waddlebot

## Licences, bans and sources; advisories where their database is reachable.
audit:
	cargo deny --locked check

deps-run:
	@tests/support/install.sh run

deps-cluster:
	@tests/support/install.sh cluster

deps-test:
	@tests/support/install.sh test

deps-fuzz:
	@tests/support/install.sh fuzz

deps-chaos: deps-test
	@tests/support/install.sh chaos
