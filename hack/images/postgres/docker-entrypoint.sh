#!/bin/sh
# The official image's interface: POSTGRES_USER, POSTGRES_PASSWORD (or _FILE), POSTGRES_DB, POSTGRES_INITDB_ARGS,
# POSTGRES_HOST_AUTH_METHOD and PGDATA. The first start makes the database; a first start cut short is made again.
set -eu
case ${1:-} in
  '' | -*) set -- postgres "$@" ;;
esac
[ "$1" = postgres ] || exec "$@"

if [ -z "${POSTGRES_PASSWORD:-}" ] && [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
  POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
fi
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}

mkdir -p "$PGDATA"
# A volume's fsGroup opens the directory to the group, which PostgreSQL refuses.
chmod 700 "$PGDATA" || true

# PG_VERSION is moved to its place last, so that its presence means a finished database.
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
    echo "error: the database is not initialized and POSTGRES_PASSWORD is not set" >&2
    exit 1
  fi
  find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} +
  echo "initializing the database $database"
  new=$PGDATA/new
  password=$(mktemp)
  printf '%s\n' "${POSTGRES_PASSWORD:-unused}" >"$password"
  # shellcheck disable=SC2086 # several arguments
  initdb --pgdata="$new" --username="$user" --pwfile="$password" --encoding=UTF8 --auth=trust ${POSTGRES_INITDB_ARGS:-} >/dev/null
  rm -f "$password"
  if [ "$database" != postgres ]; then
    printf 'CREATE DATABASE "%s";\n' "$(printf '%s' "$database" | sed 's/"/""/g')" |
      postgres --single -D "$new" -j postgres >/dev/null
  fi
  printf '\nhost all all all %s\n' "$method" >>"$new/pg_hba.conf"
  printf "\nlisten_addresses = '*'\n" >>"$new/postgresql.conf"
  find "$new" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv {} "$PGDATA/" \;
  mv "$new/PG_VERSION" "$PGDATA/"
  rmdir "$new"
fi
exec "$@"
