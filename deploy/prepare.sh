#!/usr/bin/env bash
# What a build and a run need. Missing things are installed by apt when root or with passwordless sudo; otherwise each
# is named, with the command that brings it.
#
#   ./deploy/prepare.sh [tests]     checks and installs; `tests` adds what only the tests need
#   . deploy/prepare.sh; prepare    the same, and keeps the PATH on which Rust was found
set -euo pipefail

readonly NEEDED_RUST=1.90 # rust-version of Cargo.toml
readonly NEEDED_JAVA=17   # Kafka 4 and Apicurio 3

# A weak line is no reason to give up: cargo tries every download again.
export CARGO_NET_RETRY="${CARGO_NET_RETRY:-10}"

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }

have() { command -v "$1" >/dev/null 2>&1; }

# at_least 1.90 1.95.0: whether the second version is at least the first.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

rust_version() { rustc --version 2>/dev/null | cut -d ' ' -f 2; }

rust_is_new() {
    local version
    have cargo && version=$(rust_version) && [ -n "$version" ] && at_least "$NEEDED_RUST" "$version"
}

# The major version of a `java` launcher: "17.0.15" is 17, "1.8.0" is 8.
java_major() {
    local version
    version=$("$1" -version 2>&1 | sed -n 's/.* version "\([^"]*\)".*/\1/p' | head -n 1)
    version=${version#1.}
    printf '%s' "${version%%[!0-9]*}"
}

java_is_new() {
    local launcher major
    for launcher in "${JAVA_HOME:+$JAVA_HOME/bin/java}" java; do
        if [ -z "$launcher" ] || ! have "$launcher"; then continue; fi
        major=$(java_major "$launcher")
        [ -n "$major" ] && [ "$major" -ge "$NEEDED_JAVA" ] && return 0
    done
    return 1
}

has_apt() { have apt-get && have apt-cache; }

# Runs a command as root; fails without a word when that can't be done without a password.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

can_be_root() { [ "$(id -u)" -eq 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }

# The version that apt would install, empty if none.
apt_version() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([0-9].*\)$/\1/p'; }

# The first package of a list that apt has.
first_package() {
    local package
    for package in "$@"; do
        if [ -n "$(apt_version "$package")" ]; then
            printf '%s' "$package"
            return
        fi
    done
}

# The packages of a Rust that is new enough: the distribution's own, else the one it keeps for browsers (`-web`), else
# a numbered one. `tests` adds the formatter and the lints. Empty if there is none.
rust_packages() {
    local suffix numbered
    numbered=$(apt-cache pkgnames rustc-1. 2>/dev/null | sed -n 's/^rustc\(-1\.[0-9]*\)$/\1/p' | sort -rV)
    for suffix in '' -web $numbered; do
        at_least "$NEEDED_RUST" "$(apt_version "rustc$suffix")" || continue
        [ -n "$(apt_version "cargo$suffix")" ] || continue
        printf 'rustc%s cargo%s' "$suffix" "$suffix"
        if [ "$1" = tests ]; then
            printf ' %s %s' "$(first_package "rustfmt$suffix")" \
                "$(first_package "rust-clippy$suffix" "rust$suffix-clippy")"
        fi
        return
    done
}

# Missing things: for people, and for apt.
missing=()
packages=()

need() { # need WHAT PACKAGE...
    local package
    missing+=("$1")
    shift
    for package in "$@"; do
        [ -z "$package" ] || packages+=("$package")
    done
}

look() {
    missing=() packages=()
    have gcc || need 'gcc' gcc libc6-dev
    have g++ || need 'g++' g++
    have make || need 'make' make
    have pkg-config || need 'pkg-config' pkg-config
    # Without pkg-config nobody can say: it is asked for together with what it would tell of.
    pkg-config --exists openssl 2>/dev/null || need 'the headers of OpenSSL' libssl-dev
    pkg-config --exists zlib 2>/dev/null || need 'the headers of zlib' zlib1g-dev
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] ||
        [ -e /etc/ssl/cert.pem ] || need 'CA certificates' ca-certificates
    java_is_new || need "Java $NEEDED_JAVA or later" \
        "$(has_apt && first_package openjdk-17-jdk-headless openjdk-21-jdk-headless openjdk-25-jdk-headless)"
    have mvn || need 'Maven' maven
    if [ "$1" = tests ]; then
        python3 -c 'import ensurepip, venv' 2>/dev/null || need 'Python 3 with venv' python3 python3-venv
    fi
}

# Finds a numbered Rust of Ubuntu, whose programs have their plain names in a folder of their own.
find_numbered_rust() {
    local dir
    rust_is_new && return
    while read -r dir; do
        if [ -x "$dir/cargo" ] && at_least "$NEEDED_RUST" "$("$dir/rustc" --version | cut -d ' ' -f 2)"; then
            PATH="$dir:$PATH"
            export PATH
            return
        fi
    done < <(find /usr/lib -maxdepth 2 -path '/usr/lib/rust-1.*/bin' 2>/dev/null | sort -rV)
}

look_for_rust() {
    # rustup's folder is on the PATH of a login shell only.
    if ! have cargo && [ -x "$HOME/.cargo/bin/cargo" ]; then export PATH="$HOME/.cargo/bin:$PATH"; fi
    find_numbered_rust
    if rust_is_new; then
        [ "$1" = tests ] || return 0
        { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1 && return 0
        if have rustup; then
            missing+=('rustfmt and clippy (rustup component add rustfmt clippy)')
            return
        fi
    fi
    if have rustup; then
        missing+=("Rust $NEEDED_RUST or later (rustup update stable)")
        return
    fi
    local found=''
    has_apt && found=$(rust_packages "$1")
    if [ -n "$found" ]; then
        # shellcheck disable=SC2086 # several packages
        need "Rust $NEEDED_RUST or later" $found
    else
        missing+=("Rust $NEEDED_RUST or later (apt has none here: install it with rustup, https://rustup.rs)")
    fi
}

# prepare [tests]: returns when all is there; ends the script when something can't be had.
prepare() {
    local what=${1:-run}
    look "$what"
    look_for_rust "$what"
    [ ${#missing[@]} -eq 0 ] && return 0

    if has_apt && can_be_root; then
        # A new machine has no lists yet, and old lists name files that are gone.
        say "needed: $(join "${missing[@]}"); asking apt"
        as_root apt-get update -qq >&2 || say 'apt-get update failed, going on with the lists that are there'
        look "$what"
        look_for_rust "$what"
        if [ ${#packages[@]} -gt 0 ]; then
            say "installing ${packages[*]}"
            # Never at the price of something that is installed.
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --no-remove \
                "${packages[@]}" >&2 || say 'apt-get install failed'
        fi
        look "$what"
        look_for_rust "$what"
        [ ${#missing[@]} -eq 0 ] && return 0
    fi

    say 'something is missing:'
    printf '  - %s\n' "${missing[@]}" >&2
    if [ ${#packages[@]} -gt 0 ]; then
        if has_apt; then
            printf 'Install it, then start again:\n\n  sudo apt-get install --no-install-recommends %s\n\n' "${packages[*]}" >&2
        else
            printf 'Install it with the package manager of this system (on Debian: %s), then start again.\n' "${packages[*]}" >&2
        fi
    fi
    exit 1
}

join() {
    local text
    printf -v text '%s, ' "$@"
    printf '%s' "${text%, }"
}

# Called, not sourced.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    prepare "${1:-run}"
    say 'everything is there'
fi
