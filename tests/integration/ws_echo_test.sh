#!/usr/bin/env bash
# Starts examples/ws_echo as a newcomer would and looks at its handshake, with curl:
#
#     ws_echo_test.sh <ws_echo> [tls]
set -euo pipefail
source tests/integration/server.sh

readonly kServer=$1

# The example of RFC 6455 §1.3.
readonly kKey=(-H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==')
readonly kVersion=(-H 'Sec-WebSocket-Version: 13')
readonly kUpgrade=(-H 'Connection: Upgrade' -H 'Upgrade: websocket')

# The head of the answer, lines ended by LF. A connection that was upgraded stays open, which curl, having no input
# to wait for, would sit out: it is ended as soon as the head is there. stdbuf, because curl keeps heads in its buffer.
head_of() {
    local line
    while IFS= read -r line && [[ $line != $'\r' ]]; do
        printf '%s\n' "${line%$'\r'}"
    done < <(exec stdbuf -oL curl --silent --include --max-time 20 "$@")
    kill "$!" 2>/dev/null || true
}

start "$kServer" --address 127.0.0.1 --port 0 --threads 2
for path in / /ws; do
    head=$(head_of "${kUpgrade[@]}" "${kKey[@]}" "${kVersion[@]}" "$url$path")
    expect_match "$path: 101" "^HTTP/1.1 101 Switching Protocols" "$head"
    expect_match "$path: the key is answered" "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=" "$head"
    expect_match "$path: Upgrade" "Upgrade: websocket" "$head"
done
head=$(head_of "${kUpgrade[@]}" "${kKey[@]}" "${kVersion[@]}" -H 'Sec-WebSocket-Extensions: permessage-deflate' "$url")
expect "no compression if it is off" "" "$(grep -i extensions <<<"$head")"
expect_match "no path" "^HTTP/1.1 404" "$(head_of "${kUpgrade[@]}" "${kKey[@]}" "${kVersion[@]}" "$url/nothing")"
expect_match "no upgrade" "^HTTP/1.1 426.*Upgrade: websocket" "$(head_of "$url/ws")"
expect_match "no key" "^HTTP/1.1 400" "$(head_of "${kUpgrade[@]}" "${kVersion[@]}" "$url")"
expect_match "a bad key" "^HTTP/1.1 400" \
    "$(head_of "${kUpgrade[@]}" "${kVersion[@]}" -H 'Sec-WebSocket-Key: short' "$url")"
expect_match "another version" "^HTTP/1.1 426.*Sec-WebSocket-Version: 13" \
    "$(head_of "${kUpgrade[@]}" "${kKey[@]}" -H 'Sec-WebSocket-Version: 8' "$url")"

# Bad set-up says what and which, and exits non-zero.
port=${url##*:}
code=0
message=$("$kServer" --address 127.0.0.1 --port "$port" 2>&1) || code=$?
expect "port in use exits 1" "1" "$code"
expect_match "port in use names the address" "127.0.0.1:$port" "$message"
code=0
message=$("$kServer" --deflate sometimes 2>&1) || code=$?
expect "bad mode exits 2" "2" "$code"
expect_match "bad mode is named" "sometimes" "$message"
help=$("$kServer" --help)
for flag in address port threads max-message deflate help; do
    expect_match "--help names --$flag" "--$flag" "$help"
done

kill -TERM "$server"
expect_exit "SIGTERM exits 0"

start "$kServer" --address 127.0.0.1 --port 0 --threads 1 --deflate shared
head=$(head_of "${kUpgrade[@]}" "${kKey[@]}" "${kVersion[@]}" -H 'Sec-WebSocket-Extensions: permessage-deflate' "$url")
expect_match "compression without context takeover" \
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover" "$head"
kill -INT "$server"
expect_exit "SIGINT exits 0"
finish
