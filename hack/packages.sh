#!/usr/bin/env bash
# Installs the Debian packages that are missing, by group: packages.sh services|cluster|images|lint|python ...
# No daemon is started: the project runs its own, as plain processes, on its own ports.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# group, what proves that it is there (a command or a path), package
wanted() {
  cat <<'TABLE'
services etcd etcd-server
services etcdctl etcd-client
services redis-server redis-server
services redis-cli redis-tools
services /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server
services /usr/lib/postgresql/15/bin/initdb postgresql-15
services runuser util-linux
services python3 python3
services curl curl
services openssl openssl
services ps procps
cluster containerd containerd
cluster ctr containerd
cluster runc runc
cluster /usr/lib/cni/bridge containernetworking-plugins
cluster /usr/lib/cni/portmap containernetworking-plugins
cluster iptables iptables
cluster nft nftables
cluster ip iproute2
cluster conntrack conntrack
cluster nsenter util-linux
cluster openssl openssl
cluster curl curl
cluster ps procps
cluster python3 python3
images buildah buildah
images busybox busybox-static
images strip binutils
images /etc/ssl/certs/ca-certificates.crt ca-certificates
images redis-server redis-server
images redis-cli redis-tools
images /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server
images /usr/lib/postgresql/15/bin/initdb postgresql-15
images python3 python3
lint shellcheck shellcheck
python python3 python3
python /usr/lib/python3.11/ensurepip python3-venv
TABLE
}

missing=()
for group in "$@"; do
  [[ $group =~ ^(services|cluster|images|lint|python)$ ]] || die "unknown group '$group'" "use: packages.sh services|cluster|images|lint|python ..."
  while read -r in proof package; do
    [[ $in == "$group" ]] || continue
    PATH=$PATH:/usr/sbin:/sbin have "$proof" || [[ -e $proof ]] || missing+=("$package")
  done < <(wanted)
done
((${#missing[@]} > 0)) || exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)

have apt-get || die "these are missing and this is not Debian or Ubuntu: ${missing[*]}" \
  "install them with your package manager, or start a Docker engine, which needs none of them"
((EUID == 0)) || die "these packages are missing and only root may install them: ${missing[*]}" \
  "sudo apt-get install -y --no-install-recommends ${missing[*]}"

say "installing Debian packages: ${missing[*]} (up to a minute)"
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
{
  apt-get -o DPkg::Lock::Timeout=300 update -qq &&
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}"
} >"$log" 2>&1 || {
  tail -n 20 "$log" >&2
  die "apt-get could not install them" "read the lines above (all of them: $log); check the network and /etc/apt/sources.list"
}
rm -f "$log"
