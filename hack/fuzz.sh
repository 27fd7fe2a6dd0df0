#!/usr/bin/env bash
# Sends bad input to the platform: requests made out of its OpenAPI document, at least 500 for each operation. CASE=name for one case,
# SCALE=0.1 for a tenth of the examples, SECONDS_PER_CASE=60 to bound the time. Prints a table and writes reports/fuzz.json.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

"$HACK/packages.sh" services
"$HACK/tools.sh" schemathesis

say "building the binaries (a few minutes the first time)"
cargo build --quiet -p app -p fuzz -p workload -p devservices
COMMIT=$(git rev-parse --short HEAD 2>/dev/null || true)
BIN_DIR=$("$HACK/bin-dir.sh")
export COMMIT BIN_DIR SCHEMATHESIS_BIN=$SCHEMATHESIS/bin/schemathesis

say "bad input (about an hour at full size)"
exec "$BIN_DIR/devservices" run -- "$BIN_DIR/fuzz"
