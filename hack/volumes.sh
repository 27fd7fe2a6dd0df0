#!/usr/bin/env bash
# The reclaimer of the local cluster's volumes: volumes.sh KUBECONFIG DIRECTORY
# Kubernetes has none for local volumes: once its claim is deleted, a volume would stay Released for ever.
# Started by cluster.sh; it follows a watch and sleeps otherwise.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
KUBECONFIG=$1
directory=$2

# An event may be old news: only a volume that still is Released may be emptied.
reclaim() {
  local volume=$1 phase
  phase=$(kubectl get pv "$volume" -o jsonpath='{.status.phase}')
  [[ $phase == Released ]] || return 0
  say "$(date -u +%FT%TZ) emptying the released volume $volume"
  rm -rf --one-file-system "${directory:?}/$volume"
  mkdir -m 755 "$directory/$volume"
  kubectl patch pv "$volume" --type=json -p '[{"op": "remove", "path": "/spec/claimRef"}]'
}

trap 'kill $(jobs -p) 2>/dev/null' EXIT
while true; do
  while read -r volume phase; do
    if [[ $phase == Released && -d $directory/$volume ]]; then reclaim "$volume" || true; fi
  done < <(kubectl get pv -l autogpt.dev/local-volume=true --watch \
    -o jsonpath='{.metadata.name} {.status.phase}{"\n"}' 2>/dev/null)
  sleep 2
done
