#!/usr/bin/env bash
# What tools/dev-cert makes, and leaves alone.
set -euo pipefail

source tests/integration/server.sh
need openssl

readonly kCerts=$kDir/certs

make() { tools/dev-cert --dir "$kCerts" "$@"; }
names() { openssl x509 -in "$kCerts/cert.pem" -noout -ext subjectAltName | sed -n 's/^ *\(DNS\|IP\)/\1/p'; }
all_sums() { md5sum "$kCerts"/*; }
sum() { md5sum <"$kCerts/$1"; }

said=$(make)
expect_match "it says how to trust it with curl" "curl --cacert $kCerts/ca.pem https://localhost:8443/" "$said"
for browser in Chromium Firefox; do expect_match "and with $browser" "$browser" "$said"; done
expect "the names" "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1" "$(names)"
expect "it verifies" "$kCerts/cert.pem: OK" \
    "$(openssl verify -x509_strict -purpose sslserver -verify_hostname localhost -CAfile "$kCerts/ca.pem" "$kCerts/cert.pem")"
expect "keys are their owner's alone" "600 600" "$(stat -c %a "$kCerts/ca.key" "$kCerts/key.pem" | tr '\n' ' ' | sed 's/ $//')"

before=$(all_sums)
make >/dev/null
expect "what is there stays" "$before" "$(all_sums)"

authority=$(sum ca.pem)
make a.example '*.b.example' 10.0.0.1 >/dev/null
expect "more names" "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:a.example, DNS:*.b.example, IP Address:10.0.0.1" "$(names)"
expect "by the same authority" "$authority" "$(sum ca.pem)"

rm "$kCerts/key.pem"
make a.example >/dev/null
expect "a lost key is replaced, with its certificate" "$(openssl pkey -in "$kCerts/key.pem" -pubout)" \
    "$(openssl x509 -in "$kCerts/cert.pem" -noout -pubkey)"

rm "$kCerts/ca.key"
make a.example >/dev/null
expect "so is a lost authority" "$kCerts/cert.pem: OK" "$(openssl verify -CAfile "$kCerts/ca.pem" "$kCerts/cert.pem")"
[[ $(sum ca.pem) != "$authority" ]] || fail "the authority is the old one, without its key"

code=0
said=$(tools/dev-cert --help 2>&1) || code=$?
expect "help" "2" "$code"
expect_match "help says how" 'dev-cert \[--dir DIRECTORY\] \[NAME' "$said"

finish
