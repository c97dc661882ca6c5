#!/usr/bin/env bash
# Runs every check and test, fastest first, one line with its time per stage. Usage: scripts/test.sh [STAGE...]
#
# Stages: fmt, deny, clippy, doc, sqlx, doctest, test. All of them when none is named. The first failing stage ends
# the run: what comes after costs minutes and would say the same thing again.
#
# Everything uses the dev profile and the default features, so that no crate is compiled twice with other flags.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly stages="fmt deny clippy doc sqlx doctest test"
export SQLX_OFFLINE=true                 # no build may ask a server: .sqlx holds what it needs, and stage sqlx checks it
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
if [ "${CI:-}" = true ]; then export CARGO_INCREMENTAL=0; fi   # a clean checkout gains nothing from it

stage_fmt() { cargo fmt --all -- --check; }

# Advisories are left out: their database is not a registry package and may be out of reach.
stage_deny() { cargo deny --log-level error check bans licenses sources; }

stage_clippy() { cargo clippy --workspace --all-targets --locked -- -D warnings; }

# Readers of these pages see private items too, so links to them hold.
stage_doc() { RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --locked --document-private-items; }

stage_sqlx() { scripts/sqlx-prepare.sh --check; }

stage_doctest() { cargo test --workspace --doc --locked; }

# TESTS narrows the run, in nextest's own words.
stage_test() {
  local -a narrow=()
  eval "narrow=(${TESTS:-})"
  if command -v cargo-nextest >/dev/null; then
    cargo nextest run --workspace --locked "${narrow[@]}"
  else
    cargo test --workspace --locked --bins --lib --tests "${narrow[@]}"
  fi
}

pretty() { printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); }

chosen=("$@")
if [ ${#chosen[@]} -eq 0 ]; then read -r -a chosen <<<"$stages"; fi

begin=$SECONDS
report=()
for stage in "${chosen[@]}"; do
  case " $stages " in
    *" $stage "*) ;;
    *)
      echo "scripts/test.sh: no stage \"$stage\"; there are: $stages" >&2
      exit 64
      ;;
  esac
  echo "==> $stage"
  started=$SECONDS
  # Not `if stage`: inside a condition, `set -e` would let a failing command of the stage pass.
  set +e
  (
    set -e
    "stage_$stage"
  )
  status=$?
  set -e
  took=$(pretty $((SECONDS - started)))
  if [ $status -ne 0 ]; then
    echo "==> FAILED: $stage after $took (exit $status)"
    exit 1
  fi
  report+=("$(printf '  %-8s %s' "$stage" "$took")")
done

echo "==> All ${#chosen[@]} stages passed in $(pretty $((SECONDS - begin)))"
printf '%s\n' "${report[@]}"
