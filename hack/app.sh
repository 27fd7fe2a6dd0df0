#!/usr/bin/env bash
# All six services in one process, with servers of their own unless the environment names some.
set -euo pipefail
# shellcheck source=hack/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

if [[ -z ${DATABASE_URL:-}${DB_HOST:-} || -z ${REDIS_HOST:-} || -z ${RABBITMQ_HOST:-} ]]; then
  "$HACK/packages.sh" services
fi
say "building (about four minutes the first time)"
cargo build --quiet --workspace --bins
exec "$("$HACK/bin-dir.sh")/app" "$@"
