#!/usr/bin/env bash
# Starts examples/http_server as a newcomer would and asks it everything it serves, with curl:
#
#     http_server_test.sh <http_server> [tls]
set -euo pipefail

source tests/integration/server.sh

readonly kServer=$1

ask() { curl -sS --max-time 20 "$@"; }
status() { curl -sS --max-time 20 -o /dev/null -w '%{http_code}' "$@"; }

start "$kServer" --address 127.0.0.1 --port 0 --threads 2

expect "text" "Hello, World!" "$(ask "$url/text")"
expect "type of text" "text/plain" "$(curl -sS -o /dev/null -w '%{content_type}' "$url/text")"
expect "json" '{"message":"Hello, World!"}' "$(ask "$url/json")"
expect "parameter" "Hello, you & me!" "$(ask "$url/hello/you%20%26%20me")"
expect_match "the page says what to try" "/stream" "$(ask "$url/")"
expect_match "headers" "X-Mine: yes" "$(ask -H 'X-Mine: yes' "$url/headers")"
expect "async" "answered from another thread" "$(ask "$url/async")"
expect "stream" "chunk 1 chunk 2 chunk 3 " "$(ask "$url/stream?chunks=3" | tr '\n' ' ')"
expect "a long stream" "200000" "$(ask "$url/stream?chunks=200000" | wc -l | tr -d ' ')"
expect "stream wants a number" "400" "$(status "$url/stream?chunks=many")"
expect "HTTP/1.0 stream" "2" "$(ask --http1.0 "$url/stream?chunks=2" | wc -l | tr -d ' ')"

for method in POST PUT PATCH DELETE PROPFIND; do
    expect "echo of $method" "body of $method" "$(ask -X "$method" -d "body of $method" "$url/echo")"
done
head -c 700000 /dev/urandom >"$kDir/large"
expect "chunked upload" "$(md5sum <"$kDir/large")" "$(ask -T - "$url/echo" <"$kDir/large" -X POST | md5sum)"
expect "100-continue" "$(md5sum <"$kDir/large")" \
    "$(ask -H 'Expect: 100-continue' --expect100-timeout 10 --data-binary @"$kDir/large" "$url/echo" | md5sum)"
head -c 1100000 /dev/zero >"$kDir/tooLarge"
expect "body too large" "413" "$(status --data-binary @"$kDir/tooLarge" "$url/echo")"
expect_match "trailers come back" "X-Sum: 42" "$(
    printf 'POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 42\r\n\r\n' | exchange
)"

expect "not found" "404" "$(status "$url/nothing")"
expect "method not allowed" "405" "$(status -X POST -d x "$url/text")"
expect_match "Allow" "Allow: GET, HEAD, OPTIONS" "$(ask -i -X OPTIONS "$url/text")"
expect_match "HEAD has a length and no body" "Content-Length: 13" "$(ask -I "$url/text")"
expect "dot segments" "400" "$(status --path-as-is "$url/a/../text")"
expect "keep-alive: one connection for two requests" "1 0 " "$(ask -o /dev/null -o /dev/null -w '%{num_connects} ' "$url/text" "$url/text")"

# Bad set-up says what and which, and exits non-zero.
port=${url##*:}
set +e
message=$("$kServer" --address 127.0.0.1 --port "$port" 2>&1)
expect "port in use exits 1" "1" "$?"
expect_match "port in use names the address" "127.0.0.1:$port" "$message"
message=$("$kServer" --address nowhere 2>&1)
expect "bad address exits 1" "1" "$?"
expect_match "bad address is named" "nowhere" "$message"
message=$("$kServer" --wings 2>&1)
expect "unknown flag exits 2" "2" "$?"
expect_match "unknown flag is named" "wings" "$message"
message=$("$kServer" --port 70000 2>&1)
expect "bad port exits 2" "2" "$?"
expect_match "bad port is named" "70000" "$message"
"$kServer" --help >"$kDir/help"
expect "help exits 0" "0" "$?"
expect_match "help names the flags" "--threads" "$(cat "$kDir/help")"
set -e

# SIGTERM drains: what is under way is finished, and the exit code is 0.
ask --limit-rate 400k "$url/stream?chunks=100000" >"$kDir/slow" &
slow=$!
for ((i = 0; i < 500; ++i)); do
    [[ ! -s $kDir/slow ]] || break
    pause
done
kill -TERM "$server"
wait "$slow" || fail "the request under way was cut off"
expect "the request under way is finished" "100000" "$(wc -l <"$kDir/slow" | tr -d ' ')"
expect_exit "SIGTERM exits 0"
expect_match "access log" "GET /text 200 13 bytes" "$(cat "$kDir/log")"

socketDir=$(mktemp -d /tmp/tnet.XXXXXX)  # a socket's path must be short
start "$kServer" --address "unix:$socketDir/s" --threads 2
expect "Unix socket" "Hello, World!" "$(ask --unix-socket "$socketDir/s" "${url%%:*}://localhost/text")"
kill -INT "$server"
expect_exit "SIGINT exits 0"
rm -r "$socketDir"

finish
