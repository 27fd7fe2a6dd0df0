#!/usr/bin/env bash
# What `make up` does: from a fresh machine to an agent that has run and a schedule that has fired.
# Every step looks first whether it is done, so running it again is quick and safe.
#   BIN_DIR  a directory with the built binaries: cargo is not called then
#   INGRESS  1: with Traefik in front, everything also at http://localhost:8080, by an Ingress and by an HTTPRoute
#   EMAIL    whose token is printed at the end (you@example.com)
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

BEGAN=$SECONDS
PROVIDER=$(provider)
EXAMPLES=$ROOT/examples
VALUES=()
INGRESS=${INGRESS:-}
# How the example platform is reached with INGRESS=1. Every *.localhost is this machine.
OUTSIDE='{"spec": {"ingress": {}, "gateway": {"parentRef": {"name": "traefik", "namespace": "traefik"}, "hostnames": ["gateway.localhost"],
  "url": "http://localhost:'$INGRESS_PORT'"}}}'

k() { kubectl -n "$NAMESPACE" "$@"; }

# --- the machine and the cluster -------------------------------------------------------------------------------

prepare() {
  if [[ $PROVIDER == kind ]]; then
    say "a Docker engine answers: using kind"
    "$HACK/tools.sh" client
    if ! PATH=$PATH:$KIND_BIN have kind; then
      have go || die "kind is not installed, nor is Go to install it" \
        "https://kind.sigs.k8s.io/docs/user/quick-start, or install Go (https://go.dev/dl) and run make up again"
      say "installing kind v$KIND_VERSION (about a minute)"
      GOBIN=$KIND_BIN go install "sigs.k8s.io/kind@v$KIND_VERSION" ||
        die "kind could not be installed" "go install sigs.k8s.io/kind@v$KIND_VERSION"
    fi
  else
    say "no Docker engine answers: using the local cluster"
    ((EUID == 0)) || die "the local cluster needs root" "run it as root (sudo -E make up), or start a Docker engine"
    "$HACK/packages.sh" services cluster images
    "$HACK/tools.sh" cluster
    [[ $INGRESS != 1 ]] || "$HACK/tools.sh" traefik
  fi
}

binaries() {
  if [[ -z ${BIN_DIR:-} ]]; then
    "$HACK/images.sh" binaries
    BIN_DIR=$("$HACK/bin-dir.sh")
    export BIN_DIR
  fi
}

cluster() {
  if [[ $PROVIDER == local ]]; then
    "$HACK/cluster.sh" up
    return
  fi
  PATH=$PATH:$KIND_BIN
  mkdir -p "$STATE"
  touch "$STATE/kind"
  if kind get clusters 2>/dev/null | grep -qx "$NAME"; then
    kind export kubeconfig --name "$NAME" --kubeconfig "$KUBECONFIG" 2>/dev/null
    say "the kind cluster '$NAME' is running"
    return
  fi
  say "creating the kind cluster '$NAME' (one to three minutes, the node's image is downloaded once)"
  # The tests' cluster leaves the ports of the machine to the other one.
  local config
  config=$(<"$ROOT/kind-config.yaml")
  [[ $INSTANCE == autogpt ]] || config=$(sed '/extraPortMappings:/,$d' <<<"$config")
  kind create cluster --name "$NAME" --kubeconfig "$KUBECONFIG" --wait 120s --config - <<<"$config" ||
    die "kind could not create the cluster" "read the lines above; 'docker info' shows the engine, 'docker ps' what holds port 8080"
}

images() {
  if [[ $INGRESS == 1 ]]; then touch "$STATE/ingress"; else rm -f "$STATE/ingress"; fi
  if [[ $PROVIDER == local ]]; then
    "$HACK/images.sh" data
    ! behind_ingress || "$HACK/images.sh" ingress
  fi
  "$HACK/images.sh" platform
  TAG=$(<"$STATE/image-tag")
  say "loading the images (tag $TAG)"
  "$HACK/images.sh" load
  VALUES=(--set image.repository=localhost/autogpt --set "image.tag=$TAG")
  if [[ $PROVIDER == local ]]; then
    VALUES+=(--set dataImages.postgres=localhost/autogpt/postgres:15
      --set dataImages.redis=localhost/autogpt/redis:7
      --set dataImages.rabbitmq=localhost/autogpt/rabbitmq:3)
  fi
}

# Not waited for: the platform takes longer.
ingress() {
  behind_ingress || return 0
  say "installing the Gateway API v$GATEWAY_API_VERSION and Traefik v$TRAEFIK_VERSION"
  local definitions image=localhost/autogpt/traefik:$TRAEFIK_VERSION address=$NODE_IP
  definitions=$("$HACK/tools.sh" gateway-api)
  # The published image, which the node pulls.
  [[ $PROVIDER == local ]] || image=docker.io/library/traefik:v$TRAEFIK_VERSION address=127.0.0.1
  kubectl apply --server-side -f "$definitions" >/dev/null || die "the Gateway API's definitions are refused" "read the line above"
  kubectl wait --for=condition=Established --timeout=60s crd/{gatewayclasses,gateways,httproutes}.gateway.networking.k8s.io >/dev/null 2>&1 ||
    die "the Gateway API's definitions are not served" "kubectl get crd"
  sed -e "s|@IMAGE@|$image|g" -e "s|@ADDRESS@|$address|g" "$HACK/cluster/traefik.yaml" | kubectl apply --server-side -f - >/dev/null ||
    die "Traefik's manifests are refused" "read the line above"
}

# --- the operator and the platform -----------------------------------------------------------------------------

# look_at WHAT: what a person would look at first, then the end
look_at() {
  printf -- '--- pods\n' >&2
  k get pods -o wide >&2 || true
  printf -- '--- the last warnings\n' >&2
  k get events --field-selector type=Warning --sort-by=.lastTimestamp 2>/dev/null | tail -n 8 >&2 || true
  printf -- "--- the operator's last lines\n" >&2
  k logs deployment/autogpt-operator --tail=10 >&2 || true
  printf -- '--- the nodes\n' >&2
  k describe nodes 2>/dev/null | sed -n -e '/^Taints:/,/^Unschedulable:/p' -e '/^Conditions:/,/^Addresses:/p' >&2 || true
  die "$1" "look further with: $STATE/kubectl describe agp autogpt; $STATE/kubectl logs deployment/NAME; $STATE/kubectl get events"
}

operator() {
  say "installing the operator with Helm"
  # An install that was cut short would block every later one.
  if helm status autogpt-operator -n "$NAMESPACE" 2>/dev/null | grep -q '^STATUS: pending'; then
    helm uninstall autogpt-operator -n "$NAMESPACE" --wait >/dev/null
  fi
  helm upgrade --install autogpt-operator "$ROOT/charts/autogpt" -n "$NAMESPACE" --create-namespace \
    --wait --timeout 3m "${VALUES[@]}" >"$STATE/helm.log" 2>&1 || {
    tail -n 5 "$STATE/helm.log" >&2
    look_at "the operator does not get ready"
  }
}

jwt_key() {
  [[ -n ${JWT_VERIFY_KEY:-} ]] || return 0
  say "putting JWT_VERIFY_KEY from the environment into the Secret autogpt-jwt"
  # By file descriptor: an argument would show in the process list.
  k create secret generic autogpt-jwt --from-file=JWT_VERIFY_KEY=<(printf '%s' "$JWT_VERIFY_KEY") \
    --dry-run=client -o yaml | k apply --server-side --force-conflicts -f - >/dev/null
}

condition() { k get agp autogpt -o "jsonpath={.status.conditions[?(@.type==\"$1\")].$2}" 2>/dev/null; }

# Ready may still speak of the images of the last run: every Deployment must have come to this one's.
platform_ready() {
  [[ $(condition Ready status) == True ]] || return 1
  local stale
  stale=$(k get deployments -o jsonpath='{range .items[*]}{range .spec.template.spec.containers[*]}{.image}{"\n"}{end}{end}' |
    grep '^localhost/autogpt/' | grep -cv ":$TAG\$" || true)
  ((stale == 0)) && k rollout status deployment --timeout=1s >/dev/null 2>&1
}

platform() {
  say "applying examples/platform.yaml (one to two minutes the first time)"
  example_platform | k apply -f - >/dev/null || die "the platform is refused" "read the line above"
  local end=$((SECONDS + 300)) last='' now
  until platform_ready; do
    now=$(condition Progressing message)
    if [[ -n $now && $now != "$last" ]]; then
      printf '    %s\n' "$now"
      last=$now
    fi
    if ((SECONDS >= end)); then
      k get agp autogpt -o jsonpath='{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}' >&2 || true
      look_at "the platform is not ready after 5 minutes"
    fi
    sleep 1
  done
  k wait --for=condition=Ready agp/autogpt --timeout=60s >/dev/null || look_at "the platform is not ready"
  ! behind_ingress || reachable
}

example_platform() {
  if behind_ingress; then
    kubectl patch --local -f "$EXAMPLES/platform.yaml" --type=merge -p "$OUTSIDE" -o yaml
  else
    cat "$EXAMPLES/platform.yaml"
  fi
}

reachable() {
  local kind
  for kind in IngressReady GatewayReady; do
    k wait "--for=condition=$kind" agp/autogpt --timeout=60s >/dev/null || {
      printf '%s: %s\n' "$kind" "$(condition "$kind" message)" >&2
      kubectl -n traefik get pods >&2 || true
      look_at "the platform is not reached from outside"
    }
  done
}

# --- the examples ----------------------------------------------------------------------------------------------

# name_in FILE KIND
name_in() { kubectl create --dry-run=client -f "$1" -o name | sed -n "s|^$2\.autogpt\.dev/||p"; }

execution() {
  local name phase last='' end=$((SECONDS + 120))
  name=$(name_in "$EXAMPLES/execution.yaml" graphexecution)
  k delete gexec "$name" --ignore-not-found --timeout=90s >/dev/null || look_at "the execution of the last run does not go away"
  say "applying examples/execution.yaml"
  k apply -f "$EXAMPLES/execution.yaml" >/dev/null || die "the execution is refused" "read the line above"
  while true; do
    phase=$(k get gexec "$name" -o jsonpath='{.status.phase}')
    if [[ -n $phase && $phase != "$last" ]]; then
      printf '    %s\n' "$phase"
      last=$phase
    fi
    case $phase in
      COMPLETED) break ;;
      FAILED | TERMINATED)
        k get gexec "$name" -o jsonpath='{.status.message}{"\n"}' >&2
        look_at "the execution $name ended $phase"
        ;;
    esac
    ((SECONDS < end)) || look_at "the execution $name is not finished after 2 minutes"
    sleep 0.5
  done
  printf '    outputs: %s\n' "$(k get gexec "$name" -o jsonpath='{.status.outputs}')"
}

# A child of the last two minutes: a schedule that fired earlier and then stood still does not count.
child() {
  local since
  since=$(date -u -d '2 minutes ago' +%FT%TZ)
  k get gexec -l "autogpt.dev/schedule=$1" \
    -o jsonpath='{range .items[*]}{.metadata.creationTimestamp} {.metadata.name} {.status.phase}{"\n"}{end}' |
    awk -v since="$since" '$1 >= since && $3 == "COMPLETED" { print $2; exit }'
}

schedule() {
  local name run='' end=$((SECONDS + 180))
  name=$(name_in "$EXAMPLES/schedule.yaml" graphschedule)
  say "applying examples/schedule.yaml; it fires at the next full minute"
  k apply -f "$EXAMPLES/schedule.yaml" >/dev/null || die "the schedule is refused" "read the line above"
  until run=$(child "$name") && [[ -n $run ]]; do
    ((SECONDS < end)) || {
      k get gsch "$name" -o jsonpath='{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}' >&2 || true
      k get gexec -l "autogpt.dev/schedule=$name" >&2 || true
      look_at "the schedule $name has not fired and finished a run within 3 minutes"
    }
    sleep 1
  done
  printf '    %s fired: %s COMPLETED\n' "$name" "$run"
}

# --- the end ---------------------------------------------------------------------------------------------------

shortcut() {
  local binary=$BIN/kubectl
  [[ -x $binary ]] || binary=$(type -P kubectl)
  printf '#!/bin/sh\n# kubectl for this cluster, in the namespace of the platform\nexec %s --kubeconfig %s -n %s "$@"\n' \
    "$binary" "$KUBECONFIG" "$NAMESPACE" >"$STATE/kubectl"
  chmod +x "$STATE/kubectl"
}

outside() {
  behind_ingress || return 0
  printf '\nIngress       http://localhost:%s\nGateway       http://gateway.localhost:%s' "$INGRESS_PORT" "$INGRESS_PORT"
}

report() {
  local rest=http://localhost:$REST_PORT email=${EMAIL:-you@example.com} short=${STATE#"$PWD/"} name
  name=$(name_in "$EXAMPLES/execution.yaml" graphexecution)
  say "everything runs, after $((SECONDS - BEGAN)) s:"
  k get agp,gsch,deployments 2>/dev/null | sed 's/^/    /'
  cat <<TEXT

REST          $rest
WebSocket     ws://localhost:$WS_PORT/ws$(outside)
kubeconfig    $KUBECONFIG
token         (of $email, for a day)
$("$HACK/token.sh" "$email")

Five things to try next:
  $short/kubectl get gexec --watch
  $short/kubectl get gexec $name -o yaml
  $short/kubectl describe gsch
  curl -s $rest/api/blocks -H "Authorization: Bearer \$(hack/token.sh $email)"
  make down
TEXT
}

prepare
binaries
cluster
shortcut
images
ingress
operator
jwt_key
platform
execution
schedule
"$HACK/forward.sh" start
report
