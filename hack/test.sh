#!/usr/bin/env bash
# Runs every test: those of the crates and of tests/ against real servers that it starts, then the end-to-end
# test on a cluster of its own, which may stand beside the one of `make up`.
set -euo pipefail
# shellcheck source=hack/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

[[ $EUID -eq 0 || $(provider) == kind ]] ||
  die "the end-to-end test needs a cluster: root for the local one, or a Docker engine for kind" "run as root, or start Docker"

"$HACK/packages.sh" services
"$HACK/tools.sh" etcd-apiserver schemathesis
"$HACK/tools.sh" gateway-api >/dev/null
export SCHEMATHESIS_BIN=$SCHEMATHESIS/bin/schemathesis
export KUBEBUILDER_ASSETS=${KUBEBUILDER_ASSETS:-$BIN}
export HELM_BIN=$BIN/helm

say "building everything, tests included (about six minutes the first time)"
own_target
cargo build --quiet --workspace --all-targets
BIN_DIR=$("$HACK/bin-dir.sh")
export BIN_DIR

say "tests of the crates, the contract and the controllers, on real PostgreSQL, Redis, RabbitMQ and kube-apiserver"
"$BIN_DIR/devservices" run -- cargo test --workspace --exclude e2e-tests

say "kind configuration"
"$HACK/kind-check.sh"

say "end-to-end test on a cluster of its own"
export INSTANCE="test"
cargo test --workspace --test newcomer -- --nocapture
