#!/usr/bin/env bash
# Installs what is missing to build (`install.sh run`), for three nodes (`cluster`), to test (`test`), to send wrong requests (`fuzz`) or to break a
# cluster (`chaos`): through apt where it is there and allowed, else it says exactly what to install.
set -euo pipefail

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v make >/dev/null || missing+=(make)
if [ "${1:-run}" = fuzz ]; then
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)
    command -v curl >/dev/null || missing+=(curl)
elif [ "${1:-run}" != run ]; then
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
    command -v redis-server >/dev/null || missing+=(redis-server)
fi

if [ "${1:-run}" = chaos ]; then
    command -v ip >/dev/null || missing+=(iproute2)
fi

if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing: ${missing[*]}"
        apt-get update -q >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
    else
        echo "please install: ${missing[*]}   (Debian: sudo apt-get install ${missing[*]})" >&2
        exit 1
    fi
fi

if ! command -v cargo >/dev/null; then
    echo "please install Rust 1.95 or newer: https://rustup.rs" >&2
    exit 1
fi
