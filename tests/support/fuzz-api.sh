#!/usr/bin/env bash
# Sends a node requests made from its own OpenAPI document, right and wrong ones, and fails on an answer of 500, an undocumented
# status or a body that its schema does not allow. Usage: tests/support/fuzz-api.sh PROGRAM [CASES]
set -euo pipefail
program=$(realpath "$1")
cases=${2:-150}
folder=$(mktemp -d)
port=$((20000 + RANDOM % 10000))
url="http://127.0.0.1:$port"

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install 'schemathesis==4.32.5'

cd "$folder"
# An end of its input would end it.
mkfifo input
exec 3<> input
WADDLEBOT_HUB__LISTEN="127.0.0.1:$port" WADDLEBOT_LIMITS__HTTP_PER_IP=0 WADDLEBOT_LIMITS__HTTP_FAILED_AUTH_PER_IP=0 \
    "$program" run --console < input > node.log 2>&1 &
node=$!
trap 'kill "$node" 2>/dev/null || true; wait "$node" 2>/dev/null || true; rm -rf "$folder"' EXIT
for _ in $(seq 100); do
    if curl --silent --fail --output openapi.json "$url/api/v1/openapi.json"; then break; fi
    sleep 0.1
done
key=$(cat data/service.key)
send() {
    curl --silent --show-error --fail --output /dev/null --header "X-Service-Key: $key" --json "$2" "$url/api/v1/$1"
}
# Something to find under the key console:local.
send memories/quotes '{"community_id": "console:local", "quote_text": "I like ducks", "author_username": "ann"}'
send memories/bookmarks '{"community_id": "console:local", "url": "https://example.org/", "auto_fetch_metadata": false}'

# A node without a Twitch application says 503 where Twitch is to be asked.
cat > schemathesis.toml <<'END'
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]
END

# Not asked: what stops the node, and a stream that never ends.
"$folder/venv/bin/schemathesis" run openapi.json --url "$url" --header "X-Service-Key: $key" \
    --checks not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance \
    --exclude-path-regex 'drain|/live$' --phases coverage,fuzzing --max-examples "$cases" --continue-on-failure
if ! kill -0 "$node"; then
    echo "the node ended:" >&2
    tail -20 node.log >&2
    exit 1
fi
