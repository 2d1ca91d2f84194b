#!/usr/bin/env bash
# The services killed, frozen, moved and cut off while shops send, and every record compared with an answer that shares
# no code with them. `cargo test --workspace` does the same in two smaller runs.
#
#   ./tests/chaos.sh [--kills N] [--orders N] [--seed S] [--brokers 1|3]
#
# It prints what it does, a table, and the anomalies; exit code 0 only without any.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/prepare.sh

usage() {
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 64
}

brokers=1
while [ $# -gt 0 ]; do
    case $# in 1) usage ;; esac
    case $1 in
        --kills) export CHAOS_KILLS=$2 ;;
        --orders) export CHAOS_ORDERS=$2 ;;
        --seed) export CHAOS_SEED=$2 ;;
        --brokers) brokers=$2 ;;
        *) usage ;;
    esac
    shift 2
done
export CHAOS_BROKERS=$brokers

case $brokers in
    1) run=every_service_is_killed_again_and_again ;;
    3) run=one_of_three_brokers_is_killed_and_brought_back ;;
    *) usage ;;
esac

prepare tests
cargo test -p tillstream --test chaos --locked "$run"
