#!/bin/sh
# As in the official image: flags or a configuration file alone mean redis-server.
set -eu
case ${1:-} in
  '' | -* | *.conf) set -- redis-server "$@" ;;
esac
# The official image is compiled without protected mode, which refuses every client from outside the pod.
if [ "$1" = redis-server ]; then
  set -- "$@" --protected-mode no
fi
exec "$@"
