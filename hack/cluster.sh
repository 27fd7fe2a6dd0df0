#!/usr/bin/env bash
# A real Kubernetes of one node without Docker: cluster.sh up|down|status
# Everything runs in one network namespace, so that two instances and the machine's own services never meet.
# `down` leaves nothing behind; `up` after a crash starts afresh.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=cluster-config.sh
source "$HACK/cluster-config.sh"

COMPONENTS=(containerd etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy volumes)
# kubelet changes these for the whole machine.
SYSCTLS=(vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes)
# kubelet, containerd and iproute2 make these wherever they run.
FOOTPRINT=(/var/log/containers /var/lib/kubelet /var/lib/cni /run/containerd /run/netns /etc/cni /opt/containerd)

# --- processes -------------------------------------------------------------------------------------------------

# pid_of COMPONENT: prints it when the process still is the one that was started (pids are re-used)
pid_of() {
  local pid
  pid=$(cat "$RUN/pids/$1" 2>/dev/null) && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -e "$STATE/" -e "$RUN/" &&
    printf '%s\n' "$pid"
}

# start COMPONENT COMMAND...: nsenter instead of `ip netns exec`, which would hide the cgroups
start() {
  local component=$1
  shift
  setsid nsenter --net="/run/netns/$NAME" "$@" >>"$STATE/log/$component.log" 2>&1 </dev/null 9>&- &
  printf '%s\n' "$!" >"$RUN/pids/$component"
}

gone() { [[ ! -e /proc/$1 ]] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }

kill_wait() {
  (($# > 0)) || return 0
  kill -KILL "$@" 2>/dev/null || true
  local pid
  for pid in "$@"; do retry 10 gone "$pid" || say "process $pid does not end"; done
}

stop() {
  local pid
  pid=$(pid_of "$1") || return 0
  kill -KILL -- "-$pid" 2>/dev/null || true
  kill_wait "$pid"
}

explain() {
  printf -- '--- the last lines of %s\n' "$STATE/log/$1.log" >&2
  tail -n 15 "$STATE/log/$1.log" >&2 || true
  die "$2" "read $STATE/log/$1.log; then: hack/cluster.sh down, and once more"
}

# --- machine-wide things: saved by the first instance, restored by the last --------------------------------------

hierarchies() { findmnt -rno TARGET -t cgroup,cgroup2; }

save_machine() {
  mkdir -p "$RUNS"
  [[ ! -e $RUNS/footprint ]] || return 0
  local name
  for name in "${SYSCTLS[@]}"; do printf '%s %s\n' "$name" "$(cat "/proc/sys/$name")"; done >"$RUNS/sysctls"
  for name in "${FOOTPRINT[@]}"; do [[ -e $name ]] || printf '%s\n' "$name"; done >"$RUNS/footprint"
}

restore_machine() {
  [[ -e $RUNS/footprint ]] || return 0
  local name value
  for name in "$RUNS"/*/; do [[ ! -d $name ]] || return 0; done
  while read -r name value; do
    [[ $(cat "/proc/sys/$name") == "$value" ]] || printf '%s\n' "$value" >"/proc/sys/$name"
  done <"$RUNS/sysctls"
  while read -r name; do
    [[ -d $name ]] || continue
    find "$name" -type s -delete
    find "$name" -mindepth 1 -depth -type d -empty -delete
    ! mountpoint -q "$name" || [[ -n $(ls -A "$name") ]] || umount "$name"
    rmdir "$name" 2>/dev/null || true
  done <"$RUNS/footprint"
  rm -rf "$RUNS"
}

# --- up --------------------------------------------------------------------------------------------------------

network() {
  ip netns add "$NAME"
  ip link add "ag-$INSTANCE" type veth peer name eth0 netns "$NAME"
  ip addr add "$HOST_IP/24" dev "ag-$INSTANCE"
  ip link set "ag-$INSTANCE" up
  ip -n "$NAME" addr add "$NODE_IP/24" dev eth0
  ip -n "$NAME" link set eth0 up
  ip -n "$NAME" link set lo up
  ip -n "$NAME" route add default via "$HOST_IP"
  nsenter --net="/run/netns/$NAME" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
  ip route add "$PODS.0.0/16" via "$NODE_IP"
  ip route add "$SERVICES.0.0/16" via "$NODE_IP"
}

check_addresses() {
  local range
  for range in "$NET.0/24" "$PODS.0.0/16" "$SERVICES.0.0/16"; do
    [[ -z $(ip -o route show "$range") ]] ||
      die "the addresses $range are already in use on this machine" "see 'ip route'; stop what uses them, or change NET, PODS and SERVICES in hack/lib.sh"
  done
}

# cgroup v1's cpuset is unusable until filled, v2 hands a controller down only when told
cgroups() {
  local at
  for at in $(hierarchies); do
    mkdir -p "$at/$NAME"
    if [[ -e $at/cpuset.cpus && ! -e $at/cgroup.controllers ]]; then
      cat "$at/cpuset.cpus" >"$at/$NAME/cpuset.cpus"
      cat "$at/cpuset.mems" >"$at/$NAME/cpuset.mems"
    elif [[ -e $at/cgroup.subtree_control ]]; then
      local controllers controller
      read -ra controllers <"$at/cgroup.controllers"
      for controller in "${controllers[@]}"; do
        printf '+%s' "$controller" >"$at/cgroup.subtree_control" 2>/dev/null || true
        printf '+%s' "$controller" >"$at/$NAME/cgroup.subtree_control" 2>/dev/null || true
      done
    fi
  done
}

ctr_() { ctr -a "$SOCKET" -n k8s.io "$@" 2>>"$STATE/log/ctr.log"; }

api_ready() {
  curl -fsS --max-time 2 --cacert "$PKI/ca.crt" --cert "$PKI/admin.crt" --key "$PKI/admin.key" "https://$NODE_IP:6443/readyz"
}

start_control_plane() {
  start etcd etcd --name "$NAME" --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster "$NAME=http://127.0.0.1:2380"
  start kube-apiserver "$BIN/kube-apiserver" \
    --etcd-servers=http://127.0.0.1:2379 \
    --bind-address=0.0.0.0 --secure-port=6443 --advertise-address="$NODE_IP" \
    --service-cluster-ip-range="$SERVICES.0.0/16" \
    --client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true --profiling=false \
    --kubelet-client-certificate="$PKI/apiserver-kubelet.crt" --kubelet-client-key="$PKI/apiserver-kubelet.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --proxy-client-cert-file="$PKI/front-proxy.crt" --proxy-client-key-file="$PKI/front-proxy.key" \
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
    --requestheader-username-headers=X-Remote-User
}

# At the default 20 requests a second the controller-manager needs 5 s to its first ServiceAccount.
start_controllers() {
  local conf=$STATE/controller-manager.conf
  start kube-controller-manager "$BIN/kube-controller-manager" \
    --kubeconfig="$conf" --authentication-kubeconfig="$conf" --authorization-kubeconfig="$conf" \
    --bind-address=127.0.0.1 --leader-elect=false --use-service-account-credentials=true \
    --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" \
    --allocate-node-cidrs=true --cluster-cidr="$PODS.0.0/16" --node-cidr-mask-size=24 \
    --service-cluster-ip-range="$SERVICES.0.0/16" --kube-api-qps=200 --kube-api-burst=400 \
    --flex-volume-plugin-dir="$STATE/volume-plugins"
  conf=$STATE/scheduler.conf
  start kube-scheduler "$BIN/kube-scheduler" \
    --kubeconfig="$conf" --authentication-kubeconfig="$conf" --authorization-kubeconfig="$conf" \
    --bind-address=127.0.0.1 --leader-elect=false
}

start_node() {
  start kubelet "$BIN/kubelet" --config="$STATE/kubelet.yaml" --kubeconfig="$STATE/kubelet.conf" \
    --hostname-override="$NAME" --node-ip="$NODE_IP" --root-dir="$STATE/kubelet" --cert-dir="$STATE/kubelet-pki"
  start kube-proxy "$BIN/kube-proxy" --config="$STATE/kube-proxy.yaml"
}

node_ready() {
  [[ $(kubectl get node "$NAME" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null) == True ]]
}

dns_ready() {
  [[ $(kubectl -n kube-system get deployment coredns -o jsonpath='{.status.readyReplicas}' 2>/dev/null) -ge 1 ]]
}

healthy() {
  local component
  for component in "${COMPONENTS[@]}"; do pid_of "$component" >/dev/null || return 1; done
  api_ready >/dev/null 2>&1 && node_ready
}

# A cluster of another clone is left alone while any of it runs; what a killed one left is taken over.
check_owner() {
  local owner component pid
  owner=$(cat "$RUN/owner" 2>/dev/null) || return 0
  [[ $owner != "$STATE" ]] || return 0
  for component in "${COMPONENTS[@]}"; do
    pid=$(cat "$RUN/pids/$component" 2>/dev/null) || continue
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -e "$owner/" -e "$RUN/"; then
      die "the cluster '$NAME' belongs to another clone: $(dirname "$owner")" "run 'make down' there first"
    fi
  done
  unmount_below "$owner"
}

up() {
  ((EUID == 0)) || die "the local cluster needs root (network namespaces, mounts and cgroups)" \
    "run it as root (sudo -E make up), or start a Docker engine: kind is then used and needs no root"
  check_owner
  if healthy; then
    say "the cluster '$NAME' is running (Kubernetes v$KUBERNETES_VERSION, https://$NODE_IP:6443)"
    return
  fi
  if [[ -e $RUN || -e $STATE/pki ]]; then
    say "clearing what an earlier run left"
    clear_all
  fi
  "$HACK/packages.sh" cluster services
  "$HACK/tools.sh" cluster
  "$HACK/images.sh" system
  check_addresses

  local began=$SECONDS
  say "starting Kubernetes v$KUBERNETES_VERSION as '$NAME' (10 to 30 seconds)"
  save_machine
  mkdir -p "$RUN/pids" "$STATE/log"
  printf '%s\n' "$STATE" >"$RUN/owner"
  network
  cgroups
  certificates
  kubeconfigs
  configs

  start containerd env PATH=/usr/sbin:/usr/bin:/sbin:/bin containerd --config "$RUN/containerd.toml"
  start_control_plane
  retry 20 ctr_ version || explain containerd "containerd does not answer"
  "$HACK/images.sh" load-system
  retry 90 api_ready || explain kube-apiserver "the API server does not get ready"
  start_controllers
  start_node
  start volumes "$HACK/volumes.sh" "$STATE/kubeconfig" "$STATE/volumes"
  manifests | retry_apply
  retry 90 node_ready || explain kubelet "the node does not get ready"
  retry 90 dns_ready || explain kubelet "CoreDNS does not get ready"
  say "the cluster is up after $((SECONDS - began)) s; KUBECONFIG=$KUBECONFIG"
}

# The first applies may meet an API server that has not made its own namespaces yet.
retry_apply() {
  local all
  all=$(cat)
  apply() { kubectl apply --server-side -f - <<<"$all"; }
  retry 30 apply || kubectl apply --server-side -f - <<<"$all" >/dev/null ||
    die "the cluster's own manifests are refused" "read the line above"
}

# --- down ------------------------------------------------------------------------------------------------------

kill_pods() {
  local at pids=()
  mapfile -t pids < <(for at in $(hierarchies); do
    [[ ! -d $at/$NAME ]] || find "$at/$NAME" -name cgroup.procs -exec cat {} + 2>/dev/null
  done | sort -u)
  kill_wait "${pids[@]}"
  # A sandbox's shim outlives its tasks.
  mapfile -t pids < <(pgrep -f -- "^/.*containerd-shim-runc-v2 .*-address $SOCKET( |\$)" || true)
  kill_wait "${pids[@]}"
}

unmount_below() {
  local at
  findmnt -rno TARGET | grep -F -e "$1/" | sort -r | while read -r at; do
    umount -l "$(printf '%b' "$at")" || true
  done || true
}

clear_all() {
  local component at link sandbox
  for component in volumes kubelet kube-proxy kube-scheduler kube-controller-manager kube-apiserver etcd; do stop "$component"; done
  kill_pods
  stop containerd
  for at in "$RUN"/containerd/state/io.containerd.runtime.v2.task/k8s.io/*/address; do
    [[ ! -e $at ]] || rm -f "$(sed 's|^unix://||' "$at")"
  done
  unmount_below "$RUN"
  unmount_below "$STATE"
  if [[ -e /run/netns/$NAME ]]; then
    ip netns del "$NAME"
  fi
  # It goes with the namespace too, in its own time: perhaps between a look and the deletion.
  ip link del "ag-$INSTANCE" >/dev/null 2>&1 || ! ip link show "ag-$INSTANCE" >/dev/null 2>&1 ||
    die "the link ag-$INSTANCE cannot be deleted" "ip link del ag-$INSTANCE, then once more"
  for at in $(hierarchies); do
    [[ ! -d $at/$NAME ]] || find "$at/$NAME" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
  for link in /var/log/containers/*; do
    [[ $(readlink "$link") != "$STATE"/* ]] || rm -f "$link"
  done
  for at in /var/lib/cni/results/"$NAME"-pods-*-eth0; do
    sandbox=${at##*-pods-}
    rm -f "$at" "/var/lib/cni/results/cni-loopback-${sandbox%-eth0}-lo"
  done
  rm -rf --one-file-system "$RUN" "$STATE"
  restore_machine
}

down() {
  [[ -e $RUN || -e $STATE ]] || return 0
  ((EUID == 0)) || die "the local cluster was started by root" "run it as root (sudo -E make down)"
  check_owner
  say "stopping the cluster '$NAME' (a few seconds)"
  clear_all
}

status() {
  local component pid
  for component in "${COMPONENTS[@]}"; do
    if pid=$(pid_of "$component"); then printf '%-26s running, pid %s\n' "$component" "$pid"; else printf '%-26s not running\n' "$component"; fi
  done
  healthy && kubectl get nodes,pods -A
}

# Two callers must not start or stop the same instance at once.
lock() {
  mkdir -p "$CACHE"
  exec 9>"$CACHE/cluster-$INSTANCE.lock"
  flock --wait 1200 9 || die "another run holds the cluster '$NAME'" "wait for it, or end it"
}

case ${1:-} in
  up) lock && up ;;
  down) lock && down ;;
  status) status ;;
  *) die "unknown argument '${1:-}'" "use: cluster.sh up|down|status" ;;
esac
