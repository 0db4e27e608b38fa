#!/usr/bin/env bash
# Judges lists of findings as testssl.sh writes them:
#
#     testssl_findings_test.sh <testssl_findings.py>
set -euo pipefail

readonly kFindings=$1
readonly kList=$TEST_TMPDIR/findings.json

finding() { echo "{\"id\": \"$1\", \"severity\": \"$2\", \"finding\": \"$3\"},"; }

# All that has to be there, and `more`.
judge() {
    {
        echo '['
        for id in TLS1 TLS1_3 cert_chain_of_trust heartbleed secure_client_renego LUCKY13 GREASE; do
            finding "$id" OK fine
        done
        "$@"
        finding clientsimulation-openssl_303 INFO fine
    } | sed '$ s/,$/]/' >"$kList"
    python3 "$kFindings" "$kList"
}

judge true
# Where OpenSSL has no GOST engine; the list was taken for one with a finding about the server.
judge finding engine_problem WARN "No engine or GOST support via engine with your openssl"
judge finding "cert_revocation <cert#1>" HIGH "Neither CRL nor OCSP URI provided"
! judge finding heartbleed CRITICAL "vulnerable" || exit 1
! judge finding engine_problem HIGH "whatever this is" || exit 1
! judge finding optimal_proto WARN "something about the server" || exit 1
