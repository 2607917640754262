#!/usr/bin/env bash
# Starts three nodes as one cluster on this machine, with PostgreSQL, Redis and certificates of their own, until Ctrl-C:
#
#     tests/support/cluster.sh target/release/waddlebot
#
# Each node reads the repository's cluster.toml as it stands; what differs is in the environment. Settings that you
# export (WADDLEBOT_PLATFORMS__TWITCH__… and the like) reach all three. Nothing is left behind.
set -euo pipefail

if [ "$#" -ne 1 ]; then
    echo "usage: $0 PROGRAM" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)

# First PostgreSQL, by the script that the tests use; it starts this one again with the server's address.
if [ -z "${WADDLEBOT_TEST_POSTGRES:-}" ]; then
    exec "$here/servers.sh" "$0" "$1"
fi
storage_url=$WADDLEBOT_TEST_POSTGRES
# What no node knows is refused by each.
unset WADDLEBOT_TEST_POSTGRES

program=$(realpath "$1")
folder=$(mktemp -d "${TMPDIR:-/tmp}/waddlebot-cluster.XXXXXX")
pids=()

stop() {
    trap - EXIT
    # A second signal must not leave anything running: the nodes hand over and end within 20 s by themselves.
    trap '' INT TERM HUP
    echo "stopping"
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    # Redis last: the nodes use it until they end.
    if [ -n "${redis:-}" ]; then
        kill -TERM "$redis" 2>/dev/null || true
        wait "$redis" 2>/dev/null || true
    fi
    if [ "${failed:-}" = yes ]; then echo "the logs are in $folder" >&2; else rm -rf "$folder"; fi
}
trap stop EXIT
trap 'exit 0' INT TERM HUP

give_up() {
    failed=yes
    echo "$1" >&2
    tail -n 5 "$2" >&2
    exit 1
}

# Every process in a group of its own, so that Ctrl-C reaches this script alone and it stops them in order.
set -m

secret() { od -An -vtx1 -N32 /dev/urandom | tr -d ' \n'; }

# The first port from $2 on at which nobody answers at $1.
free_port() {
    local port=$2
    while (exec 3<>"/dev/tcp/$1/$port") 2>/dev/null; do port=$((port + 1)); done
    echo "$port"
}

umask 077
for name in cookie service_key storage_key session_secret redis_password; do secret >"$folder/$name"; done
export WADDLEBOT_STORAGE__URL=$storage_url
export WADDLEBOT_STORAGE__KEY_FILE=$folder/storage_key
export WADDLEBOT_CLUSTER__ENABLED=true
export WADDLEBOT_CLUSTER__COOKIE_FILE=$folder/cookie
export WADDLEBOT_HUB__SERVICE_KEY_FILE=$folder/service_key
export WADDLEBOT_HUB__SESSION_SECRET_FILE=$folder/session_secret

redis_port=$(free_port 127.0.0.1 6390)
# From standard input, so that the password stands in no list of processes.
redis-server - >"$folder/redis.log" 2>&1 <<SETTINGS &
bind 127.0.0.1
port $redis_port
requirepass $(cat "$folder/redis_password")
save ""
dir $folder
SETTINGS
redis=$!
export WADDLEBOT_REDIS__URL="redis://:$(cat "$folder/redis_password")@127.0.0.1:$redis_port"

# Linux answers at every address of 127.0.0.0/8: each node has its own, as on machines of their own.
hosts=(127.0.0.1 127.0.0.2 127.0.0.3)
"$program" cluster certificates --dir "$folder/certificates" --host "${hosts[@]}" >/dev/null

# Once, before three nodes would all want to; it is no node, and needs no address of one.
WADDLEBOT_CLUSTER__ENABLED=false "$program" migrate --config "$here/../../cluster.toml" >"$folder/migrate.log" 2>&1 ||
    give_up "the database has no schema:" "$folder/migrate.log"

urls=()
hub_port=8080
for n in 1 2 3; do
    host=${hosts[n - 1]}
    hub_port=$(free_port 127.0.0.1 $((hub_port + 1)))
    urls+=("http://127.0.0.1:$hub_port")
    WADDLEBOT_NODE__ID=node-$n \
        WADDLEBOT_NODE__DATA_DIR=$folder/node-$n \
        WADDLEBOT_HUB__LISTEN=127.0.0.1:$hub_port \
        WADDLEBOT_CLUSTER__LISTEN=$host:$(free_port "$host" 7070) \
        WADDLEBOT_CLUSTER__TLS_CERT=$folder/certificates/$host.pem \
        WADDLEBOT_CLUSTER__TLS_KEY=$folder/certificates/$host.key \
        WADDLEBOT_CLUSTER__TLS_CA=$folder/certificates/ca.pem \
        "$program" run --config "$here/../../cluster.toml" >"$folder/node-$n.log" 2>&1 </dev/null &
    pids+=($!)
done

status=("$program" cluster status --url "${urls[0]}" --key-file "$folder/service_key")
deadline=$((SECONDS + 60))
until [ "$("${status[@]}" --json 2>/dev/null | grep -c '"state": "active"')" = 3 ]; do
    for n in 1 2 3; do
        kill -0 "${pids[n - 1]}" 2>/dev/null || give_up "node-$n ended:" "$folder/node-$n.log"
    done
    [ "$SECONDS" -lt "$deadline" ] || give_up "the nodes do not meet within 60 s:" "$folder/node-1.log"
    sleep 0.2
done

"${status[@]}"
echo
for n in 1 2 3; do
    echo "node-$n  ${urls[n - 1]}  pid ${pids[n - 1]}  log $folder/node-$n.log"
done
cat <<TEXT
PostgreSQL  $storage_url
Redis       127.0.0.1:$redis_port, log $folder/redis.log

Look, at any node:   ${status[*]}
Add a channel:       $program channels add twitch:somebody --url ${urls[0]} --key-file $folder/service_key
See one fall:        kill -9 ${pids[1]}
Stop everything:     Ctrl-C, or kill $$
TEXT

# A node that falls is told, the others go on; bash returns from each wait when a signal comes, for the trap.
for n in 1 2 3; do
    code=0
    wait "${pids[n - 1]}" || code=$?
    echo "node-$n ended with $code"
done
