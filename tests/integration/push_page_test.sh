#!/usr/bin/env bash
# Runs push_page.mjs, which opens the page of examples/push_service in headless Chromium. What it needs beyond the
# build, tools/install-dev-deps installs; without it this test is skipped, but where CI is true it fails.
set -euo pipefail

readonly kServer=$1
readonly kScript=$2
# node takes modules from beside the script itself, which is not in the tree that Bazel made for the test.
modules=$(dirname "$(readlink -f "$kScript")")/node_modules
dir=${TEST_TMPDIR:-$(mktemp -d)}
export HOME=$dir  # Chromium keeps things there

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v node >/dev/null || missing+=(node)
[[ -d $modules/playwright-core ]] || missing+=(playwright-core)
if ((${#missing[@]} > 0)); then
    echo "SKIPPED SKIPPED SKIPPED: the page is not tested without ${missing[*]}: run tools/install-dev-deps"
    [[ ${CI-} != true ]] || { echo "FAILED: nothing may be skipped where CI is true"; exit 1; }
    exit 0
fi

exec node "$kScript" "$kServer" "$(command -v chromium)" "$dir" "${TEST_UNDECLARED_OUTPUTS_DIR:-$dir}"
