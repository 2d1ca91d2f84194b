#!/usr/bin/env bash
# Everything that must be true before a change is taken, for people and for CI: the machine is prepared as by
# deploy/run.sh, then format, lints, checked-in files and all tests, with real Kafka.
#
#   ./tests/run.sh
#
# Two copies of it can run at once: each has a temporary folder of its own, and Kafka listens on free ports. Shared are
# caches alone (~/.cargo, ~/.m2, ~/.cache/tillstream). It goes on after a failure, and says at the end what failed.
# shellcheck disable=SC2317 # functions are called by name, by `step` and `trap`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/prepare.sh

TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/tillstream-tests.XXXXXX")
export TMPDIR
# Settings of an installation are none of the tests' business.
unset TILLSTREAM_CONFIG TILLSTREAM_DATA_DIR

began=$SECONDS
report=()
failed=0
job=''

# Ends the step that runs, its whole process group, and whatever carries our temporary folder in its environment.
clean_up() {
    local code=$?
    trap - EXIT INT TERM
    if [ -n "$job" ] && kill -TERM -- "-$job" 2>/dev/null; then
        for _ in $(seq 50); do
            kill -0 -- "-$job" 2>/dev/null || break
            sleep 0.2
        done
        kill -KILL -- "-$job" 2>/dev/null || true
    fi
    leftovers | while read -r pid; do kill -KILL "$pid" 2>/dev/null || true; done
    rm -rf "$TMPDIR"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Processes of this run that are still there. The environment is that of a program's start, so this script isn't among them.
leftovers() {
    local file pid
    for file in /proc/[0-9]*/environ; do
        if { tr '\0' '\n' <"$file" | grep -qxF "TMPDIR=$TMPDIR"; } 2>/dev/null; then
            pid=${file#/proc/}
            printf '%s\n' "${pid%/environ}"
        fi
    done
}

# step NAME COMMAND...: runs it in a process group of its own, so that all of it can be ended.
step() {
    local name=$1 started=$SECONDS code=0
    shift
    printf '\n── %s\n' "$name"
    set -m
    "$@" </dev/null &
    job=$!
    set +m
    wait "$job" || code=$?
    job=''
    if [ $code -eq 0 ]; then
        report+=("$(printf 'ok      %4d s  %s' $((SECONDS - started)) "$name")")
    else
        report+=("$(printf 'FAILED  %4d s  %s (exit code %d)' $((SECONDS - started)) "$name" $code)")
        failed=1
    fi
}

skip() {
    printf '\n── %s: skipped, %s\n' "$1" "$2"
    report+=("$(printf 'skipped         %s: %s' "$1" "$2")")
}

# A tool that is nice to have: installed if that can be done without asking.
wish() { # wish COMMAND PACKAGE
    have "$1" && return
    has_apt && can_be_root || return 0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --no-remove "$2" \
        >/dev/null 2>&1 || true
}

tools() {
    wish shellcheck shellcheck
    python3 -c 'import yaml' 2>/dev/null || wish no-such-command python3-yaml
}

shell_scripts() { git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck -x; }

# Files that are made from the code and checked in (OpenAPI, AsyncAPI, the taxonomy, the pages of configuration and metrics): each has
# a command with --check here, which fails and says how to make it anew.
generated() {
    "${CARGO_TARGET_DIR:-target}/debug/tillstream" openapi --check
    "${CARGO_TARGET_DIR:-target}/debug/tillstream" asyncapi --check
    "${CARGO_TARGET_DIR:-target}/debug/tillstream" taxonomy --check
}

# The binary that the build of the tests leaves: building it alone would unify features differently, and take minutes.
configuration() {
    "${CARGO_TARGET_DIR:-target}/debug/tillstream" config show --config deploy/compose/tillstream.toml >/dev/null
}

# The runners' lines are kept where `tillstream features` looks for them.
tests() {
    local code=0
    cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$TMPDIR/tests.log" || code=$?
    cp "$TMPDIR/tests.log" "${CARGO_TARGET_DIR:-target}/tests.log"
    return "$code"
}

# Which test shows which capability.
features() { "${CARGO_TARGET_DIR:-target}/debug/tillstream" features --log "$TMPDIR/tests.log"; }

# What the tests leave out by themselves, without a failure, where a program is missing: said here, so that a run which
# looked at nothing in a browser doesn't look like one that did.
left_out() {
    local major browser
    major=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\)\..*/\1/p')
    if [ "${major:-0}" -lt 20 ]; then
        skip "the dashboard's scripts, the dashboard in a browser" 'no Node 20 or later here (nodejs.org, or nodejs of a newer system)'
    else
        for browser in chromium chromium-browser google-chrome ''; do
            if [ -z "$browser" ] || "$browser" --version >/dev/null 2>&1; then break; fi
        done
        [ -n "$browser" ] || skip 'the dashboard in a browser' 'no Chromium here (apt-get install chromium)'
    fi
    if [ "${major:-0}" -lt 20 ] || ! have npm; then
        skip 'clients for Node of Customer.io and Shopify' 'no Node 20 or later with npm here'
    fi
    if [ -z "$(sh tests/clients/go.sh)" ]; then
        skip "the calls of Customer.io's client for Go, by Go" 'no Go 1.22 or later here'
    fi
    skip "Customer.io's own client for Go" 'its module could not be had; its calls are made without it'
}

no_process_left() {
    local left
    # What was told to end may take a moment.
    for _ in $(seq 50); do
        left=$(leftovers)
        [ -z "$left" ] && return 0
        sleep 0.2
    done
    # shellcheck disable=SC2086 # several numbers
    ps -o pid,args -p $left || true
    return 1
}

prepared=$SECONDS
prepare tests
tools
report+=("$(printf 'ok      %4d s  %s' $((SECONDS - prepared)) 'set-up')")

step 'format' cargo fmt --all --check
if have shellcheck && git rev-parse --git-dir >/dev/null 2>&1; then
    step 'shell scripts' shell_scripts
else
    skip 'shell scripts' 'no shellcheck, or no git, here'
fi
step 'docker-compose.yml' ./tests/deployment.sh compose
step 'metrics, alerts, dashboards' ./tests/deployment.sh metrics
step 'lints' cargo clippy --workspace --all-targets --locked -- -D warnings
step 'build of the tests' cargo test --workspace --locked --no-run
step 'generated files' generated
step 'configuration of docker-compose.yml' configuration
step 'tests' tests
left_out
step 'examples' ./tests/examples.sh
step 'capabilities' features
if [ -d /proc/self ] && have ps; then
    step 'no process left behind' no_process_left
fi

printf '\n── summary (%d s)\n' $((SECONDS - began))
printf '%s\n' "${report[@]}"
grep -hE '^test result: ' "$TMPDIR/tests.log" || true
exit $failed
