#!/usr/bin/env bash
# Brings REST, WebSocket and, where there is one, the ingress to localhost: forward.sh start|stop
# One supervisor keeps the connections and opens them again when they end, as on a roll-out.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PID_FILE=$STATE/forward.pid

running() {
  local pid
  pid=$(cat "$PID_FILE" 2>/dev/null) && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "forward.sh run $STATE/"
}

# A session of its own: ending its process group ends the supervisor and the connections.
stop() {
  running || return 0
  local pid
  pid=$(<"$PID_FILE")
  kill -TERM -- "-$pid" 2>/dev/null || true
  ended() { ! kill -0 -- "-$pid" 2>/dev/null || grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; }
  retry 5 ended || kill -KILL -- "-$pid" 2>/dev/null || true
  rm -f "$PID_FILE"
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start() {
  stop
  local port ports=("$REST_PORT" "$WS_PORT")
  ! ingress_is_forwarded || ports+=("$INGRESS_PORT")
  for port in "${ports[@]}"; do
    ! listening "$port" || die "port $port of this machine is taken" "end what listens there (make app?), then: hack/forward.sh start"
  done
  setsid "$HACK/forward.sh" run "$STATE/" >"$STATE/forward.log" 2>&1 </dev/null &
  printf '%s\n' "$!" >"$PID_FILE"
  for port in "${ports[@]}"; do
    retry 30 listening "$port" || {
      tail -n 5 "$STATE/forward.log" >&2
      die "port $port does not answer" "look at $STATE/forward.log and at: kubectl -n $NAMESPACE get pods"
    }
  done
}

# keep NAMESPACE SERVICE PORTS
keep() {
  local delay=1 began
  while true; do
    began=$SECONDS
    kubectl -n "$1" port-forward "svc/$2" "$3" || true
    ((SECONDS - began < 10)) || delay=1
    sleep "$delay"
    delay=$((delay < 8 ? delay * 2 : 8))
  done
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  run)
    keep "$NAMESPACE" autogpt-rest "$REST_PORT:8006" &
    keep "$NAMESPACE" autogpt-websocket "$WS_PORT:8001" &
    ! ingress_is_forwarded || keep traefik traefik "$INGRESS_PORT:80" &
    wait
    ;;
  *) die "unknown argument '${1:-}'" "use: forward.sh start|stop" ;;
esac
