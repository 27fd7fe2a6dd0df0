#!/usr/bin/env bash
# Checks kind-config.yaml (or the file given) with kind's own configuration loader.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

have go || die "go is not installed" "install Go 1.26 or newer (https://go.dev/dl) and run this again"
file=$(realpath "${1:-$ROOT/kind-config.yaml}")
cd "$HACK/kind-check"
CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off go run -buildvcs=false . "$file" ||
  die "kind refuses $file" "read the line above; https://kind.sigs.k8s.io/docs/user/configuration"
