#!/usr/bin/env bash
# Runs client generators (orval with react-query, and openapi-ts) on an OpenAPI document and compiles what they make of it:
#   openapi-client.sh [DOCUMENT [OTHER]]
# DOCUMENT is an address or a file, else what `make app` and `make up` serve. With OTHER, such as the contract's own document, its client
# must offer every name in the same file, but for those of openapi-client/missing.txt: whoever imports from OTHER's client can import from
# it. Needs Node.js and npm; not part of `make test`.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

document=${1:-http://localhost:$REST_PORT/openapi.json}
other=${2:-}
have npm || die "npm is not installed" "install Node.js 20 or newer (https://nodejs.org)"

home=$CACHE/tools/openapi-client-$(sha256sum "$HACK/openapi-client/package-lock.json" | cut -c1-12)
if [[ ! -e $home/installed ]]; then
  say "installing the generators (half a minute, once)"
  mkdir -p "$home"
  cp "$HACK"/openapi-client/package*.json "$home"
  npm --prefix "$home" ci --ignore-scripts --no-audit --no-fund --silent || die "the generators cannot be installed" "look at npm config get registry"
  touch "$home/installed"
fi
cp "$HACK"/openapi-client/*.{cjs,mjs} "$HACK/openapi-client/tsconfig.json" "$home"
cd "$home"

# generate NAME DOCUMENT: both clients below out/NAME
generate() {
  local name=$1
  rm -rf "out/$name"
  mkdir -p "out/$name"
  if [[ $2 == http*://* ]]; then
    curl --fail --silent --show-error "$2" >"out/$name/openapi.json" || die "there is no document at $2" "start the platform: make app"
  else
    cp "$2" "out/$name/openapi.json"
  fi
  export OPENAPI="$home/out/$name/openapi.json"
  OUT=$home/out/$name/orval node_modules/.bin/orval --config orval.config.cjs >"out/$name/orval.log" 2>&1 ||
    { cat "out/$name/orval.log"; die "orval does not run on $2" "read the lines above"; }
  OUT=$home/out/$name/openapi-ts node_modules/.bin/openapi-ts -f openapi-ts.config.mjs >"out/$name/openapi-ts.log" 2>&1 ||
    { cat "out/$name/openapi-ts.log"; die "openapi-ts does not run on $2" "read the lines above"; }
  # Both name a failure and go on.
  node names.mjs "out/$name/orval" >"out/$name/orval.names"
  node names.mjs "out/$name/openapi-ts" >"out/$name/openapi-ts.names"
  [[ -s out/$name/orval.names && -s out/$name/openapi-ts.names ]] || die "the generators made nothing of $2" "read $home/out/$name/*.log"
}

rm -rf out
clients=(served)
say "generating clients of $document"
generate served "$document"
if [[ -n $other ]]; then
  say "generating clients of $other"
  generate other "$other"
  clients+=(other)
fi

say "compiling them"
node_modules/.bin/tsc -p tsconfig.json || die "the clients do not compile" "read the lines above; the sources are in $home/out"
for client in "${clients[@]}"; do
  say "$client: $(wc -l <"out/$client/orval.names") names by orval, $(wc -l <"out/$client/openapi-ts.names") by openapi-ts"
done
if [[ -n $other ]]; then
  for generator in orval openapi-ts; do
    sed -n "s/^$generator //p" "$HACK/openapi-client/missing.txt" | cat - "out/served/$generator.names" >"out/$generator.offered"
    missing=$(LC_ALL=C comm -13 <(LC_ALL=C sort "out/$generator.offered") <(LC_ALL=C sort "out/other/$generator.names"))
    [[ -z $missing ]] || die "these names of $generator's client of $other are missing:"$'\n'"$missing" "compare the documents in $home/out"
  done
  say "every name of the one is in the other"
fi
