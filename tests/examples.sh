#!/usr/bin/env bash
# Runs the programs of examples/ against a shop of their own, and compares what they say with the report.
#
#   ./tests/examples.sh [TILLSTREAM]     the binary; target/debug/tillstream unless given
#
# Python and Java are skipped, and say so, where there is no Python with a package index or no Maven.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
tillstream=$(realpath "${1:-$target/debug/tillstream}")
home=$(mktemp -d)
up=''

end() {
    [ -z "$up" ] || { kill -TERM "$up" 2>/dev/null && wait "$up"; } || true
    rm -rf "$home"
}
trap end EXIT

fail() {
    printf 'examples: %s\n' "$*" >&2
    exit 1
}

"$tillstream" up --data-dir "$home" --port-offset "${PORT_OFFSET:-2300}" >"$home/up.log" 2>&1 &
up=$!
for _ in $(seq 600); do
    [ -f "$home/endpoints.json" ] && break
    kill -0 "$up" 2>/dev/null || fail "up ended: $(cat "$home/up.log")"
    sleep 0.2
done
[ -f "$home/endpoints.json" ] || fail "up is not ready: $(tail -n 20 "$home/up.log")"
TILLSTREAM_DATA_DIR=$home "$tillstream" demo --orders 120 --rate 0 >/dev/null

# What the report says, in minor units by currency, once it says the same twice.
expected() {
    python3 - "$home/endpoints.json" <<'PYTHON'
import json, sys, time, urllib.request
from decimal import Decimal

endpoints = json.load(open(sys.argv[1], encoding="utf-8"))

def summary():
    request = urllib.request.Request(
        f"{endpoints['query']}/v1/metrics/summary?days=36000", headers={"X-API-Key": "sk_dev_demo"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer, parse_float=Decimal)

before, deadline = None, time.monotonic() + 90
while True:
    lines = summary()["currencies"]
    revenue = {line["currency"]: int(line["range"]["revenue"] * 10 ** line["exponent"]) for line in lines}
    now = {currency: minor for currency, minor in sorted(revenue.items()) if minor}
    if now and now == before:
        print(json.dumps(now))
        break
    if time.monotonic() > deadline:
        sys.exit("the report doesn't come to rest")
    before = now
    time.sleep(3)
PYTHON
}

# same NAME FIELD EXPECTED SAID
same() {
    python3 - "$@" <<'PYTHON'
import json, sys

name, field, expected, said = sys.argv[1:]
found = json.loads(said)[field]
if found != json.loads(expected):
    sys.exit(f"examples: {name} says {field} {found}, the report {expected}")
print(f"examples: {name}: {field} is what the report says, {expected}")
PYTHON
}

revenue=$(expected)

# The build of the tests leaves it; built alone it would have other features, and take minutes.
[ -x "$target/debug/examples/consume" ] || cargo build -q -p topics --locked --example consume
said=$("$target/debug/examples/consume" "$home/endpoints.json")
same rust facts "$revenue" "$said"
same rust metrics "$revenue" "$said"
people=$(printf '%s' "$said" | python3 -c 'import json, sys; print(json.load(sys.stdin)["people"])')
[ "$people" -gt 0 ] || fail "rust finds no people: $said"

if python=$(sh tests/clients/venv.sh 2>"$home/venv.log"); then
    in_python=$("$python" examples/python/consume.py "$home/endpoints.json")
    same python facts "$revenue" "$in_python"
    same python metrics "$revenue" "$in_python"
    same python people "$people" "$in_python"
else
    printf 'examples: python: skip, its packages cannot be installed here: %s\n' "$(tail -n 1 "$home/venv.log")"
fi

if command -v mvn >/dev/null 2>&1; then
    # Maven writes codes for colours around what the program says.
    in_java=$(MAVEN_OPTS="-Djava.io.tmpdir=$home" mvn -q -B -ntp -f examples/java compile exec:java -Dexec.args="$home/endpoints.json" 2>"$home/java.log" | grep -o '{.*}') ||
        fail "java: $(tail -n 20 "$home/java.log")"
    same java facts "$revenue" "$in_java"
else
    echo 'examples: java: skip, there is no Maven here'
fi
