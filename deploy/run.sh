#!/usr/bin/env bash
# From a checkout to a running demo: installs what is missing, builds, and runs `tillstream up --demo` with whatever
# arguments are given. `./deploy/run.sh --once` ends after the demo, with exit code 0 only if every figure is right.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/prepare.sh
prepare

say 'building (the first time takes some minutes)'
cargo build --release --locked -p tillstream
exec "${CARGO_TARGET_DIR:-target}/release/tillstream" up --demo "$@"
