#!/usr/bin/env bash
# Starts examples/echo_server and sends it a megabyte, which must come back.
set -euo pipefail

readonly kDir=${TEST_TMPDIR:-$(mktemp -d)}
: >"$kDir/out"  # the shell in the background makes it too late for the first look
"$1" 127.0.0.1:0 >"$kDir/out" &
server=$!
trap 'kill -KILL "$server" 2>/dev/null || true' EXIT
for ((i = 0; i < 500; ++i)); do
    line=$(head -n 1 "$kDir/out")
    [[ -z $line ]] || break
    read -r -t 0.02 <> <(:) || true
done
port=${line##*:}

head -c 1000000 /dev/urandom >"$kDir/sent"
exec 3<>"/dev/tcp/127.0.0.1/$port"
cat "$kDir/sent" >&3 &
head -c 1000000 <&3 >"$kDir/got"
wait $!
exec 3>&-
cmp "$kDir/sent" "$kDir/got"

kill -TERM "$server"
wait "$server"
trap - EXIT
echo "all passed"
