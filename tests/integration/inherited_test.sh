#!/usr/bin/env bash
# examples/http_server on a socket that somebody else opened, as under systemd's socket activation: restarted under
# load, with nobody serving in between, it refuses nobody, since the connections wait in the socket.
#
#     inherited_test.sh <http_server> <http_load>
set -euo pipefail

source tests/integration/server.sh
need python3

readonly kServer=$1
readonly kLoad=$2

# Holds a socket, as systemd does, and starts the server on it: prints its port, then, for each line of input, ends the
# server that runs with SIGTERM, waits, and starts it again.
cat >"$kDir/activate.py" <<'PYTHON'
import os, signal, socket, subprocess, sys

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(1024)

def start():
    command = 'export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http; exec "$@"'
    return subprocess.Popen(["sh", "-c", command, "sh"] + sys.argv[1:], pass_fds=[3],
                            stdout=subprocess.PIPE, text=True)

if listener.fileno() != 3:
    os.dup2(listener.fileno(), 3)
server = start()
print(server.stdout.readline().strip(), flush=True)
for line in sys.stdin:
    server.send_signal(signal.SIGTERM)
    print("exit", server.wait(), flush=True)
    server = start()
    print(server.stdout.readline().strip(), flush=True)
server.send_signal(signal.SIGTERM)
print("exit", server.wait(), flush=True)
PYTHON

mkfifo "$kDir/restart" "$kDir/until"
python3 "$kDir/activate.py" "$kServer" --threads 3 <"$kDir/restart" >"$kDir/out" 2>"$kDir/log" &
activator=$!
exec 5>"$kDir/restart"
has_lines() { [[ $(wc -l <"$kDir/out") -ge $1 ]]; }
wait_for "the server says where it was told to listen" has_lines 1
url=$(sed -n 's/^listening on //p' "$kDir/out")
authority=${url#*://}
expect "it serves" "Hello, you!" "$(curl -sS --max-time 20 "$url/hello/you")"

"$kLoad" "$authority" /hello/ <"$kDir/until" >"$kDir/counts" &
load=$!
exec 4>"$kDir/until"
for ((i = 1; i <= 3; ++i)); do
    echo >&5
    wait_for "restart $i" has_lines $((1 + 2 * i))
done
exec 4>&-
wait "$load" || fail "refused or lost"
cat "$kDir/counts"
expect_match "nothing refused, nothing lost" "^answered [0-9]{3,} refused 0 untouched 0 told [0-9]+ lost 0" "$(cat "$kDir/counts")"

exec 5>&-
wait "$activator" || fail "the activator failed: $(cat "$kDir/log")"
expect "all exits" "4" "$(grep -c '^exit 0$' "$kDir/out")"

# What was passed wrongly is named.
set +e
message=$(sh -c 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3</dev/null' sh "$kServer" 2>&1)
expect "no socket exits 1" "1" "$?"
expect_match "the descriptor is named" "inherited descriptor 3: .*non-socket" "$message"
set -e
finish
