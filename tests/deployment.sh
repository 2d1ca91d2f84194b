#!/usr/bin/env bash
# Checks what is handed to Docker, Prometheus and Grafana, without starting any of them.
#
#   ./tests/deployment.sh           all of it
#   ./tests/deployment.sh compose   docker-compose.yml, the image's files
#   ./tests/deployment.sh metrics   scrape configuration, alerts and their examples, names on the dashboard
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

have() { command -v "$1" >/dev/null 2>&1; }

fail() {
    printf 'deployment: %s\n' "$*" >&2
    exit 1
}

# A Python that reads YAML.
yaml_python() {
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -c 'import yaml' 2>/dev/null; then
            printf '%s' "$python"
            return
        fi
    done
    return 1
}

compose() {
    local python
    if docker compose version >/dev/null 2>&1; then
        docker compose config -q
        echo 'docker-compose.yml: read by docker compose'
    elif have docker-compose; then
        docker-compose config -q
        echo 'docker-compose.yml: read by docker-compose'
    else
        echo 'docker-compose.yml: no docker compose here, its schema is not checked'
    fi
    if ! python=$(yaml_python); then
        echo 'docker-compose.yml: no Python with PyYAML here, references are not checked'
        return
    fi
    "$python" - <<'PYTHON'
import collections, json, os, pathlib, re, sys, yaml

problems = []
document = yaml.safe_load(open("docker-compose.yml", encoding="utf-8"))
services, volumes = document["services"], document.get("volumes", {})
ports = collections.Counter()
awaited = set()
for name, service in services.items():
    if "image" not in service and "build" not in service:
        problems.append(f"{name}: neither image nor build")
    if "image" in service and ":" not in service["image"]:
        problems.append(f"{name}: the image has no version")
    for port in service.get("ports", []):
        if not port.startswith("127.0.0.1:"):
            problems.append(f"{name}: {port} is published beyond this machine")
        ports[port.split(":")[1]] += 1
    for mount in service.get("volumes", []):
        source = mount.split(":")[0]
        if source.startswith("."):
            if not os.path.exists(source):
                problems.append(f"{name}: {source} does not exist")
        elif source not in volumes:
            problems.append(f"{name}: the volume {source} is not declared")
    for other, how in service.get("depends_on", {}).items():
        if other not in services:
            problems.append(f"{name}: depends on {other}, which does not exist")
        elif how["condition"] == "service_healthy" and "healthcheck" not in services[other]:
            problems.append(f"{name}: waits for the health of {other}, which has no check")
        elif how["condition"] == "service_completed_successfully":
            awaited.add(other)
    # `up --wait` takes a container that ends for a failure, unless another one waits for its end.
    if "healthcheck" not in service and service.get("restart") != "no":
        problems.append(f"{name}: has no health check")
for name, service in services.items():
    if service.get("restart") == "no" and name not in awaited:
        problems.append(f"{name}: ends, and nobody waits for that")
problems += [f"port {port} is published twice" for port, n in ports.items() if n > 1]

# The image is built from these alone.
for line in open("deploy/Dockerfile", encoding="utf-8"):
    words = line.split()
    if words[:1] == ["COPY"] and "--from=build" not in words and words[-2] != "." and not os.path.exists(words[-2]):
        problems.append(f"deploy/Dockerfile: {words[-2]} does not exist")
kept = [line[1:].strip() for line in open(".dockerignore", encoding="utf-8") if line.startswith("!")]
for source in pathlib.Path("crates").glob("*/src/**/*.rs"):
    for path in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', source.read_text(encoding="utf-8")):
        file = os.path.relpath(source.parent / path)
        if not any(file == entry or file.startswith(entry + "/") for entry in kept):
            problems.append(f"{source}: includes {file}, which .dockerignore keeps out of the image")

for path in pathlib.Path("deploy/grafana").rglob("*"):
    if path.suffix == ".yml":
        yaml.safe_load(path.read_text(encoding="utf-8"))
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))

for problem in problems:
    print(f"deployment: {problem}", file=sys.stderr)
print(f"docker-compose.yml: {len(services)} services, references checked")
sys.exit(bool(problems))
PYTHON
}

# Every name that is asked for is one that is counted.
names() {
    local known unknown
    known=$(sed -n 's/.*= "\(tillstream_[a-z_]*\)".*/\1/p' crates/service/src/metrics/family.rs)
    [ -n "$known" ] || fail 'no metric found in crates/service/src/metrics/family.rs'
    unknown=$(grep -rhoE 'tillstream_[a-z_]+' deploy/prometheus deploy/grafana/dashboards |
        sed -E 's/_(bucket|sum|count)$//' | sort -u | grep -vxF "$known" || true)
    [ -z "$unknown" ] || fail "not counted by any service: $unknown"
    echo 'metrics: every name in alerts and dashboards is counted'
}

# promtool: installed, or unpacked from the distribution's package, which would otherwise start a server.
promtool_path() {
    local cache="${XDG_CACHE_HOME:-$HOME/.cache}/tillstream/promtool" work
    if have promtool; then
        command -v promtool
        return
    fi
    if [ ! -x "$cache/promtool" ]; then
        have apt-get && have dpkg-deb || return 1
        work=$(mktemp -d) && chmod 755 "$work"
        (cd "$work" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb files) >/dev/null 2>&1 || {
            rm -rf "$work"
            return 1
        }
        mkdir -p "$cache"
        # In one step, since another run may be doing the same.
        cp "$work/files/usr/bin/promtool" "$cache/promtool.$$" && mv "$cache/promtool.$$" "$cache/promtool"
        rm -rf "$work"
    fi
    "$cache/promtool" --version >/dev/null 2>&1 || return 1
    printf '%s' "$cache/promtool"
}

metrics() {
    local promtool
    names
    if promtool=$(promtool_path); then
        "$promtool" check config deploy/prometheus/prometheus.yml
        "$promtool" test rules deploy/prometheus/alerts.test.yml
    else
        echo 'metrics: no promtool here (apt has it in the package prometheus), alerts are not checked'
    fi
}

case "${1:-all}" in
compose) compose ;;
metrics) metrics ;;
all)
    compose
    metrics
    ;;
*) fail "no check '$1'; there are compose and metrics" ;;
esac
