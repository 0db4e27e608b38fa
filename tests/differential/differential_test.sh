#!/usr/bin/env bash
# The same bytes to ours, to nginx and to Node; differential.py says what is compared:
#
#     differential_test.sh <seen_server> <hostile_transcripts> <differential.py> <node_server.mjs> <strictness.md>
set -euo pipefail

source tests/integration/server.sh
PATH=$PATH:/usr/sbin
need nginx node python3

# No bytecode in the source tree.
/usr/bin/python3 -B "$3" --seen-server "$1" --hostile "$2" --node-server "$4" --strictness "$5" --directory "$kDir" ||
    fail "nothing that others refuse is accepted without a reason"
finish
