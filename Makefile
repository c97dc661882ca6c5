# Two commands matter: `make up` runs MUTT on this machine, `make test` proves it. Targets are one line each: the
# work is in scripts/ and in the `mutt` command, so that people without make lose nothing.
#
#   make up ARGS="--vault"        further words for `mutt up`
#   make up PROFILE=release       for load: four to ten times faster, several minutes more to build
#   make test STAGES="fmt clippy" only these stages (scripts/test.sh lists them)
#   make test TESTS="-E 'test(ledger)'"  only these tests

PROFILE ?= dev
ARGS ?=
STAGES ?=
TESTS ?=
export TESTS

.PHONY: help up test lint fmt sqlx
.DEFAULT_GOAL := help

help: ## Lists what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

up: ## Installs what is missing, builds, and runs a whole private MUTT on this machine until Ctrl-C
	@scripts/up.sh $(PROFILE) $(ARGS)

test: ## Installs what is missing, then runs every check and test (what CI runs)
	@scripts/install-deps.sh test && scripts/test.sh $(STAGES)

lint: ## Only the checks that need no server: formatting, clippy, docs, dependencies
	@scripts/install-deps.sh lint && scripts/test.sh fmt clippy doc deny

fmt: ## Formats the Rust code
	@cargo fmt --all

sqlx: ## Writes .sqlx again after a query or a migration changed
	@scripts/install-deps.sh up && scripts/sqlx-prepare.sh
