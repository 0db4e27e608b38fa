#!/usr/bin/env bash
# Runs push_page.mjs, which opens the page of examples/push_service in headless Chromium:
#
#     push_page_test.sh <push_service> <push_page.mjs> [tls]
#
# What it needs beyond the build, tools/install-dev-deps installs; without it this test is skipped, but where CI is
# true it fails.
set -euo pipefail

source tests/integration/server.sh

readonly kServer=$1
readonly kScript=$2
# node takes modules from beside the script itself, which is not in the tree that Bazel made for the test.
modules=$(dirname "$(readlink -f "$kScript")")/node_modules

need chromium node
[[ -d $modules/playwright-core ]] || missing "npm's playwright-core"
export HOME=$kDir  # Chromium keeps things there
((${#tls[@]} == 0)) || trust_in_chromium

exec node "$kScript" "$kServer" "$(command -v chromium)" "$kDir" "${TEST_UNDECLARED_OUTPUTS_DIR:-$kDir}" "${tls[@]}"
