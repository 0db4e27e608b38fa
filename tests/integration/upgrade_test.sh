#!/usr/bin/env bash
# Upgrades examples/http_server under load, again and again, and counts at the client: no connect is refused and no
# request lost. A successor that cannot start changes nothing.
#
#     upgrade_test.sh <http_server> <http_load>
set -euo pipefail

source tests/integration/server.sh

readonly kLoad=$2
readonly kUpgrades=5

# In a place where the program can be replaced, as an upgrade does.
cp "$1" "$kDir/http_server"

is_gone() { ! kill -0 "$1" 2>/dev/null; }
# Of `server` and its successors, the newest.
current() {
    local last
    last=$(sed -n 's/.*started successor \([0-9]*\).*/\1/p' "$kDir/log" | tail -n 1)
    echo "${last:-$server}"
}
has_logged() { [[ $(grep -c "$1" "$kDir/log") -ge $2 ]]; }
has_said() { [[ $(grep -c "^listening on" "$kDir/out") -ge $1 ]]; }

trap 'kill -KILL "$server" "$(current)" 2>/dev/null || true' EXIT
start "$kDir/http_server" --address 127.0.0.1 --port 0 --threads 3

mkfifo "$kDir/until"
"$kLoad" "$authority" /hello/ <"$kDir/until" >"$kDir/counts" &
load=$!
exec 4>"$kDir/until"

for ((i = 1; i <= kUpgrades; ++i)); do
    old=$(current)
    cp "$1" "$kDir/new" && mv "$kDir/new" "$kDir/http_server"
    kill -USR2 "$old"
    wait_for "successor $i serves" has_said $((i + 1))
    if ((i == 1)); then wait "$old" || fail "the first exits with $?"; fi
    wait_for "its predecessor is gone" is_gone "$old"
done

# A program that cannot be started: the one that runs goes on.
mv "$kDir/http_server" "$kDir/away"
kill -USR2 "$(current)"
wait_for "a successor that cannot start is reported" has_logged "successor.*No such file or directory; going on" 1
printf '#!/bin/sh\nexit 3\n' >"$kDir/http_server" && chmod +x "$kDir/http_server"
last=$(sed -n 's/.*started successor \([0-9]*\).*/\1/p' "$kDir/log" | tail -n 2 | head -n 1)
kill -USR2 "$last"
wait_for "a successor that ends is reported" has_logged "ended before it served.*going on" 1
mv "$kDir/away" "$kDir/http_server"
for ((i = 0; i < 25; ++i)); do pause; done
expect "it serves on" "Hello, you!" "$(curl -sS --max-time 20 "$url/hello/you")"

exec 4>&-
wait "$load" || fail "refused or lost"
cat "$kDir/counts"
expect_match "nothing refused, nothing lost" "^answered [0-9]{3,} refused 0 untouched 0 told [0-9]+ lost 0" "$(cat "$kDir/counts")"

kill -TERM "$last"
wait_for "SIGTERM ends the last" is_gone "$last"
server=
trap - EXIT
finish
