# shellcheck shell=bash
# The local cluster's certificates, configuration files and own manifests. Sourced by cluster.sh.

PKI=$STATE/pki

# authority NAME
authority() {
  openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/$1.key"
  openssl req -x509 -new -key "$PKI/$1.key" -subj "/CN=$NAME-$1" -days 3650 -out "$PKI/$1.crt" \
    -addext keyUsage=critical,keyCertSign,cRLSign
}

# certificate NAME SUBJECT [SUBJECT_ALT_NAMES] [AUTHORITY]
certificate() {
  local extensions="keyUsage=digitalSignature
extendedKeyUsage=clientAuth,serverAuth"
  [[ -z ${3:-} ]] || extensions+="
subjectAltName=$3"
  openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/$1.key"
  openssl req -new -key "$PKI/$1.key" -subj "$2" |
    openssl x509 -req -CA "$PKI/${4:-ca}.crt" -CAkey "$PKI/${4:-ca}.key" -days 3650 -out "$PKI/$1.crt" \
      -set_serial "0x$(openssl rand -hex 8)" -extfile <(printf '%s\n' "$extensions") 2>/dev/null
}

certificates() {
  mkdir -p "$PKI"
  chmod 700 "$PKI"
  authority ca
  authority front-proxy-ca
  openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null
  openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
  certificate apiserver /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$SERVICES.0.1,IP:$NODE_IP"
  certificate apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client
  certificate front-proxy /CN=front-proxy-client "" front-proxy-ca
  certificate admin /O=system:masters/CN=admin
  certificate controller-manager /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  certificate kube-proxy /CN=system:kube-proxy
  certificate kubelet "/O=system:nodes/CN=system:node:$NAME"
  certificate kubelet-server "/O=system:nodes/CN=system:node:$NAME" "DNS:$NAME,IP:$NODE_IP,IP:127.0.0.1"
}

# conf FILE CERTIFICATE
conf() {
  (
    umask 077
    cat >"$1" <<YAML
apiVersion: v1
kind: Config
clusters:
  - name: $NAME
    cluster: {server: "https://$NODE_IP:6443", certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")}
users:
  - name: $2
    user: {client-certificate-data: $(base64 -w0 "$PKI/$2.crt"), client-key-data: $(base64 -w0 "$PKI/$2.key")}
contexts:
  - name: $NAME
    context: {cluster: $NAME, user: $2}
current-context: $NAME
YAML
  )
}

kubeconfigs() {
  local who
  for who in controller-manager scheduler kubelet kube-proxy; do conf "$STATE/$who.conf" "$who"; done
  conf "$STATE/kubeconfig" admin
}

configs() {
  # overlayfs cannot lie on another overlayfs
  local snapshotter=overlayfs
  [[ $(stat -f -c %T "$STATE") != overlayfs ]] || snapshotter=native

  # restrict_oom_score_adj: without it no container starts where CAP_SYS_RESOURCE is missing
  cat >"$RUN/containerd.toml" <<TOML
version = 2
root = "$STATE/containerd"
state = "$RUN/containerd/state"
disabled_plugins = ["io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "$SOCKET"
[plugins."io.containerd.internal.v1.opt"]
  path = "$STATE/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/autogpt/pause:1"
  disable_tcp_service = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$snapshotter"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "$RUN/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/cni/net.d"
TOML

  mkdir -p "$STATE/cni/net.d"
  cat >"$STATE/cni/net.d/10-pods.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "$NAME-pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$STATE/cni/ipam",
            "ranges": [[{"subnet": "$PODS.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON

  # The machine's own resolver is not reachable from the cluster's network namespace.
  printf 'nameserver %s\n' "$HOST_IP" >"$STATE/resolv.conf"
  cat >"$STATE/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$NAME
enforceNodeAllocatable: [pods]
containerRuntimeEndpoint: unix://$SOCKET
address: 0.0.0.0
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $PKI/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet-server.crt
tlsPrivateKeyFile: $PKI/kubelet-server.key
clusterDNS: [$SERVICES.0.10]
clusterDomain: cluster.local
resolvConf: $STATE/resolv.conf
failSwapOn: false
oomScoreAdj: 0
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%, imagefs.inodesFree: 1%}
# No registry: an image that is collected cannot be had again.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
imageMinimumGCAge: 8760h
imagePullCredentialsVerificationPolicy: NeverVerify
serializeImagePulls: false
podLogsDir: $STATE/podlogs
volumePluginDir: $STATE/volume-plugins
healthzBindAddress: 127.0.0.1
nodeStatusUpdateFrequency: 5s
maxPods: 110
YAML

  # Without br_netfilter an answer between two pods of one bridge never meets the address translation again.
  local masquerade=false
  [[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]] || masquerade=true
  # nf_conntrack_max is not writable outside the first network namespace: leave all of conntrack alone
  cat >"$STATE/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ${PROXY_MODE:-nftables}
clientConnection: {kubeconfig: $STATE/kube-proxy.conf}
hostnameOverride: $NAME
clusterCIDR: $PODS.0.0/16
bindAddress: 0.0.0.0
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
nodePortAddresses: [$NET.0/24]
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s, udpTimeout: 0s, udpStreamTimeout: 0s}
linux: {oomScoreAdj: 0}
nftables: {minSyncPeriod: 100ms, syncPeriod: 30s, masqueradeAll: $masquerade}
iptables: {masqueradeAll: $masquerade}
YAML
}

manifests() {
  sed -e "s|@NODE@|$NAME|g" -e "s|@SERVICES@|$SERVICES|g" -e "s|@HOST_IP@|$HOST_IP|g" \
    -e "s|@COREDNS_VERSION@|$COREDNS_VERSION|g" "$HACK/cluster/coredns.yaml" "$HACK/cluster/storage.yaml"
  local number
  for number in $(seq 1 "$VOLUMES"); do
    mkdir -p "$STATE/volumes/local-$number"
    sed -e "s|@NODE@|$NAME|g" -e "s|@VOLUME@|local-$number|g" -e "s|@PATH@|$STATE/volumes/local-$number|g" \
      "$HACK/cluster/volume.yaml"
  done
}

# Three a platform: room for four platforms, or for one whose predecessor's volumes were kept.
VOLUMES=12
