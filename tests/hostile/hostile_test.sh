#!/usr/bin/env bash
# Every attack for a moment, with few connections: the server withstands them. The bounds are those of a machine that
# is busy with other tests; docs/operations.md says how to attack in earnest.
#
#     hostile_test.sh <hostile> <target> <flags of hostile...>
#
# Without --attack among the flags: the attacks of this shard.
set -euo pipefail

readonly kHostile=$1 kTarget=$2
shift 2

[[ -z ${TEST_SHARD_STATUS_FILE:-} ]] || touch "$TEST_SHARD_STATUS_FILE"

flags=(--target "$kTarget" --bound-ms 3000 --lateness-ms 10000 "$@")
if [[ " $* " != *" --attack "* ]]; then
    mapfile -t names < <("$kHostile" --list | cut -d ' ' -f 1)
    ((${#names[@]} > 40)) || { echo "FAILED: only ${#names[@]} attacks"; exit 1; }
    for ((i = ${TEST_SHARD_INDEX:-0}; i < ${#names[@]}; i += ${TEST_TOTAL_SHARDS:-1})); do
        flags+=(--attack "${names[i]}")
    done
fi
"$kHostile" "${flags[@]}"
