#!/usr/bin/env bash
# slowhttptest's four attacks on the target: it stays available to slowhttptest's own probe, and has closed every
# connection by the deadlines that target_limits.cc gives it.
#
#     slowhttptest_test.sh <target>
set -euo pipefail

source tests/integration/server.sh

need slowhttptest
readonly kConnections=100

start "$1" --address 127.0.0.1
cd "$kDir"  # where slowhttptest leaves nothing, but would

sockets() { find "/proc/$server/fd" -lname 'socket:*' 2>/dev/null | wc -l; }
is_back() { (($(sockets) <= before)); }
before=$(sockets)

# attack <what> <path> <flags...>: prints the last status and how it ended.
attack() {
    local what=$1 path=$2 code=0
    shift 2
    slowhttptest -c "$kConnections" -r 200 -i 1 -l 6 -p 3 "$@" -u "$url$path" >log.attack 2>&1 || code=$?
    sed -i 's/\x1b\[[0-9;]*m//g' log.attack
    expect "$what: slowhttptest ran" "0" "$code"
    expect "$what: available at all times" "" "$(grep 'service available:' log.attack | grep -v YES || true)"
    expect_match "$what: its probe was answered" "service available: +YES" "$(grep 'service available:' log.attack)"
    wait_for "$what: every connection is closed" is_back
}

# Those whose end slowhttptest sees: it stops before its time, as none is left.
expect_ended() { expect_match "$1: closed within the deadlines" "No open connections left" "$(cat log.attack)"; }

attack "slow headers" /hello -H -x 10
expect_ended "slow headers"
attack "slow bodies" /take -B -s 4096 -x 10
expect_ended "slow bodies"
attack "slow reading" /big -X -w 64 -y 128 -n 1 -z 8 -k 8
attack "ranges" /hello -R
expect_ended "ranges"

expect_match "and it serves as before" "Hello" "$(exchange <<<$'GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r')"
kill -TERM "$server"
expect_exit "the target exits"
finish
