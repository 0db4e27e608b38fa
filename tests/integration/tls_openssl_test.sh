#!/usr/bin/env bash
# What openssl s_client sees of examples/http_server:
#
#     tls_openssl_test.sh <http_server> tls
#
# With -msg it tells each message of TLS, and letters at the beginning of its input are commands: K, k, R.
set -euo pipefail

source tests/integration/server.sh

readonly kServer=$1
client=

start_server() { start "$kServer" --address 127.0.0.1 --port 0 --threads 2 "$@"; }
stop() {
    kill -TERM "$server"
    expect_exit "SIGTERM exits 0"
}
trap 'for pid in $server $client; do kill -KILL "$pid" 2>/dev/null || true; done' EXIT

# once <arguments...>: a connection that ends with its input; all that s_client says.
once() { timeout 20 openssl s_client -connect "$authority" "$@" 2>&1 </dev/null || true; }

# get <arguments...>: the same, with a request.
get() {
    printf 'GET /tls HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
        timeout 20 openssl s_client -connect "$authority" -ign_eof "$@" 2>&1 || true
}

# open_client <arguments...>: one that reads what say() is told, and writes to $kDir/client.
open_client() {
    exec 5> >(exec openssl s_client -connect "$authority" -msg "$@" >"$kDir/client" 2>&1)
    client=$!
}
say() { printf '%b' "$1" >&5; }
said() { (($(grep -cE "$1" "$kDir/client" || true) >= ${2:-1})); }
close_client() {
    exec 5>&-
    kill "$client" 2>/dev/null || true
    wait "$client" 2>/dev/null || true
    client=
}
readonly kGet='GET /hello/you HTTP/1.1\r\nHost: localhost\r\n\r\n'

# --- Versions and cipher suites ---

new_rsa_certificate
start_server --sni "$kPki/rsa.pem:$kPki/rsa.key"
for version in tls1_2 tls1_3; do
    expect_match "$version: verified" 'Verify return code: 0 \(ok\)' "$(once "-$version" -verify_hostname localhost)"
done
for version in tls1 tls1_1; do
    expect_match "$version is refused" 'alert protocol version' "$(once "-$version" -cipher 'ALL:@SECLEVEL=0')"
done
for suite in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256; do
    expect_match "$suite" "\"cipher\":\"$suite\".*\"version\":\"TLSv1.3\"" "$(get -tls1_3 -ciphersuites "$suite")"
done
for suite in TLS_AES_128_CCM_SHA256 TLS_AES_128_CCM_8_SHA256; do
    expect_match "$suite is refused" 'alert handshake failure' "$(once -tls1_3 -ciphersuites "$suite")"
done
for suite in ECDHE-{ECDSA,RSA}-{AES128-GCM-SHA256,AES256-GCM-SHA384,CHACHA20-POLY1305}; do
    expect_match "$suite" "\"cipher\":\"$suite\".*\"version\":\"TLSv1.2\"" "$(get -tls1_2 -cipher "$suite")"
done
for suite in ECDHE-{ECDSA,RSA}-AES128-SHA256 ECDHE-RSA-AES256-SHA AES128-GCM-SHA256 DHE-RSA-AES128-GCM-SHA256 NULL aNULL; do
    expect_match "$suite is refused" 'alert handshake failure' "$(once -tls1_2 -cipher "$suite:@SECLEVEL=0")"
done
for group in X25519 P-256; do
    expect_match "group $group" "Server Temp Key: .*${group/P-256/prime256v1}" "$(once -groups "$group" | sed 's/P-256/prime256v1/')"
done

# --- ALPN ---

expect_match "ALPN" 'ALPN protocol: http/1.1' "$(once -alpn h2,http/1.1)"
expect_match "a client of HTTP/2 alone is refused" 'alert no application protocol' "$(once -alpn h2)"
expect_match "no ALPN" 'No ALPN negotiated' "$(once)"

# --- Sessions ---

for version in tls1_2 tls1_3; do
    rm -f "$kDir/session"
    expect_match "$version: a new session" '"isResumed":false' "$(get "-$version" -sess_out "$kDir/session")"
    got=$(get "-$version" -sess_in "$kDir/session" -sess_out "$kDir/next")
    expect_match "$version: it is resumed" 'Reused, TLSv1\.' "$got"
    expect_match "$version: the server knows" '"isResumed":true' "$got"
done
expect_match "a session comes to its end with the server's keys" '"isResumed":false' "$(
    stop >/dev/null
    start_server
    get -tls1_3 -sess_in "$kDir/session"
    kill -KILL "$server"
)"
start_server
expect_match "tickets admit no early data" 'Max Early Data: 0' "$(get -tls1_3 -sess_out "$kDir/session")"
# s_client sends none then; with a session that allows it, it does.
printf 'GET /text HTTP/1.1\r\nHost: localhost\r\n\r\n' >"$kDir/early"
expect_match "early data is not sent" 'Early data was (not sent|rejected)' \
    "$(once -tls1_3 -sess_in "$kDir/session" -early_data "$kDir/early")"

# --- After the handshake ---

for version in tls1_2 tls1_3; do
    expect_match "$version: close_notify" '<<< .*Alert.*warning close_notify' "$(get "-$version" -msg | grep Alert)"
done

open_client -tls1_3
say "$kGet"
wait_for "a request" said 'Hello, you!'
for ((i = 1; i <= 3; ++i)); do
    say 'k\n'
    wait_for "KeyUpdate from the client" said '>>> .*KeyUpdate' "$((3 * i - 2))"
    say "$kGet"
    wait_for "a request after it" said 'Hello, you!' "$((2 * i))"
    say 'K\n'
    wait_for "KeyUpdate that asks for ours" said '>>> .*KeyUpdate' "$((3 * i - 1))"
    say "$kGet"
    wait_for "a request after both" said 'Hello, you!' "$((2 * i + 1))"
    # RFC 8446 §4.6.3: ours comes before the next application data.
    wait_for "ours" said '<<< .*KeyUpdate' "$i"
    say 'k\n'
    wait_for "one more KeyUpdate" said '>>> .*KeyUpdate' "$((3 * i))"
done
close_client

open_client -tls1_2
say "$kGet"
wait_for "a request" said 'Hello, you!'
say 'R\n'
wait_for "renegotiation is refused" said 'no renegotiation|no_renegotiation'
close_client
expect_match "secure renegotiation is told of" 'Secure Renegotiation IS supported' "$(once -tls1_2)"
expect_match "no compression" 'Compression: NONE' "$(once -tls1_2)"

# --- A client that goes without a word, at each moment of a handshake ---

for bytes in 1 4 5 6 100 200; do
    openssl s_client -connect "$authority" -msg </dev/null >/dev/null 2>&1 &
    exec 6<>"/dev/tcp/127.0.0.1/${authority##*:}"
    printf '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03%0500d' 0 | head -c "$bytes" >&6
    exec 6>&-
    wait $!
done
expect_match "it serves" 'HTTP/1.1 200' "$(get)"
stop

finish
