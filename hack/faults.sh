#!/usr/bin/env bash
# Runs the fault battery at full size, in the release profile: CASE=name for one case, SCALE=0.1 for a tenth of it,
# SECONDS_PER_CASE=60 to bound the time in which faults are injected. Prints a table and writes reports/faults.json.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

"$HACK/packages.sh" services
case ,${CASE:-graph_schedules}, in *,graph_schedules* | *,steady_state,*) "$HACK/tools.sh" etcd-apiserver client ;; esac
export KUBEBUILDER_ASSETS=${KUBEBUILDER_ASSETS:-$BIN}

say "building the release binaries (a few minutes the first time)"
export CARGO_PROFILE_RELEASE_STRIP=none # as `make bench` builds them: one set of dependencies serves both
own_target
cargo build --quiet --release -p workload -p faults -p operator
COMMIT=$(git rev-parse --short HEAD 2>/dev/null || true)
BIN_DIR=$(PROFILE=release "$HACK/bin-dir.sh")
export COMMIT BIN_DIR

say "fault battery (docs/reliability.md says what each case does)"
exec "$BIN_DIR/faults"
