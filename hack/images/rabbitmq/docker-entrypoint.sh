#!/bin/sh
# The official image's interface: RABBITMQ_DEFAULT_USER, RABBITMQ_DEFAULT_PASS and the server's own variables.
set -eu
# A volume's fsGroup opens the cookie to the group, which Erlang refuses.
cookie=$HOME/.erlang.cookie
[ ! -e "$cookie" ] || chmod 600 "$cookie"
exec "$@"
