#!/usr/bin/env bash
# Starts examples/push_service and asks it everything it serves: HTTP and event streams with curl, WebSocket with
# push_service.mjs:
#
#     push_service_test.sh <push_service> <push_service.mjs> [tls]
set -euo pipefail

source tests/integration/server.sh

readonly kServer=$1
readonly kClient=$2
streams=()

start_push() { start "$kServer" --address 127.0.0.1 --port 0 --threads 2 "$@"; }

# stop <what>: SIGTERM; it must exit with 0.
stop() {
    kill -TERM "$server"
    expect_exit "$1"
}

cleanup() {
    local pid
    for pid in "${streams[@]}" $server; do kill -KILL "$pid" 2>/dev/null || true; done
}
trap cleanup EXIT

ask() { curl -sS --max-time 20 "$@"; }
status() { curl -sS --max-time 20 -o /dev/null -w '%{http_code}' "$@"; }
metric() { ask "$url/metrics" | sed -n "s/^$1 //p"; }
has_metric() { [[ $(metric "$1") == "$2" ]]; }
has_lines() { (($(grep -c "$2" "$1" || true) >= $3)); }

# stream <file> <curl arguments...>: an event stream into a file, until it ends.
stream() {
    local file=$1
    shift
    : >"$file"
    curl -sSN --max-time 60 "$@" >"$file" 2>/dev/null &
    streams+=($!)
}

# --- The token ---

printf 'secret\n' >"$kDir/token"
start_push --token-file "$kDir/token" --allow-origin https://friend.example --keep-alive 200
readonly kAuth='Authorization: Bearer secret'

expect "no token" 401 "$(status -d x "$url/publish/t")"
expect_match "no token: how to bring one" 'WWW-Authenticate: Bearer' "$(ask -i -d x "$url/publish/t")"
expect "a wrong token" 403 "$(status -H 'Authorization: Bearer secreT' -d x "$url/publish/t")"
expect "a token that begins well" 403 "$(status -H 'Authorization: Bearer secretsecret' -d x "$url/publish/t")"
expect "an empty token" 401 "$(status -H 'Authorization: Bearer ' -d x "$url/publish/t")"
expect "the token" 200 "$(status -H "$kAuth" -d x "$url/publish/t")"
expect "the token, from a strange page" 403 "$(status -H "$kAuth" -H 'Origin: https://evil.example' -d x "$url/publish/t")"
expect "the token, from a friendly page" 200 "$(status -H "$kAuth" -H 'Origin: https://friend.example' -d x "$url/publish/t")"
expect "the token, from the service's own page" 200 "$(status -H "$kAuth" -H "Origin: $url" -d x "$url/publish/t")"
expect_match "the answer is the id" '^\{"id":[0-9]+\}$' "$(ask -H "$kAuth" -d x "$url/publish/t")"

# --- What cannot be published ---

expect "a wildcard is no topic" 400 "$(status -H "$kAuth" -d x "$url/publish/%23")"
expect "no topic" 404 "$(status -H "$kAuth" -d x "$url/publish/")"
expect "not UTF-8" 400 "$(status -H "$kAuth" --data-binary $'\xff' "$url/publish/t")"
head -c 70000 /dev/zero | tr '\0' x >"$kDir/large"
expect "too large" 413 "$(status -H "$kAuth" --data-binary @"$kDir/large" "$url/publish/t")"

# --- Pages ---

expect "health" ok "$(ask "$url/healthz")"
expect_match "the page" '<title>push</title>' "$(ask "$url/")"
expect_match "the page's policy" "Content-Security-Policy: default-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss:" "$(ask -I "$url/")"
expect "an event stream's head" 200 "$(status -I "$url/events/t")"
expect "events for a strange page" 403 "$(status -I -H 'Origin: https://evil.example' "$url/events/t")"
expect_match "events for a friendly page" 'Access-Control-Allow-Origin: https://friend.example' "$(ask -I -H 'Origin: https://friend.example' "$url/events/t")"

# --- Event streams ---

stream "$kDir/live" "$url/events/a%2Fb"
wait_for "a stream begins" has_lines "$kDir/live" '^id: ' 1
for text in one 'two
lines' '"three" ☃'; do ask -H "$kAuth" --data-binary "$text" "$url/publish/a%2Fb" >/dev/null; done
ask -H "$kAuth" -d 'not for this stream' "$url/publish/a" >/dev/null
wait_for "events come" has_lines "$kDir/live" '^data: ' 3
expect_match "an event is JSON in one line" '"topic":"a/b","data":"two\\nlines"}' "$(cat "$kDir/live")"
expect "and nobody else's" 0 "$(grep -c 'not for this' "$kDir/live" || true)"
wait_for "comments keep it alive" has_lines "$kDir/live" '^:$' 2

first=$(sed -n 's/^data: {"id":\([0-9]*\),.*/\1/p' "$kDir/live" | head -n 1)
stream "$kDir/resumed" -H "Last-Event-ID: $first" "$url/events/a%2Fb"
wait_for "Last-Event-ID: what followed it" has_lines "$kDir/resumed" '^data: ' 2
expect "Last-Event-ID: the same as live" "$(grep '^data: ' "$kDir/live" | tail -n 2)" "$(grep '^data: ' "$kDir/resumed")"
expect "a complete replay does not say otherwise" 0 "$(grep -c '^: incomplete' "$kDir/resumed" || true)"
stream "$kDir/ancient" -H "Last-Event-ID: 5" "$url/events/a%2Fb"
wait_for "an id from before this server: all there is" has_lines "$kDir/ancient" '^data: ' 3
expect "which may not be all there was" 1 "$(grep -c '^: incomplete' "$kDir/ancient" || true)"
expect "a malformed id" 400 "$(status -H 'Last-Event-ID: 5x' "$url/events/t")"

wait_for "streams are counted" has_metric 'push_connections{kind="sse"}' 3
kill "${streams[@]}"
wait "${streams[@]}" 2>/dev/null || true
streams=()
wait_for "and discounted" has_metric 'push_connections{kind="sse"}' 0

# --- Metrics ---

expect_match "their type" 'Content-Type: text/plain; version=0.0.4' "$(ask -I "$url/metrics")"
expect "published" 8 "$(metric push_published_total)"
expect "refused" 6 "$(metric push_publish_refused_total)"
expect "the histogram counts them all" 8 "$(metric push_publish_seconds_count)"
expect "and ends with all" 8 "$(metric 'push_publish_seconds_bucket{le="+Inf"}')"
expect "lines that are neither comment nor sample" 0 \
    "$(ask "$url/metrics" | grep -cvE '^# (HELP|TYPE) [a-z_]+ .+$|^[a-z_]+(\{[a-z]+="[^"]*"\})? [0-9.e+-]+$' || true)"
stop "SIGTERM exits 0"

# --- Without a token ---

start_push
expect "nobody may publish" 403 "$(status -d x "$url/publish/t")"
expect "whatever he brings" 403 "$(status -H "$kAuth" -d x "$url/publish/t")"
stop "SIGTERM exits 0, again"

# --- WebSocket ---

start_push --open-publish --history 10 --history-topics 3 --subscriptions 4 --allow-origin https://friend.example --drain-spread 300
if node --experimental-websocket -e '0' 2>/dev/null; then
    code=0
    node --no-warnings --experimental-websocket "$kClient" "$url" "$server" || code=$?
    expect "the WebSocket client" 0 "$code"
    ((code == 0)) || kill -TERM "$server"  # which it has not come to
    code=0
    wait "$server" || code=$?
    server=
    expect "the drain that it asked for exits 0" 0 "$code"
elif [[ ${CI-} == true ]]; then
    fail "this node has no WebSocket"
    stop "SIGTERM exits 0 without it"
else
    echo "SKIPPED: this node has no WebSocket; nothing of /ws is tested"
    stop "SIGTERM exits 0 without it"
fi

# --- Slow consumers ---

# slow <kind> <policy>: a client that reads nothing, and more messages than all buffers hold.
head -c 60000 /dev/zero | tr '\0' x >"$kDir/body"
readonly kUpgrade='Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
slow() {
    start_push --open-publish --slow-consumer "$2" --max-queue 131072 --drain-spread 0
    start_unread
    case $1 in
        sse) printf 'GET /events/t HTTP/1.1\r\nHost: a\r\n\r\n' >&3 ;;
        websocket) printf '%b' "GET /ws?topic=t HTTP/1.1\r\nHost: a\r\n$kUpgrade\r\n" >&3 ;;
    esac
    wait_for "$1, $2: subscribed" has_metric "push_subscriptions{kind=\"$1\"}" 1
    for ((i = 0; i < 250; ++i)); do
        printf 'url = "%s/publish/t"\ndata-binary = "@%s"\noutput = /dev/null\nsilent\nnext\n' "$url" "$kDir/body"
    done | sed '$d' >"$kDir/many"
    curl --max-time 60 -K "$kDir/many"
    expect "$1, $2: all were published" 250 "$(metric push_published_total)"
}

for kind in sse websocket; do
    slow "$kind" close
    wait_for "$kind, close: it was closed" has_metric "push_slow_closed_total{kind=\"$kind\"}" 1
    wait_for "$kind, close: nothing waits any more" has_metric "push_queue_bytes{kind=\"$kind\"}" 0
    end_unread
    stop "$kind, close: SIGTERM exits 0"

    for policy in drop-newest drop-oldest keep-latest; do
        slow "$kind" "$policy"
        expect "$kind, $policy: it is still connected" 1 "$(metric "push_connections{kind=\"$kind\"}")"
        expect_match "$kind, $policy: messages were dropped" '^[1-9]' "$(metric "push_dropped_total{kind=\"$kind\"}")"
        waiting=$(metric "push_queue_bytes{kind=\"$kind\"}")
        expect_match "$kind, $policy: something waits" '^[1-9]' "$waiting"
        ((waiting <= 131072)) || fail "$kind, $policy: $waiting bytes wait"
        end_unread
        stop "$kind, $policy: SIGTERM exits 0"
    done
done

# --- Bad set-up says what and which, and exits non-zero ---

# refuses <what> <code> <regular expression> <arguments...>
refuses() {
    local what=$1 code=$2 pattern=$3 message got=0
    shift 3
    message=$("$kServer" --address 127.0.0.1 "$@" 2>&1) || got=$?
    expect "$what: exit code" "$code" "$got"
    expect_match "$what: the message" "$pattern" "$message"
}

start_push
refuses "port in use" 1 "127.0.0.1:${url##*:}" --port "${url##*:}"
stop "SIGTERM exits 0 at the end"
refuses "no such token file" 1 "token file $kDir/none: No such file" --port 0 --token-file "$kDir/none"
refuses "a token file that is a directory" 1 "token file $kDir: " --port 0 --token-file "$kDir"
: >"$kDir/empty"
refuses "an empty token file" 1 "token file $kDir/empty: its first line is empty" --port 0 --token-file "$kDir/empty"
refuses "an unknown policy" 2 "bad value for --slow-consumer: never" --port 0 --slow-consumer never

finish
