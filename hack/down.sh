#!/usr/bin/env bash
# What `make down` does: ends what `make up` or `make app` started, and leaves nothing of it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$HACK/forward.sh" stop

app_pid=${AUTOGPT_APP_DATA:-$ROOT/.app}/app.pid
if [[ $INSTANCE == autogpt && -r $app_pid ]]; then
  pid=$(<"$app_pid")
  if [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == */app ]]; then
    say "stopping make app (process $pid)"
    kill -TERM "$pid"
    app_ended() { [[ ! -e /proc/$pid ]]; }
    retry 20 app_ended || say "process $pid still runs; end it by hand if it must go"
  fi
fi

if [[ -e $STATE/kind ]]; then
  say "deleting the kind cluster '$NAME'"
  PATH=$PATH:$KIND_BIN kind delete cluster --name "$NAME" --kubeconfig "$KUBECONFIG"
  rm -rf "$STATE"
else
  "$HACK/cluster.sh" down
fi
say "nothing of '$NAME' runs any more"
