#!/usr/bin/env bash
# Has testssl.sh look for weaknesses of examples/http_server, with an ECDSA and an RSA certificate:
#
#     testssl_test.sh <http_server> <testssl_findings.py> tls
#
# Takes minutes, most of which testssl.sh waits for itself.
set -euo pipefail

source tests/integration/server.sh
need testssl python3

readonly kServer=$1
readonly kFindings=$2
out=${TEST_UNDECLARED_OUTPUTS_DIR:-$kDir}
rm -f "$out/testssl.json"  # it does not overwrite

new_rsa_certificate
start "$kServer" --address 127.0.0.1 --port 0 --threads 2 --sni "$kPki/rsa.pem:$kPki/rsa.key"
testssl --quiet --color 0 --warnings off --nodns none --full --ip 127.0.0.1 --add-ca "$kPki/ca.pem" \
    --jsonfile "$out/testssl.json" "localhost:${authority##*:}" >"$out/testssl.txt" </dev/null || true
python3 "$kFindings" "$out/testssl.json" || { fail "testssl.sh has findings"; cat "$out/testssl.txt"; }
expect "it serves" "Hello, World!" "$(curl -sS "$url/text")"
kill -TERM "$server"
expect_exit "SIGTERM exits 0"
finish
