#!/usr/bin/env bash
# tests/soak/run itself: few connections and short times, so that all of its ways to die are died.
set -euo pipefail

exec tests/soak/run --binaries tests/soak --ws 300 --http 300 --tcp 100 --minutes 0.25 --scale 3
