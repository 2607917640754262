#!/usr/bin/env bash
# Runs a command with a PostgreSQL server of its own and stops the server afterwards, red or green:
#
#     tests/support/servers.sh cargo test --workspace
#
# The command finds the server's address in WADDLEBOT_TEST_POSTGRES. Needs Debian's package `postgresql` only.
set -euo pipefail

if [ "$#" -eq 0 ]; then
    echo "usage: $0 COMMAND [ARGUMENT…]" >&2
    exit 2
fi

bin=""
for candidate in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V); do
    if [ -x "$candidate/initdb" ]; then bin=$candidate; fi
done
if [ -z "$bin" ]; then
    echo "the tests need PostgreSQL: apt-get install postgresql" >&2
    exit 1
fi

# PostgreSQL refuses to run as root; the user that the package made runs it then.
as_owner() {
    if [ "$(id -u)" -eq 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

folder=$(mktemp -d "${TMPDIR:-/tmp}/waddlebot-servers.XXXXXX")
if [ "$(id -u)" -eq 0 ]; then chown postgres "$folder"; fi
# The socket stands in the folder, which others need not list but must be able to pass.
chmod 711 "$folder"

stop() {
    trap - EXIT
    as_owner "$bin/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap stop EXIT

as_owner "$bin/initdb" -A trust -U postgres -E UTF8 -N -D "$folder/data" >/dev/null
settings="-k $folder -c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
settings="$settings -c max_connections=300 -c shared_buffers=64MB"
if ! as_owner "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w -o "$settings" start >/dev/null; then
    cat "$folder/log" >&2
    exit 1
fi
export WADDLEBOT_TEST_POSTGRES="postgres://postgres@localhost/postgres?host=$folder"

# In the background and waited for, so that a signal reaches the trap at once and the command as well.
"$@" <&0 &
child=$!
trap 'kill -TERM "$child" 2>/dev/null || true' INT TERM
status=0
wait "$child" || status=$?
while kill -0 "$child" 2>/dev/null; do
    wait "$child" || status=$?
done
exit "$status"
