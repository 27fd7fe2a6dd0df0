#!/usr/bin/env bash
# Everything that can be said about the code without running it. Warnings are errors.
set -euo pipefail
# shellcheck source=hack/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

CARGO_DENY_VERSION=0.20.2
deny=$CACHE/tools/cargo-deny-$CARGO_DENY_VERSION

"$HACK/packages.sh" lint
"$HACK/tools.sh" etcd-apiserver client

say "formatting"
cargo fmt --all --check
rustfmt --edition 2024 --check fuzz/fuzz_targets/*.rs

say "clippy (about two minutes the first time)"
own_target
cargo clippy --workspace --all-targets --quiet -- -D warnings

if [[ ! -x $deny/bin/cargo-deny ]]; then
  say "installing cargo-deny $CARGO_DENY_VERSION (about three minutes, once)"
  cargo install cargo-deny --locked --quiet --version "$CARGO_DENY_VERSION" --root "$deny" --target-dir "$CACHE/target-tools"
fi
say "dependencies: bans, licences, sources"
"$deny/bin/cargo-deny" --log-level error check --hide-inclusion-graph bans licenses sources

say "shell scripts"
mapfile -t scripts < <(git ls-files '*.sh' '.ci/run')
shellcheck -x "${scripts[@]}"

say "generated files"
cargo run --quiet -p crds --bin crdgen -- --check

say "Helm chart"
helm lint --strict charts/autogpt
