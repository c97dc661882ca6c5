#!/usr/bin/env bash
# Writes .sqlx, the query data that builds use instead of a database. Usage: scripts/sqlx-prepare.sh [--check]
#
# Starts a throw-away PostgreSQL that only this script can reach (a socket in a temporary folder, no port), loads the
# migrations into it and lets the compiler ask it about every query. With --check nothing is written: the script
# fails, and shows the difference, when .sqlx is not what the migrations and queries make it.
set -euo pipefail
cd "$(dirname "$0")/.."

check=false
case "${1:-}" in
  "") ;;
  --check) check=true ;;
  *)
    echo "usage: scripts/sqlx-prepare.sh [--check]" >&2
    exit 64
    ;;
esac

# Debian keeps the server's programs of each version apart; the newest will do.
bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
if [ ! -x "$bin/initdb" ]; then
  if ! command -v initdb >/dev/null; then
    echo "scripts/sqlx-prepare.sh: PostgreSQL is missing; on Debian or Ubuntu: apt-get install postgresql" >&2
    exit 69
  fi
  bin=$(dirname "$(command -v initdb)")
fi

# PostgreSQL refuses root: as root, its programs run as Debian's postgres user. /tmp, not $TMPDIR: a socket's path
# may have 107 characters, and the postgres user must reach it.
work=$(mktemp -d /tmp/mutt-sqlx.XXXXXX)
as_server=()
if [ "$(id -u)" -eq 0 ]; then
  chown postgres "$work"
  as_server=(runuser -u postgres --)
fi
cleanup() {
  (cd / && "${as_server[@]}" "$bin/pg_ctl" -D "$work/data" -m immediate stop >/dev/null 2>&1) || true
  rm -rf "$work"
}
trap cleanup EXIT

(
  cd /
  "${as_server[@]}" "$bin/initdb" -D "$work/data" -U mutt -A trust -E UTF8 --locale=C --no-sync >"$work/initdb.log"
  "${as_server[@]}" "$bin/pg_ctl" -D "$work/data" -l "$work/log" -w -t 60 start >/dev/null \
    -o "-c listen_addresses='' -c unix_socket_directories='$work' -c fsync=off -c full_page_writes=off"
) || {
  cat "$work/initdb.log" "$work/log" >&2 || true
  echo "scripts/sqlx-prepare.sh: PostgreSQL did not start" >&2
  exit 69
}

for migration in crates/core/migrations/*.sql; do
  "$bin/psql" -h "$work" -U mutt -d postgres -q -v ON_ERROR_STOP=1 -1 -f "$migration"
done

# The macros run only when the crate is compiled, and they write where SQLX_OFFLINE_DIR says.
mkdir "$work/queries"
touch crates/core/src/db.rs
SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$work/queries" \
  DATABASE_URL="postgres://mutt@localhost/postgres?host=$work" cargo check --quiet --package mutt-core

if [ -z "$(ls "$work/queries")" ]; then
  echo "scripts/sqlx-prepare.sh: the compiler wrote no query data" >&2
  exit 1
fi
if [ "$check" = true ]; then
  if ! diff -r .sqlx "$work/queries"; then
    echo "scripts/sqlx-prepare.sh: .sqlx is out of date; run \`make sqlx\` and commit the result" >&2
    exit 1
  fi
else
  rm -rf .sqlx
  mkdir .sqlx
  cp "$work"/queries/*.json .sqlx/
  echo ".sqlx: $(find .sqlx -name '*.json' | wc -l) queries"
fi
