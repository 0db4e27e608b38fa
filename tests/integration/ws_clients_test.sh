#!/usr/bin/env bash
# Has a client that nobody here wrote talk to examples/ws_echo, once for each of its kinds of compression.
#
#     ws_clients_test.sh <ws_echo> chromium | node | python | ws [tls]
#
# A client that is not installed skips the test, and fails it where CI is "true".
set -euo pipefail
source tests/integration/server.sh

readonly kServer=$1
readonly kClient=$2
readonly kLimit=$((2 << 20))  # bytes of a message

# The data of a test are links. Node looks for node_modules beside the files that they lead to, in the workspace.
here=$(dirname "$(readlink -f tests/integration/package.json)")

# Node's own WebSocket, and what playwright-core is written for.
need_node() {
    # Node without the option would say so, and fail.
    node --experimental-websocket -e '' 2>/dev/null || missing "Node 20.10 or newer"
}

need_package() {
    need_node
    [[ -e $here/node_modules/$1/package.json ]] || missing "npm's $1"
}

case $kClient in
    chromium)
        [[ -x /usr/bin/chromium ]] || missing "chromium"
        need_package playwright-core
        ((${#tls[@]} == 0)) || trust_in_chromium
        client=(node "$here/ws_client_chromium.mjs")
        ;;
    node)
        need_node
        client=(node --experimental-websocket "$here/ws_client_node.mjs")
        ;;
    python)
        /usr/bin/python3 -c 'import websockets' 2>/dev/null || missing "python3-websockets"
        client=(/usr/bin/python3 -B "$here/ws_client_python.py")
        ;;
    ws)
        need_package ws
        client=(node "$here/ws_client_ws.mjs")
        ;;
    *)
        echo "no such client: $kClient"
        exit 2
        ;;
esac

for mode in off shared dedicated; do
    start "$kServer" --address 127.0.0.1 --port 0 --threads 2 --max-message "$kLimit" --deflate "$mode"
    # It ends the server with SIGTERM, and looks at what its connections are told.
    if "${client[@]}" "ws${url#http}" "$mode" "$kLimit" "$server"; then
        expect_exit "--deflate $mode: SIGTERM exits 0"
    else
        fail "$kClient with --deflate $mode"
        kill -KILL "$server" 2>/dev/null || true
        wait "$server" || true
        server=
        cat "$kDir/log"
    fi
done
finish
