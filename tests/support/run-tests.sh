#!/usr/bin/env bash
# Runs every test of the workspace; the addresses of the servers come in the environment.
set -euo pipefail
if command -v cargo-nextest >/dev/null; then
    exec cargo nextest run --locked --workspace --features waddlebot/test-support --no-fail-fast
fi
exec cargo test --locked --workspace --features waddlebot/test-support --no-fail-fast
