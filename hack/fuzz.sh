#!/usr/bin/env bash
# Sends bad input to the platform: requests made out of its OpenAPI document, at least 500 for each operation, and whatever libFuzzer comes
# up with for what reads untrusted bytes. CASE=name for one case, SCALE=0.1 for a tenth of the examples, SECONDS_PER_CASE=60 to bound the
# time. Prints a table and writes reports/fuzz.json.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

CARGO_FUZZ_VERSION=0.13.2
CARGO_FUZZ=$CACHE/tools/cargo-fuzz-$CARGO_FUZZ_VERSION
NIGHTLY=${NIGHTLY:-nightly}
TARGETS=(graph_json ws_frame jwt_header)

# wanted NAME...: whether CASE leaves one of these cases in
wanted() {
  local name
  [[ -n ${CASE:-} ]] || return 0
  for name in "$@"; do
    [[ ,${CASE// /}, != *,$name,* ]] || return 0
  done
  return 1
}

# Sets LIBFUZZER_BIN to where the programs of fuzz/ are, or LIBFUZZER_MISSING to why there are none: not every machine has a nightly compiler.
libfuzzer() {
  have c++ || { LIBFUZZER_MISSING="there is no C++ compiler for libFuzzer: install g++"; return; }
  have rustup || { LIBFUZZER_MISSING="there is no rustup, and so no nightly compiler: install it (https://rustup.rs)"; return; }
  if ! rustup run "$NIGHTLY" rustc --version >/dev/null 2>&1; then
    say "installing the compiler $NIGHTLY (once)"
    rustup toolchain install "$NIGHTLY" --profile minimal --no-self-update >&2 ||
      { LIBFUZZER_MISSING="the compiler $NIGHTLY cannot be installed: rustup toolchain install $NIGHTLY"; return; }
  fi
  if [[ ! -x $CARGO_FUZZ/bin/cargo-fuzz ]]; then
    say "installing cargo-fuzz $CARGO_FUZZ_VERSION (a minute, once)"
    cargo install cargo-fuzz --locked --quiet --version "$CARGO_FUZZ_VERSION" --root "$CARGO_FUZZ" --target-dir "$CACHE/target-tools" ||
      { LIBFUZZER_MISSING="cargo-fuzz cannot be installed: cargo install cargo-fuzz --version $CARGO_FUZZ_VERSION"; return; }
  fi
  say "building the programs of libFuzzer (about ten minutes the first time)"
  # Without a sanitizer: the platform has no unsafe code, and its own checks are those of the targets.
  PATH=$CARGO_FUZZ/bin:$PATH cargo "+$NIGHTLY" fuzz build --fuzz-dir fuzz --sanitizer none --target-dir "$CACHE/target-fuzz" ||
    { LIBFUZZER_MISSING="the programs of fuzz/ cannot be built with $NIGHTLY: read the lines above"; return; }
  LIBFUZZER_BIN=$CACHE/target-fuzz/$(rustc -vV | sed -n 's/^host: //p')/release
}

"$HACK/packages.sh" services
if wanted rest; then
  "$HACK/tools.sh" schemathesis
fi
LIBFUZZER_BIN=
LIBFUZZER_MISSING=
if wanted "${TARGETS[@]}"; then
  libfuzzer
fi

say "building the binaries (a few minutes the first time)"
own_target
cargo build --quiet -p app -p fuzz -p workload -p devservices
COMMIT=$(git rev-parse --short HEAD 2>/dev/null || true)
BIN_DIR=$("$HACK/bin-dir.sh")
export COMMIT BIN_DIR SCHEMATHESIS_BIN=$SCHEMATHESIS/bin/schemathesis LIBFUZZER_BIN LIBFUZZER_MISSING

say "bad input (about an hour and a quarter at full size)"
exec "$BIN_DIR/devservices" run -- "$BIN_DIR/fuzz"
