"""Checks a pipeline that has been ill-treated: what the gateway accepted against what is on every topic.

Usage:
    checker.py drained BOOTSTRAP REGISTRY [--group GROUP]
        waits until every stage, or the one of a group, has finished what it can read; exit code 1 when it doesn't
    checker.py held BOOTSTRAP REGISTRY TOPIC
        waits until a transaction stays open on a topic; exit code 1 when none does
    checker.py check FOLDER BOOTSTRAP REGISTRY
        FOLDER has `deliveries.jsonl` (what was sent), `answers.jsonl` (what was answered) and `faults.json` (what was
        done to the services); prints the table, writes `result.json`; exit code 1 with any anomaly
"""

import argparse
import json
import pathlib
import sys
import time
import urllib.parse
from collections import Counter

import cluster
import compare

DRAINED_WITHIN = 180
# The longest that Kafka itself may keep a transaction of a copy that never came back.
TRANSACTIONS_END_WITHIN = 60
TOPICS = ["events", "facts", "orders", "profiles", "metrics", "dead-letters"]


def wait(within, question):
    """Asks until there is nothing to tell, and gives the last answer."""
    deadline = time.monotonic() + within
    while (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return answer


def drained(kafka, group):
    groups = [group] if group else list(cluster.GROUPS)
    behind = wait(DRAINED_WITHIN, lambda: kafka.behind(groups))
    if behind:
        print(f"not drained within {DRAINED_WITHIN} s: {behind}")
    return not behind


def held(kafka, topic):
    """A transaction that is committed soon has another stable offset a second later."""

    def nothing_stays():
        stays = {place[:3] for place in kafka.open_transactions([topic])}
        time.sleep(1)
        return stays.isdisjoint(place[:3] for place in kafka.open_transactions([topic]))

    return not wait(60, nothing_stays)


def sent(folder):
    """{identity: Sent} from the deliveries and their answers, and the counts of answers."""
    deliveries = [json.loads(line) for line in open(folder / "deliveries.jsonl", encoding="utf-8")]
    tries, accepted, expect = Counter(), Counter(), {}
    totals = Counter()
    odd = []
    for line in open(folder / "answers.jsonl", encoding="utf-8"):
        answer = json.loads(line)
        delivery = deliveries[answer["delivery"]]
        key = identity(delivery)
        expect[key] = delivery["expect"]
        totals["tries"] += len(answer["statuses"])
        totals["without answer"] += answer["statuses"].count(None)
        totals["put off (503)"] += answer["statuses"].count(503)
        tries[key] += len(answer["statuses"])
        accepted[key] += answer["statuses"].count(delivery["expect"])
        totals["deliveries"] += 1
        totals["accepted"] += answer["statuses"][-1] == 200
        if any(status not in (None, 503, delivery["expect"]) for status in answer["statuses"]):
            odd.append(f"{key[:3]}: {answer['statuses']} instead of {delivery['expect']}")
    return {key: compare.Sent(expect[key], tries[key], accepted[key]) for key in tries}, totals, odd


def identity(delivery):
    headers = delivery["headers"]
    if "x-shopify-topic" in headers:
        workspace = headers["x-shopify-shop-domain"].split(".")[0]
        return compare.identity(workspace, headers["x-shopify-topic"], headers["x-shopify-webhook-id"], delivery["body"])
    query = dict(urllib.parse.parse_qsl(delivery["path"].partition("?")[2]))
    return compare.identity(query["workspace"], query["event_name"], None, delivery["body"])


def check(kafka, folder):
    requests, totals, odd = sent(folder)
    hanging = wait(TRANSACTIONS_END_WITHIN, lambda: kafka.open_transactions(kafka.every_topic()))
    raw = kafka.raw()
    topics = {name: kafka.topic(f"commerce.{name}.v1") for name in TOPICS}
    for record in topics["dead-letters"]:
        record.value["body"] = record.value["body"].decode()
    findings = compare.compare(requests, raw, topics)
    for text in odd:
        findings.add("answers", "wrong", text)
    for topic, partition, stable, end in hanging:
        findings.add(topic, "open transaction", f"partition {partition}: stable {stable}, end {end}")
    totals["duplicates"] = sum(
        record.value["values"]["count"]
        for record in compare_latest(topics["metrics"])
        if record.value["metric"] == "outcomes" and record.value["dimensions"]["outcome"] == "duplicate"
    )
    return findings, totals


def compare_latest(records):
    last = {record.key: record for record in sorted(records, key=lambda r: (r.partition, r.offset))}
    return [record for record in last.values() if record.value is not None]


def table(faults, totals, findings):
    """The table as Markdown, as the README has it."""
    kills = faults["kills"]
    done = ", ".join(f"{name} {count}" for name, count in sorted(kills.items()))
    rows = [("`kill -9`", f"{sum(kills.values())} ({done})")]
    rows += [(name, str(count)) for name, count in faults["others"].items()]
    rows += [
        ("deliveries sent", f"{totals['deliveries']}, in {totals['tries']} tries"),
        ("tries without an answer, put off with 503", f"{totals['without answer']}, {totals['put off (503)']}"),
        ("deliveries accepted, records in raw", f"{totals['accepted']}, {findings.compared['raw']}"),
        ("duplicates found", str(totals["duplicates"])),
    ]
    for name in ["events", "orders", "profiles", "facts", "metrics", "outcomes", "dead-letters"]:
        rows.append((f"{name} compared", str(findings.compared[name])))
    for kind in compare.KINDS:
        count = sum(n for (_, each), n in findings.anomalies.items() if each == kind)
        rows.append((f"anomalies: {kind}", str(count)))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"| {name:<{width}} | {value} |" for name, value in rows)


def result(faults, totals, findings):
    anomalies = [
        {"topic": topic, "kind": kind, "count": count, "examples": findings.examples[topic, kind]}
        for (topic, kind), count in sorted(findings.anomalies.items())
    ]
    return {"faults": faults, "totals": totals, "compared": findings.compared, "anomalies": anomalies}


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    waiting = commands.add_parser("drained")
    holding = commands.add_parser("held")
    checking = commands.add_parser("check")
    checking.add_argument("folder", type=pathlib.Path)
    for command in (waiting, holding, checking):
        command.add_argument("bootstrap")
        command.add_argument("registry")
    waiting.add_argument("--group", choices=cluster.GROUPS)
    holding.add_argument("topic")
    options = parser.parse_args()
    kafka = cluster.Cluster(options.bootstrap, options.registry)
    if options.command == "drained":
        sys.exit(0 if drained(kafka, options.group) else 1)
    if options.command == "held":
        sys.exit(0 if held(kafka, options.topic) else 1)
    faults = json.loads((options.folder / "faults.json").read_text(encoding="utf-8"))
    findings, totals = check(kafka, options.folder)
    print(table(faults, totals, findings))
    for anomaly in (found := result(faults, totals, findings))["anomalies"]:
        print(f"\n{anomaly['topic']}, {anomaly['kind']}: {anomaly['count']}")
        for example in anomaly["examples"]:
            print(f"  {example[:1500]}")
    (options.folder / "result.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    sys.exit(1 if found["anomalies"] else 0)


if __name__ == "__main__":
    main()
