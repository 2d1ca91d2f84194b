#!/bin/sh
# Makes the pinned Python environment, once, in the cache folder; prints the path of its interpreter.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
exec sh "$here/../../crates/topics/tests/python/venv.sh" "$here"
