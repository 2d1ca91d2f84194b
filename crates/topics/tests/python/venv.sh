#!/bin/sh
# Makes the pinned Python environment, once, in the cache folder; prints the path of its interpreter.
# A changed requirements.txt makes a new one. It is the one beside this script, or in the folder that is given.
set -eu
here=$(cd "${1:-$(dirname "$0")}" && pwd)
mark=$(cat "$here/requirements.txt" "$0" | cksum | tr ' ' '-')
dir="${XDG_CACHE_HOME:-$HOME/.cache}/tillstream/python-$mark"
mkdir -p "$(dirname "$dir")"
if [ ! -e "$dir/ready" ]; then
    # Two at a time make one, and one that was interrupted is made anew. A lock that nobody holds is as good as none.
    exec 9>"$dir.lock"
    if command -v flock >/dev/null; then flock 9; fi
    if [ ! -e "$dir/ready" ]; then
        rm -rf "$dir"
        "${PYTHON:-python3}" -m venv "$dir" >&2
        "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
            -r "$here/requirements.txt" >&2
        touch "$dir/ready"
    fi
fi
echo "$dir/bin/python"
