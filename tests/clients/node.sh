#!/bin/sh
# Installs the pinned packages for Node, once, in the cache folder; prints that folder, in which the scripts are as well,
# because Node looks for packages beside them. Prints nothing where there is no Node of version 20 or newer, or no npm.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
major=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\)\..*/\1/p')
if [ "${major:-0}" -lt 20 ] || ! command -v npm >/dev/null; then
    exit 0
fi
mark=$(cat "$here/package.json" "$here/package-lock.json" "$here/node.sh" "$here"/*.mjs | cksum | tr ' ' '-')
dir="${XDG_CACHE_HOME:-$HOME/.cache}/tillstream/node-$mark"
mkdir -p "$(dirname "$dir")"
if [ ! -e "$dir/ready" ]; then
    # Two at a time make one, and one that was interrupted is made anew. A lock that nobody holds is as good as none.
    exec 9>"$dir.lock"
    if command -v flock >/dev/null; then flock 9; fi
    if [ ! -e "$dir/ready" ]; then
        rm -rf "$dir"
        mkdir "$dir"
        cp "$here/package.json" "$here/package-lock.json" "$here"/*.mjs "$dir"
        npm ci --prefix "$dir" --no-audit --no-fund --ignore-scripts >&2
        touch "$dir/ready"
    fi
fi
echo "$dir"
