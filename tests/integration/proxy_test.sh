#!/usr/bin/env bash
# examples/http_server behind a proxy that speaks the PROXY protocol (curl), plainly and over
# TLS: the access log names the client that the proxy told.
#
#     proxy_test.sh <http_server>
set -euo pipefail

source tests/integration/server.sh
source tests/integration/tls.sh
need curl

readonly kServer=$1
ask() { curl -sS --max-time 20 "$@"; }

start "$kServer" --address 127.0.0.1 --port 0 --threads 1 --proxy
expect "curl, version 1, TLS behind it" "Hello, World!" "$(ask --haproxy-protocol "$url/text")"
expect_match "it logs whom the header names" "127.0.0.1:[0-9]+ GET /text" "$(cat "$kDir/log")"
if curl -sS --max-time 20 "$url/text" >"$kDir/refused" 2>&1; then fail "served without a header"; fi
kill -TERM "$server"
expect_exit "SIGTERM exits 0"

tls=()
start "$kServer" --address 127.0.0.1 --port 0 --threads 1 --proxy --requests-per-address 2
# speak <header>: with a request behind it
speak() {
    exec 3<>"/dev/tcp/${authority%:*}/${authority##*:}"
    printf '%bGET /text HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' "$1" >&3
    tr -d '\0' <&3
    exec 3>&-
}
expect_match "version 1" "200 OK" "$(speak 'PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n')"
expect_match "version 2" "200 OK" \
    "$(speak '\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x1f\x90\x01\xbb')"
wait_for "the log names the client of version 1" grep -q '192.0.2.1:56324 GET /text 200' "$kDir/log"
wait_for "the log names the client of version 2" grep -q '\[2001:db8::1\]:8080 GET /text 200' "$kDir/log"
if speak 'PROXY TCP4 192.0.2.1\r\n' 2>/dev/null | grep -q HTTP; then fail "served with half a header"; fi

# Limits are about the client, not about the proxy.
for _ in 1 2; do speak 'PROXY TCP6 2001:db8:1::1 ::1 1 2\r\n' >/dev/null; done
expect_match "too many of a /64" "429 Too Many Requests" "$(speak 'PROXY TCP6 2001:db8:1::2 ::1 1 2\r\n')"
expect_match "another /64 is served" "200 OK" "$(speak 'PROXY TCP6 2001:db8:1:1::2 ::1 1 2\r\n')"
kill -TERM "$server"
expect_exit "SIGTERM exits 0"
finish
