#!/usr/bin/env bash
# What curl sees of examples/http_server over TLS:
#
#     tls_curl_test.sh <http_server> tls
set -euo pipefail

source tests/integration/server.sh

readonly kServer=$1
need curl

ask() { curl -sS --max-time 30 "$@"; }
code_of() {
    local code=0
    "$@" >/dev/null 2>&1 || code=$?
    echo "$code"
}
start_server() { start "$kServer" --address 127.0.0.1 --port 0 --threads 2 "$@"; }
stop() {
    kill -TERM "$server"
    expect_exit "SIGTERM exits 0"
}
serial_of() { openssl x509 -in "$1" -noout -serial; }
shown_serial() { openssl s_client -connect "$authority" -servername "${1:-localhost}" </dev/null 2>/dev/null | openssl x509 -noout -serial; }

new_client_certificates

# --- What is agreed on ---

start_server --max-body 20000000
port=${authority##*:}
expect_match "TLS 1.3" '"version":"TLSv1.3"' "$(ask "$url/tls")"
expect_match "TLS 1.2" '"version":"TLSv1.2"' "$(ask --tls-max 1.2 "$url/tls")"
expect "TLS 1.1 is too old" 35 "$(code_of curl --tls-max 1.1 --ciphers 'ALL:@SECLEVEL=0' "$url/tls")"
expect_match "ALPN" '"protocol":"http/1.1"' "$(ask "$url/tls")"
expect_match "ALPN with HTTP/2 in front" '"protocol":"http/1.1"' "$(ask --http2 "$url/tls")"
expect_match "no ALPN" '"protocol":""' "$(ask --no-alpn "$url/tls")"
expect_match "SNI" '"serverName":"localhost"' "$(ask --resolve "localhost:$port:127.0.0.1" "https://localhost:$port/tls")"
expect_match "no client certificate is asked for" '"isResumed":false,"protocol":"http/1.1","serverName":"","version"' "$(ask "$url/tls")"
# Curl takes no tickets in TLS 1.2, and none twice in TLS 1.3.
resumed=$(ask -H 'Connection: close' "$url/tls" "$url/tls" "$url/tls" | grep -o '"isResumed":[a-z]*' | tr '\n' ' ')
expect "sessions are resumed, each with a new ticket" '"isResumed":false "isResumed":true "isResumed":true ' "$resumed"

# --- Who is believed ---

expect "an authority that is not trusted" 60 "$(code_of curl -sS --cacert "$kPki/stranger.pem" "$url/text")"
expect "another host" 60 "$(code_of curl -sS --resolve "a.example:$port:127.0.0.1" "https://a.example:$port/text")"
expect "IPv4 address" "Hello, World!" "$(ask "$url/text")"

# --- Much ---

head -c 10000000 /dev/urandom >"$kDir/large"
for version in 1.2 1.3; do
    expect "TLS $version: 10 MB up and back" "$(md5sum <"$kDir/large")" \
        "$(ask --tls-max "$version" -H 'Expect:' --data-binary @"$kDir/large" "$url/echo" | md5sum)"
    expect "TLS $version: 10 MB up in chunks and back" "$(md5sum <"$kDir/large")" \
        "$(ask --tls-max "$version" -X POST -T - "$url/echo" <"$kDir/large" | md5sum)"
    expect "TLS $version: a long stream" "$(for ((i = 1; i <= 300000; ++i)); do echo "chunk $i"; done | md5sum)" \
        "$(ask --tls-max "$version" "$url/stream?chunks=300000" | md5sum)"
    expect "TLS $version: a slow reader" 30000 "$(ask --tls-max "$version" --limit-rate 300k "$url/stream?chunks=30000" | wc -l)"
done

# --- Who speaks no TLS ---

answer=$(ask -i "http://$authority/text" || true)
expect_match "HTTP without TLS is answered" '^HTTP/1.1 400 ' "$answer"
expect_match "and told why" 'TLS' "$answer"
answer=$(ask -i --data-binary @"$kDir/large" -H 'Expect:' "http://$authority/echo" 2>/dev/null || true)
expect_match "HTTP without TLS and with much behind it" '^HTTP/1.1 400 ' "$answer"
for size in 1 5 6 100 100000; do
    head -c "$size" /dev/urandom >"/dev/tcp/127.0.0.1/$port" 2>/dev/null || true
done
expect "after $size bytes of garbage it serves" "Hello, World!" "$(ask "$url/text")"
exec 3<>"/dev/tcp/127.0.0.1/$port"
head -c 1000 /dev/urandom >&3
expect "who sends garbage is closed" 0 "$(code_of timeout 20 cat <&3)"
exec 3>&-
expect_match "HTTP/0.9 without TLS" '^HTTP/1.1 400 ' "$(printf 'GET /\r\n' | timeout 20 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; cat >&3; cat <&3")"
stop

# --- Client certificates ---

readonly kClient=(--cert "$kPki/client.pem" --key "$kPki/client.key")
readonly kWrong=(--cert "$kPki/wrong.pem" --key "$kPki/wrong.key")
readonly kAlice='"emails":\["alice@example.org"\],"issuer":"CN=tnet dev-cert.*"subject":"O=Example,CN=alice"'

start_server --client-ca "$kPki/ca.pem" --client-cert ask
for version in 1.2 1.3; do
    max=(--tls-max "$version")
    expect_match "asked, TLS $version: shown" "$kAlice" "$(ask "${max[@]}" "${kClient[@]}" "$url/tls")"
    expect_match "asked, TLS $version: none" '"serverName":"","version"' "$(ask "${max[@]}" "$url/tls")"
    expect "asked, TLS $version: wrong authority" refused "$(ask "${max[@]}" "${kWrong[@]}" "$url/tls" 2>/dev/null || echo refused)"
    expect "asked, TLS $version: a server's certificate" refused \
        "$(ask "${max[@]}" --cert "$kPki/cert.pem" --key "$kPki/key.pem" "$url/tls" 2>/dev/null || echo refused)"
done
resumed=$(ask "${kClient[@]}" -H 'Connection: close' "$url/tls" "$url/tls" | tail -n 1)
expect_match "asked: a resumed session" '"isResumed":true' "$resumed"
expect_match "asked: a resumed session's client" "$kAlice" "$resumed"
stop

start_server --client-ca "$kPki/ca.pem"
for version in 1.2 1.3; do
    max=(--tls-max "$version")
    expect_match "required, TLS $version: shown" "$kAlice" "$(ask "${max[@]}" "${kClient[@]}" "$url/tls")"
    expect "required, TLS $version: none" refused "$(ask "${max[@]}" "$url/tls" 2>/dev/null || echo refused)"
    expect "required, TLS $version: wrong authority" refused "$(ask "${max[@]}" "${kWrong[@]}" "$url/tls" 2>/dev/null || echo refused)"
done
stop

# --- Several certificates ---

new_certificate exact /CN=exact subjectAltName=DNS:a.some.example
new_certificate wild /CN=wild subjectAltName=DNS:*.some.example,DNS:some.example
start_server --sni "$kPki/wild.pem:$kPki/wild.key" --sni "$kPki/exact.pem:$kPki/exact.key"
for pair in localhost:cert a.some.example:exact A.Some.Example:exact some.example:wild b.some.example:wild \
    a.b.some.example:cert nowhere:cert; do
    expect "SNI ${pair%:*}" "$(serial_of "$kPki/${pair#*:}.pem")" "$(shown_serial "${pair%:*}")"
done
expect "a name's certificate is right for it" "Hello, World!" "$(
    ask --resolve "b.some.example:${authority##*:}:127.0.0.1" "https://b.some.example:${authority##*:}/text"
)"

# --- Reload ---

exec 5> >(exec openssl s_client -quiet -connect "$authority" >"$kDir/kept" 2>/dev/null)
kept=$!
has_answers() { [[ $(grep -o 'Hello, World!' "$kDir/kept" | wc -l) == "$1" ]]; }
ask_kept() { printf 'GET /text HTTP/1.1\r\nHost: localhost\r\n\r\n' >&5; }
has_serial() { [[ $(shown_serial) == "$(serial_of "$kPki/cert.pem")" ]]; }

ask_kept
wait_for "a kept connection" has_answers 1
before=$(shown_serial)
tools/dev-cert --dir "$kPki" another.example >/dev/null
wait_for "a new certificate is shown" has_serial
[[ $(shown_serial) != "$before" ]] || fail "it is the same one"
ask_kept
wait_for "the kept connection goes on" has_answers 2
cp "$kPki/cert.pem" "$kDir/good.pem"
before=$(shown_serial)
echo garbage >"$kPki/cert.pem"
wait_for "a bad certificate is logged" grep -q "not reloaded.*$kPki/cert.pem" "$kDir/log"
expect "and not used" "$before" "$(shown_serial)"
mv "$kDir/good.pem" "$kPki/cert.pem"
kill "$kept" 2>/dev/null || true
exec 5>&-
stop

# --- Bad set-up says what and which, and exits non-zero ---

# refuses <what> <exit code> <regular expression> <arguments...>
refuses() {
    local what=$1 code=$2 pattern=$3 message got=0
    shift 3
    message=$(timeout 10 "$kServer" --address 127.0.0.1 --port 0 "$@" 2>&1) || got=$?
    expect "$what: exit code" "$code" "$got"
    expect_match "$what: the message" "$pattern" "$message"
}
cert=$kPki/cert.pem
key=$kPki/key.pem
: >"$kDir/empty"
refuses "no such certificate" 1 "$kDir/none: No such file" --cert "$kDir/none" --key "$key"
refuses "no such key" 1 "$kDir/none: No such file" --cert "$cert" --key "$kDir/none"
refuses "an empty certificate" 1 "$kDir/empty: " --cert "$kDir/empty" --key "$key"
refuses "a key for a certificate" 1 "$key: " --cert "$key" --key "$key"
refuses "a certificate for a key" 1 "$cert: " --cert "$cert" --key "$cert"
refuses "a key of another certificate" 1 "$kPki/ca.key is not the key of $cert" --cert "$cert" --key "$kPki/ca.key"
refuses "a key of another certificate, by SNI" 1 "$kPki/exact.key is not the key of $kPki/wild.pem" \
    --cert "$cert" --key "$key" --sni "$kPki/wild.pem:$kPki/exact.key"
refuses "no such authority" 1 "$kDir/none: No such file" --cert "$cert" --key "$key" --client-ca "$kDir/none"
refuses "an empty authority" 1 "$kDir/empty: " --cert "$cert" --key "$key" --client-ca "$kDir/empty"
refuses "a certificate without key" 1 "needs --key" --cert "$cert"
refuses "a key without certificate" 1 "needs --cert" --key "$key"
refuses "SNI without certificate" 1 "--sni needs" --sni "$cert:$key"
refuses "a client's authority without certificate" 1 "--client-ca needs" --client-ca "$cert"
refuses "client certificates without authority" 1 "needs --client-ca" --cert "$cert" --key "$key" --client-cert ask
refuses "SNI without colon" 2 "bad value for --sni: $cert" --sni "$cert"
refuses "perhaps a client certificate" 2 "bad value for --client-cert: perhaps" --client-cert perhaps

finish
