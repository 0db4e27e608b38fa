#!/usr/bin/env bash
# Has a client that nobody here wrote talk to examples/http_server over TLS.
#
#     tls_clients_test.sh <http_server> chromium | node | python tls
#
# A client that is not installed skips the test, and fails it where CI is "true".
set -euo pipefail
source tests/integration/server.sh

readonly kServer=$1
readonly kClient=$2

# The data of a test are links. Node looks for node_modules beside the files that they lead to, in the workspace.
here=$(dirname "$(readlink -f tests/integration/package.json)")

case $kClient in
    chromium)
        need chromium node
        [[ -e $here/node_modules/playwright-core/package.json ]] || missing "npm's playwright-core"
        trust_in_chromium
        client=(node "$here/tls_page.mjs")
        ;;
    node)
        need node
        client=(node "$here/tls_client.mjs")
        ;;
    python)
        need python3
        client=(/usr/bin/python3 -B "$here/tls_client.py")
        ;;
    *)
        echo "no such client: $kClient"
        exit 2
        ;;
esac

new_client_certificates
asking=(--client-ca "$kPki/ca.pem" --client-cert ask)
[[ $kClient != chromium ]] || asking=()  # it would ask its user which
start "$kServer" --address 127.0.0.1 --port 0 --threads 2 --max-body 20000000 "${asking[@]}"
"${client[@]}" "$url" "$kPki" || fail "$kClient"
kill -TERM "$server"
expect_exit "SIGTERM exits 0"
finish
