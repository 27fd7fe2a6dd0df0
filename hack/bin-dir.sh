#!/usr/bin/env bash
# Prints where cargo leaves the binaries of a profile (PROFILE=dev or release).
set -euo pipefail
# shellcheck source=hack/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
host=$(rustc -vV | sed -n 's/^host: //p')
profile=${PROFILE:-dev}
printf '%s/%s/%s\n' "${CARGO_TARGET_DIR:-$CACHE/target}" "$host" "${profile/#dev/debug}"
