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

# testssl.sh gives s_client no input, and s_client leaves at its end: with TLS 1.3 before the session ticket comes, if the
# machine is quick. So its input stays open until the session is saved, or for two seconds.
readonly kOpenssl=$out/openssl
cat >"$kOpenssl" <<'END'
#!/usr/bin/env bash
session=
for ((i = 1; i < $#; ++i)); do
    next=$((i + 1))
    [[ ${!i} != -sess_out ]] || session=${!next}
done
[[ -n $session ]] || exec openssl "$@"
for ((i = 0; i < 100; ++i)); do
    [[ ! -s $session ]] || break
    sleep 0.02
done | openssl "$@"
END
chmod +x "$kOpenssl"

new_rsa_certificate
start "$kServer" --address 127.0.0.1 --port 0 --threads 2 --sni "$kPki/rsa.pem:$kPki/rsa.key"
testssl --openssl "$kOpenssl" --quiet --color 0 --warnings off --nodns none --full --ip 127.0.0.1 --add-ca "$kPki/ca.pem" \
    --jsonfile "$out/testssl.json" "localhost:${authority##*:}" >"$out/testssl.txt" </dev/null || true
python3 "$kFindings" "$out/testssl.json" || { fail "testssl.sh has findings"; cat "$out/testssl.txt"; }
expect "it serves" "Hello, World!" "$(curl -sS "$url/text")"
kill -TERM "$server"
expect_exit "SIGTERM exits 0"
finish
