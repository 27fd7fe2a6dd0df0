# shellcheck shell=bash disable=SC2034
# What every script here shares: where things live, which instance is meant, how progress and failures look.
# Sourced, never run. Two instances may stand side by side: INSTANCE=autogpt (make up) and INSTANCE=test (make test).

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
HACK=$ROOT/hack
CACHE=${AUTOGPT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/autogpt-kubernetes}

KUBERNETES_VERSION=1.36.3
COREDNS_VERSION=1.15.0
HELM_VERSION=4.3.1
KIND_VERSION=0.33.0
TRAEFIK_VERSION=3.7.13
GATEWAY_API_VERSION=1.6.1
BIN=$CACHE/tools/bin-kubernetes-$KUBERNETES_VERSION-coredns-$COREDNS_VERSION-helm-$HELM_VERSION

KIND_BIN=$CACHE/tools/kind-$KIND_VERSION
TRAEFIK_BIN=$CACHE/tools/traefik-$TRAEFIK_VERSION
GATEWAY_API_CRDS=$CACHE/tools/gateway-api-$GATEWAY_API_VERSION/crds.yaml
SCHEMATHESIS=$CACHE/tools/schemathesis-$(sed -n 's/^schemathesis==//p' "$HACK/schemathesis.txt")

say() { printf '==> %s\n' "$*"; }

# die WHAT [WHAT_TO_DO]
die() {
  printf 'error: %s\n' "$1" >&2
  if [[ $# -gt 1 ]]; then printf '  what to do: %s\n' "$2" >&2; fi
  exit 1
}

# Not `command -v`, which would find the functions below.
have() { type -P "$1" >/dev/null; }

# retry SECONDS COMMAND...: until it succeeds or the time is over
retry() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}

# Clones share one target directory, and what is compiled can carry the path of its clone: what another one left of that is built again.
own_target() {
  local mark=${CARGO_TARGET_DIR:-$CACHE/target}/clone
  [[ $(cat "$mark" 2>/dev/null) != "$ROOT" ]] || return 0
  grep -rlZ --include='*.rs' CARGO_MANIFEST_DIR "$ROOT" | xargs -0r touch
  mkdir -p "$(dirname "$mark")"
  printf '%s\n' "$ROOT" >"$mark"
}

# The name serves as cluster, node, network namespace and cgroup; the addresses of two instances never overlap.
INSTANCE=${INSTANCE:-autogpt}
case $INSTANCE in
  autogpt) NAME=autogpt STATE=$ROOT/.cluster NET=10.89.0 PODS=10.244 SERVICES=10.96 REST_PORT=8006 WS_PORT=8001 INGRESS_PORT=8080 ;;
  test) NAME=autogpt-test STATE=$ROOT/.cluster-test NET=10.90.0 PODS=10.245 SERVICES=10.97 REST_PORT=18006 WS_PORT=18001 INGRESS_PORT=18080 ;;
  *) die "unknown INSTANCE '$INSTANCE'" "leave it out, or use INSTANCE=test" ;;
esac
HOST_IP=$NET.1
NODE_IP=$NET.2
# Not below the clone: a unix socket's path has 108 bytes at most, and `git clean` must not orphan a running cluster.
RUNS=/run/autogpt-kubernetes
RUN=$RUNS/$INSTANCE
SOCKET=$RUN/containerd.sock
KUBECONFIG=$STATE/kubeconfig
NAMESPACE=autogpt
export INSTANCE

# kind where a Docker engine answers, otherwise the local cluster; CLUSTER=local or CLUSTER=kind decides it by hand,
# and what runs already stays what it is.
provider() {
  if [[ -e $STATE/kind ]]; then
    printf 'kind\n'
  elif [[ -e $RUN/owner ]]; then
    printf 'local\n'
  elif [[ -n ${CLUSTER:-} ]]; then
    printf '%s\n' "$CLUSTER"
  elif have docker && timeout 10 docker info >/dev/null 2>&1; then
    printf 'kind\n'
  else
    printf 'local\n'
  fi
}

# `make up INGRESS=1` leaves this mark, and a run without it takes it away.
behind_ingress() { [[ -e $STATE/ingress ]]; }

# Whether the ingress comes to this machine by the forwarder: kind brings the developer's by itself (kind-config.yaml).
ingress_is_forwarded() { behind_ingress && ! [[ $INSTANCE == autogpt && $(provider) == kind ]]; }

kubectl() {
  local binary=$BIN/kubectl
  [[ -x $binary ]] || binary=$(type -P kubectl) || die "there is no kubectl" "run hack/tools.sh, or install kubectl"
  "$binary" --kubeconfig "$KUBECONFIG" "$@"
}

helm() {
  local binary=$BIN/helm
  [[ -x $binary ]] || binary=$(type -P helm) || die "there is no helm" "run hack/tools.sh, or install Helm"
  "$binary" --kubeconfig "$KUBECONFIG" "$@"
}
