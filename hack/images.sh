#!/usr/bin/env bash
# Container images without a registry. With a Docker engine docker builds them, otherwise buildah.
#   images.sh system          pause and CoreDNS, which the local cluster itself needs
#   images.sh data            Postgres, Redis and RabbitMQ from Debian's packages, for the local cluster
#   images.sh ingress         Traefik, for the local cluster with INGRESS=1
#   images.sh binaries        builds the binaries (PROFILE=dev or release)
#   images.sh platform        one image for each binary (of BIN_DIR, else built now); leaves the tag in <state>/image-tag
#   images.sh load-system     imports the system images into the instance's containerd
#   images.sh load            imports the others into the instance's cluster
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ARCHIVES=$CACHE/images
BINARIES=(operator rest ws db scheduler executor notification)
PAUSE=localhost/autogpt/pause:1
COREDNS=localhost/autogpt/coredns:$COREDNS_VERSION
TRAEFIK=localhost/autogpt/traefik:$TRAEFIK_VERSION
DATA=(localhost/autogpt/postgres:15 localhost/autogpt/redis:7 localhost/autogpt/rabbitmq:3)

TMP=
trap '[[ -z $TMP ]] || rm -rf "$TMP"' EXIT

temporary() { [[ -n $TMP ]] || { mkdir -p "$ARCHIVES" && TMP=$(mktemp -d "$ARCHIVES/build.XXXXXX"); }; }

short_hash() { sha256sum | cut -c1-12; }

# built REFERENCE KEY: whether the archive exists; one that is in use stays young
built() { touch -c "$(archive "$1" "$2")" && [[ -e $(archive "$1" "$2") ]]; }

# archive REFERENCE KEY: where an image of this content lies
archive() { printf '%s/%s-%s.tar\n' "$ARCHIVES" "$(basename "${1%%:*}")" "$2"; }

# build REFERENCE KEY CONTEXT [ARGUMENTS...]: uncompressed layers, which import several times faster
build() {
  local reference=$1 target context=$3
  target=$(archive "$1" "$2")
  shift 3
  local store=(--storage-driver vfs --root "$TMP/store" --runroot "$TMP/run")
  printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$TMP/policy.json"
  printf '[network]\nnetwork_config_dir = "%s/cni"\n' "$TMP" >"$TMP/containers.conf"
  export CONTAINERS_CONF=$TMP/containers.conf
  local caches=/var/lib/containers
  [[ ! -e $caches ]] || caches=$TMP/none
  {
    buildah "${store[@]}" bud --isolation chroot --signature-policy "$TMP/policy.json" --tag "$reference" "$@" "$context" &&
      buildah "${store[@]}" push --signature-policy "$TMP/policy.json" "$reference" "docker-archive:$TMP/image.tar:$reference"
  } >"$TMP/buildah.log" 2>&1 || {
    tail -n 20 "$TMP/buildah.log" >&2
    die "building $reference failed" "read the lines above; hack/packages.sh images installs what is needed"
  }
  rm -rf "$caches"
  # An hour's grace: another clone may be about to load what it has just found here.
  find "$ARCHIVES" -name "$(basename "${target%-*}")-*.tar" -mmin +60 -delete
  mv "$TMP/image.tar" "$target"
}

# --- trees from the machine's own files ------------------------------------------------------------------------

# skeleton ROOTFS: merged /usr, a shell, and the users that programs look up
skeleton() {
  mkdir -p "$1"/usr/{bin,sbin,lib,lib64} "$1"/etc "$1"/var/lib "$1"/run
  local name
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$1/$name"; done
  ln -s /run "$1/var/run"
  install -d -m 1777 "$1/tmp" "$1/var/tmp"
  install -m 755 "$(PATH=$PATH:/bin type -P busybox)" "$1/usr/bin/busybox"
  for name in $(busybox --list); do ln -s busybox "$1/usr/bin/$name" 2>/dev/null || true; done
  printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$1/etc/passwd"
  printf 'root:x:0:\nnobody:x:65534:\n' >"$1/etc/group"
}

# user ROOTFS NAME HOME: as uid 999, which the official images use
user() {
  printf '%s:x:999:999:%s:%s:/bin/sh\n' "$2" "$2" "$3" >>"$1/etc/passwd"
  printf '%s:x:999:\n' "$2" >>"$1/etc/group"
}

# take ROOTFS PATH...: copies files and directories to the same place
take() {
  local rootfs=$1 path
  shift
  for path in "$@"; do
    path=$(realpath "$(dirname "$path")")/$(basename "$path")
    mkdir -p "$rootfs$(dirname "$path")"
    rm -rf "${rootfs:?}$path"
    cp -a "$path" "$rootfs$path"
  done
}

# libraries ROOTFS: the shared libraries of everything taken, as ldd names them
libraries() {
  local library
  find "$1" -type f \( -perm -u+x -o -name '*.so*' \) -print0 |
    { xargs -0 -r -n 40 ldd 2>/dev/null || true; } | sed -nE 's/^\t(.* => )?(\/[^ ]+) \(0x.*/\2/p' | sort -u |
    while read -r library; do
      install -D -m 755 "$(realpath "$library")" "$1$(realpath "$(dirname "$library")")/$(basename "$library")"
    done
}

tree_postgres() {
  user "$1" postgres /var/lib/postgresql
  take "$1" /usr/lib/postgresql/15/bin /usr/lib/postgresql/15/lib /usr/share/postgresql/15 /usr/share/zoneinfo /usr/lib/locale/C.utf8
  rm -rf "$1"/usr/lib/postgresql/15/lib/{bitcode,llvmjit*,pgxs} "$1"/usr/share/postgresql/15/man
  install -d -o 999 -g 999 -m 1777 "$1/var/lib/postgresql/data" "$1/run/postgresql"
}

tree_redis() {
  user "$1" redis /data
  # On Debian the server is a link to one of its tools.
  take "$1" "$(type -P redis-server)" "$(readlink -f "$(type -P redis-server)")" "$(type -P redis-cli)"
  install -d -o 999 -g 999 "$1/data"
}

tree_rabbitmq() {
  user "$1" rabbitmq /var/lib/rabbitmq
  take "$1" /usr/lib/erlang /usr/lib/rabbitmq /usr/bin/erl /usr/bin/escript /usr/lib/locale/C.utf8
  install -d -o 999 -g 999 "$1/var/lib/rabbitmq"
}

# --- commands --------------------------------------------------------------------------------------------------

system() {
  local key context
  key=$(cat "$HACK/images/pause/Dockerfile" "$HACK/images.sh" | short_hash)
  if ! built "$PAUSE" "$key"; then
    say "building the image $PAUSE"
    "$HACK/packages.sh" images
    temporary
    context=$TMP/pause
    mkdir -p "$context/rootfs/usr/bin"
    cp "$HACK/images/pause/Dockerfile" "$context/"
    install -m 755 "$(PATH=$PATH:/bin type -P busybox)" "$context/rootfs/usr/bin/busybox"
    build "$PAUSE" "$key" "$context"
  fi
  of_binary "$COREDNS" "$COREDNS_VERSION" "$BIN/coredns" coredns
}

ingress() { of_binary "$TRAEFIK" "$TRAEFIK_VERSION" "$TRAEFIK_BIN/traefik" traefik; }

# of_binary REFERENCE KEY BINARY NAME: an image of somebody else's static binary
of_binary() {
  ! built "$1" "$2" || return 0
  say "building the image $1"
  "$HACK/packages.sh" images
  temporary
  service_context "$3" "$4"
  build "$1" "$2" "$TMP/$4" --file "$ROOT/Dockerfile" --build-arg "BINARY=$4"
}

# service_context BINARY NAME: what the ordinary Dockerfile expects
service_context() {
  mkdir -p "$TMP/$2"
  install -m 755 "$1" "$TMP/$2/$2"
  local bundle
  for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    [[ ! -e $bundle ]] || { cp -L "$bundle" "$TMP/$2/ca-certificates.crt" && return; }
  done
  die "this machine has no CA certificates" "install its package ca-certificates"
}

data_key() {
  {
    cat "$HACK/images.sh" "$HACK/images/$1"/*
    dpkg-query -W -f '${Package} ${Version}\n' "$1*" busybox-static libc6 'erlang-base' 2>/dev/null | sort
  } | short_hash
}

data() {
  local reference name key
  for reference in "${DATA[@]}"; do
    name=$(basename "${reference%%:*}")
    key=$(data_key "$name")
    ! built "$reference" "$key" || continue
    say "building the image $reference from Debian's packages (about 10 seconds)"
    "$HACK/packages.sh" images
    key=$(data_key "$name")
    temporary
    cp -r "$HACK/images/$name" "$TMP/$name"
    skeleton "$TMP/$name/rootfs"
    "tree_$name" "$TMP/$name/rootfs"
    libraries "$TMP/$name/rootfs"
    build "$reference" "$key" "$TMP/$name"
  done
}

binaries() {
  have cargo || die "cargo is not installed" "install Rust (https://rustup.rs) and run this again"
  say "building the binaries (6 to 8 minutes the first time, seconds when little changed)"
  (cd "$ROOT" && CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target} \
    cargo build --quiet --workspace --bins --profile "${PROFILE:-dev}") ||
    die "the build failed" "read the compiler's message above"
}

# Each image carries the hash of its own binary, so that an unchanged one is not built again; all seven also carry
# one common tag made from all hashes, so that a changed binary is really rolled out.
platform() {
  if [[ -z ${BIN_DIR:-} ]]; then
    binaries
    BIN_DIR=$("$HACK/bin-dir.sh")
  fi
  local name hash hashes=() tag with
  with=$(provider)
  temporary
  for name in "${BINARIES[@]}"; do
    [[ -x $BIN_DIR/$name ]] || die "there is no binary $BIN_DIR/$name" "cargo build --workspace --bins"
    strip -o "$TMP/$name.stripped" "$BIN_DIR/$name"
    hash=$(cat "$TMP/$name.stripped" "$ROOT/Dockerfile" | short_hash)
    hashes+=("$hash")
    if [[ $with == kind ]]; then
      docker image inspect "localhost/autogpt/$name:$hash" >/dev/null 2>&1 && continue
    elif built "$name" "$hash"; then
      continue
    fi
    say "building the image localhost/autogpt/$name:$hash"
    service_context "$TMP/$name.stripped" "$name"
    if [[ $with == kind ]]; then
      docker build --quiet --file "$ROOT/Dockerfile" --build-arg "BINARY=$name" --tag "localhost/autogpt/$name:$hash" "$TMP/$name" >/dev/null ||
        die "docker cannot build the image of $name" "read the lines above"
    else
      build "localhost/autogpt/$name:$hash" "$hash" "$TMP/$name" --file "$ROOT/Dockerfile" --build-arg "BINARY=$name"
    fi
    rm -rf "${TMP:?}/$name" "$TMP/$name.stripped"
  done
  tag=dev-$(printf '%s\n' "${hashes[@]}" | short_hash)
  mkdir -p "$STATE"
  paste -d ' ' <(printf '%s\n' "${BINARIES[@]}") <(printf '%s\n' "${hashes[@]}") >"$STATE/image-hashes"
  printf '%s\n' "$tag" >"$STATE/image-tag"
}

ctr_() { ctr -a "$SOCKET" -n k8s.io "$@" 2>>"$STATE/log/ctr.log"; }

# import REFERENCE KEY: pinned, because an image that is collected cannot be pulled again
import() {
  [[ -z $(ctr_ images ls -q "name==$1,labels.\"autogpt.dev/key\"==$2") ]] || return 0
  ctr_ images import --snapshotter overlayfs "$(archive "$1" "$2")" >/dev/null ||
    die "importing $1 failed" "read $STATE/log/ctr.log"
  ctr_ images label "$1" io.cri-containerd.pinned=pinned "autogpt.dev/key=$2" >/dev/null
}

load_system() {
  import "$PAUSE" "$(cat "$HACK/images/pause/Dockerfile" "$HACK/images.sh" | short_hash)"
  import "$COREDNS" "$COREDNS_VERSION"
}

load() {
  local name hash tag reference
  tag=$(cat "$STATE/image-tag" 2>/dev/null) || tag=
  if [[ $(provider) == kind ]]; then
    [[ -n $tag ]] || return 0
    local references=()
    while read -r name hash; do
      docker tag "localhost/autogpt/$name:$hash" "localhost/autogpt/$name:$tag"
      references+=("localhost/autogpt/$name:$tag")
    done <"$STATE/image-hashes"
    kind load docker-image --name "$NAME" "${references[@]}" || die "kind cannot load the images" "read the lines above"
    return
  fi
  for reference in "${DATA[@]}"; do
    import "$reference" "$(data_key "$(basename "${reference%%:*}")")"
  done
  ! behind_ingress || import "$TRAEFIK" "$TRAEFIK_VERSION"
  [[ -n $tag ]] || return 0
  while read -r name hash; do
    [[ -z $(ctr_ images ls -q "name==localhost/autogpt/$name:$tag") ]] || continue
    import "localhost/autogpt/$name:$hash" "$hash"
    ctr_ images tag --force "localhost/autogpt/$name:$hash" "localhost/autogpt/$name:$tag" >/dev/null
    ctr_ images label "localhost/autogpt/$name:$tag" io.cri-containerd.pinned=pinned >/dev/null
  done <"$STATE/image-hashes"
}

case ${1:-} in
  system) system ;;
  data) data ;;
  ingress) ingress ;;
  binaries) binaries ;;
  platform) platform ;;
  load-system) load_system ;;
  load) load ;;
  *) die "unknown argument '${1:-}'" "use: images.sh system|data|ingress|binaries|platform|load-system|load" ;;
esac
