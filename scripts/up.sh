#!/usr/bin/env bash
# Builds MUTT and runs it on this machine. Usage: scripts/up.sh [PROFILE [mutt-up-option...]]
#
# The default profile is `dev`: a cold build takes about four minutes on two cores where `release` takes over six,
# `make test` uses the same objects, and a stack that shows what MUTT does carries thousands of events per second
# all the same. Measure speed with PROFILE=release only.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-dev}
shift || true

scripts/install-deps.sh up
for option in "$@"; do
  if [ "$option" = --vault ]; then scripts/install-deps.sh vault; fi
done

folder=$profile
if [ "$profile" = dev ]; then folder=debug; fi
target=${CARGO_TARGET_DIR:-target}

echo "==> Building MUTT (profile $profile; the first time takes some minutes)"
# No query is checked against a server here: .sqlx holds what the build needs.
SQLX_OFFLINE=true cargo build --profile "$profile" --workspace --bins
exec "$target/$folder/mutt" up "$@"
