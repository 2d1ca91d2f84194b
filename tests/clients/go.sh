#!/bin/sh
# Prints the path of Go, version 1.22 or newer (`for range 3`); nothing where there is none.
set -eu
for go in go /usr/local/go/bin/go; do
    command -v "$go" >/dev/null || continue
    minor=$("$go" env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    if [ "${minor:-0}" -ge 22 ]; then
        command -v "$go"
        exit 0
    fi
done
