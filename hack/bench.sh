#!/usr/bin/env bash
# Measures the platform on this machine: release binaries, real servers, the load beside them (tests/bench).
# CASE=name (several with commas), SECONDS_PER_CASE=60, SCALE=1, REPORT=reports/bench.json
set -euo pipefail
# shellcheck source=hack/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

"$HACK/packages.sh" services
case ,${CASE:-graph-schedule}, in *,graph-schedule,*) "$HACK/tools.sh" cluster ;; esac
export KUBEBUILDER_ASSETS=${KUBEBUILDER_ASSETS:-$BIN}
# With their symbols, so that perf can name what it sees.
export CARGO_PROFILE_RELEASE_STRIP=none
say "building release binaries (about ten minutes the first time)"
own_target
cargo build --quiet --release -p bench -p workload -p db -p executor -p notification -p operator -p rest -p scheduler -p ws
COMMIT=$(git rev-parse --short HEAD 2>/dev/null || true)
BIN_DIR=$(PROFILE=release "$HACK/bin-dir.sh")
export COMMIT BIN_DIR
exec "$BIN_DIR/bench"
