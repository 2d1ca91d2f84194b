"""Compares what is on the topics with what must be there, record by record, and names each anomaly."""

from collections import Counter, defaultdict, namedtuple

import books

KINDS = ["lost", "doubled", "wrong", "out of order", "open transaction"]

# A record of a topic with its decoded value; a deletion has None.
Record = namedtuple("Record", "partition offset key value")
# A delivery that was sent: how often it was tried, and how often it was accepted.
Sent = namedtuple("Sent", "expect tries accepted")


class Findings:
    """Anomalies by topic and kind with a few examples of each, and how many records were compared."""

    EXAMPLES = 5

    def __init__(self):
        self.compared = Counter()
        self.anomalies = Counter()
        self.examples = defaultdict(list)

    def add(self, topic, kind, text):
        assert kind in KINDS, kind
        self.anomalies[topic, kind] += 1
        if len(self.examples[topic, kind]) < self.EXAMPLES:
            self.examples[topic, kind].append(text)


POLICY = "policy.published"
# What the product says by itself, of no delivery: its policies, and that time passes where nothing comes.
OWN_WORDS = {POLICY, "time.passed"}


class People:
    """Which published id belongs to which identifier: one to one, in each workspace."""

    def __init__(self):
        self.ids, self.names = {}, {}

    def same(self, workspace, name, person_id):
        if name is None or person_id is None:
            return name is None and person_id is None
        known = self.ids.setdefault((workspace, name), person_id)
        return known == person_id and self.names.setdefault(person_id, (workspace, name)) == (workspace, name)


def compare(sent, raw, topics):
    """`sent`: {identity: Sent}, `raw`: [books.Raw], `topics`: {name: [Record]}. Gives the findings."""
    findings = Findings()
    check_raw(findings, sent, raw)
    said = {}
    refused = {}
    for record in raw:
        what = books.read(record)
        (refused if isinstance(what, books.Refused) else said)[record.partition, record.offset] = what
    topics = dict(topics)
    policies = {}
    for name in ("events", "facts"):
        policies[name] = [record for record in topics[name] if record.value["event"] in OWN_WORDS]
        topics[name] = [record for record in topics[name] if record.value["event"] not in OWN_WORDS]
    check_policies(findings, {each.workspace for each in said.values()}, policies)
    order_of_events = check_events(findings, said, topics["events"])
    check_letters(findings, sent, refused, topics["dead-letters"])
    steps = histories(said, order_of_events)
    orders = {key: history[-1].after for key, history in steps.items()}
    people = People()
    check_facts(findings, people, steps, topics["facts"])
    check_orders(findings, people, orders, topics["orders"])
    check_profiles(findings, people, books.profiles_of(said.values(), orders), topics["profiles"])
    check_figures(findings, books.figures(orders), topics["facts"], topics["metrics"])
    check_outcomes(findings, steps, topics["metrics"])
    return findings


def identity(workspace, name, webhook_id, body):
    """What makes a request one that was sent: everything of it that is stored."""
    return workspace, name, webhook_id, body


def identity_of(raw):
    return identity(raw.workspace, raw.name, raw.webhook_id, raw.body)


def check_raw(findings, sent, raw):
    """What was acknowledged is there, what is there was sent, and each try left at most one record."""
    stored = Counter(identity_of(record) for record in raw)
    findings.compared["raw"] += len(raw)
    for key, each in sent.items():
        if each.expect != 200:
            continue
        if stored[key] < each.accepted:
            findings.add("raw", "lost", f"{key[:3]}: {each.accepted} accepted, {stored[key]} stored")
        if stored[key] > each.tries:
            # One stamp in several records is the producer's repetition, several stamps are the sender's.
            copies = [(r.partition, r.offset, r.received_at) for r in raw if key == identity_of(r)]
            findings.add("raw", "doubled", f"{key[:3]}: {each.tries} tries, stored are {copies}")
    for key in stored:
        if key not in sent or sent[key].expect != 200:
            findings.add("raw", "wrong", f"{key[:3]} was never sent so")


def check_policies(findings, workspaces, records):
    """The first version of each workspace's policy stands in the stream once, and was told once."""
    for name, found in records.items():
        findings.compared[name] += len(found)
        versions = Counter(record.value["workspace"] for record in found if record.value["event"] == POLICY)
        for workspace in workspaces - versions.keys():
            findings.add(name, "lost", f"the policy of {workspace}")
        for workspace, count in versions.items():
            if count > 1:
                findings.add(name, "doubled", f"the policy of {workspace}: {count}")


def check_events(findings, said, records):
    """Each accepted order has one event. Gives the events' places in the raw topic in the order of the events."""
    findings.compared["events"] += len(records)
    places = []
    last = {}
    seen = set()
    for record in sorted(records, key=lambda r: (r.partition, r.offset)):
        event = record.value
        place = event["raw_partition"], event["raw_offset"]
        if place not in said:
            findings.add("events", "wrong", f"{record.key} is of raw {place}, which gives no event")
            continue
        if place in seen:
            findings.add("events", "doubled", f"{record.key} of raw {place}")
            continue
        seen.add(place)
        places.append(place)
        if last.setdefault((record.partition, place[0]), -1) > place[1]:
            findings.add("events", "out of order", f"{record.key}: raw {place} after {last[record.partition, place[0]]}")
        last[record.partition, place[0]] = place[1]
        differing = [name for name, value in envelope(said[place]).items() if read(event, name) != value]
        if differing or record.key != f"{said[place].workspace}:{said[place].order_id}":
            findings.add("events", "wrong", f"{record.key} of raw {place}: {differing}")
    for place in said.keys() - seen:
        findings.add("events", "lost", f"{said[place].workspace}:{said[place].order_id} of raw {place}")
    return places + sorted(said.keys() - seen)


def envelope(said):
    """What an event must carry besides the order, which is compared where it ends up."""
    return {
        "workspace": said.workspace,
        "source": said.source,
        "source_space": said.space,
        "source_event": said.source_event,
        "event": said.event,
        "occurred_at": said.occurred_at,
        "received_at": said.received_at,
        "raw_item": 0,
        "entity.id": said.order_id,
        "payload.order.version": said.version,
        "payload.order.total": said.values.get("total"),
    }


def read(value, path):
    for name in path.split("."):
        value = value[name]
    return value


def check_letters(findings, sent, refused, records):
    """Each accepted delivery that says nothing has one dead letter, and each try that was told what is missing too."""
    findings.compared["dead-letters"] += len(records)
    at_the_door = Counter()
    of_raw = Counter()
    for record in records:
        letter = record.value
        if letter["stage"] == "gateway":
            at_the_door[letter["body"]] += 1
            continue
        place = letter["origin_partition"], letter["origin_offset"]
        of_raw[place] += 1
        what = refused.get(place)
        if letter["stage"] != "normalizer" or what is None or letter["reason"] != what.reason:
            findings.add("dead-letters", "wrong", f"{letter['stage']} {letter['reason']} of {place}: {letter['message']}")
    for place in refused:
        if of_raw[place] != 1:
            kind = "lost" if of_raw[place] == 0 else "doubled"
            findings.add("dead-letters", kind, f"{of_raw[place]} of raw {place}, {refused[place].reason}")
    tries, accepted = Counter(), Counter()
    for key, each in sent.items():
        if each.expect == 400:
            tries[key[3]] += each.tries
            accepted[key[3]] += each.accepted
    for body in tries.keys() | at_the_door.keys():
        if at_the_door[body] < accepted[body]:
            findings.add("dead-letters", "lost", f"of a refused body: {body[:80]}")
        if at_the_door[body] > tries[body]:
            findings.add("dead-letters", "doubled", f"of a refused body: {body[:80]}")


def histories(said, places):
    """{(workspace, order id): [Step]}: what each delivery must have done, in the order of the events."""
    deliveries = defaultdict(list)
    for place in places:
        deliveries[said[place].workspace, said[place].order_id].append(said[place])
    return {key: books.history(each) for key, each in deliveries.items()}


def check_facts(findings, people, steps, records):
    findings.compared["facts"] += len(records)
    of_order = defaultdict(list)
    ids = set()
    for record in sorted(records, key=lambda r: (r.partition, r.offset)):
        fact = record.value
        if fact["event_id"] in ids:
            findings.add("facts", "doubled", f"{record.key} {fact['event']} has the id of another: {fact['event_id']}")
        ids.add(fact["event_id"])
        of_order[fact["workspace"], fact["order_id"]].append(fact)
    for key in steps.keys() | of_order.keys():
        check_chain(findings, key, of_order[key])
        check_steps(findings, people, key, steps.get(key, []), of_order[key])


def check_chain(findings, key, facts):
    """Each `before` is the `after` of the one before it."""
    last = None
    for fact in facts:
        if fact["before"] != last:
            findings.add("facts", "wrong", f"{key}: the chain is broken at {fact['event']} {fact['received_at']}")
        last = fact["after"]


def check_steps(findings, people, key, steps, facts):
    """The facts that each delivery brought, and the order before and after all of them."""
    groups = defaultdict(list)
    for fact in facts:
        groups[fact["received_at"], fact["source"], fact["source_event"]].append(fact)
    for step in steps:
        group = groups.pop((step.said.received_at, step.said.source, step.said.source_event), [])
        named = [(fact["event"], fact["refund"]["id"] if fact["refund"] else None) for fact in group]
        if named != step.names:
            tell_names(findings, key, step.names, named)
            continue
        if not group:
            continue
        ends = [(step.before, group[0]["before"], "before"), (step.after, group[-1]["after"], "after")]
        for expected, actual, which in ends:
            differing = differences(people, key[0], expected, actual)
            if differing:
                findings.add("facts", "wrong", f"{key} {named[0][0]} {which}: {differing}")
        for fact in group:
            refund = fact["refund"]
            if refund and refund["amount"] != fact["after"]["refunds"].get(refund["id"]):
                findings.add("facts", "wrong", f"{key} refund {refund['id']}: {refund['amount']}")
    for group in groups.values():
        for fact in group:
            findings.add("facts", "wrong", f"{key} {fact['event']} is of no accepted delivery")
    order = [fact["received_at"] for fact in facts]
    places = {step.said.received_at: place for place, step in enumerate(steps)}
    came = [places[at] for at in order if at in places]
    if came != sorted(came):
        findings.add("facts", "out of order", f"{key}: {came}")


def tell_names(findings, key, expected, actual):
    missing, surplus = Counter(expected) - Counter(actual), Counter(actual) - Counter(expected)
    for name, count in missing.items():
        findings.add("facts", "lost", f"{key} {name} {count} times, there are {actual}")
    for name, count in surplus.items():
        findings.add("facts", "doubled", f"{key} {name} {count} times too often, wanted are {expected}")
    if not missing and not surplus:
        findings.add("facts", "out of order", f"{key} {actual}, wanted are {expected}")


def differences(people, workspace, expected, actual):
    """Names of the fields that differ, with both values."""
    if expected is None or actual is None:
        return [] if expected is actual else [("all", expected, actual)]
    found = []
    for name in expected.keys() | actual.keys():
        if name == "person_id":
            same = people.same(workspace, expected[name], actual[name])
        else:
            same = name in expected and name in actual and expected[name] == actual[name]
        if not same:
            found.append((name, expected.get(name), actual.get(name)))
    return found


def latest(records):
    """The last value by key; deleted ones are absent."""
    values = {}
    for record in sorted(records, key=lambda r: (r.partition, r.offset)):
        values[record.key] = record.value
    return {key: value for key, value in values.items() if value is not None}


def check_orders(findings, people, orders, records):
    actual = latest(records)
    findings.compared["orders"] += len(actual)
    expected = {f"{workspace}:{order}": (workspace, view) for (workspace, order), view in orders.items()}
    for key in expected.keys() - actual.keys():
        findings.add("orders", "lost", key)
    for key in actual.keys() - expected.keys():
        findings.add("orders", "wrong", f"{key} was never sold")
    for key in expected.keys() & actual.keys():
        workspace, view = expected[key]
        differing = differences(people, workspace, view, actual[key])
        if differing:
            findings.add("orders", "wrong", f"{key}: {differing}")


def check_profiles(findings, people, profiles, records):
    actual = latest(records)
    findings.compared["profiles"] += len(actual)
    left = dict(profiles)
    for key, profile in actual.items():
        person_id, workspace = profile["person_id"], profile["workspace"]
        identifiers = sorted((i["kind"], i["space"], i["value"]) for i in profile["contact"]["identifiers"])
        name = books.representative({(kind, space): value for kind, space, value in reversed(identifiers)})
        # `as_of` is the newest arrival that it contains, and since when somebody is in an audience when it came out: history.
        profile = {field: value for field, value in profile.items() if field not in ("person_id", "as_of", "audiences_since")}
        profile["contact"] = {**profile["contact"], "identifiers": identifiers}
        expected = left.pop((workspace, name), None)
        if expected is None:
            findings.add("profiles", "wrong", f"{key}, {name}, is nobody or doubled")
            continue
        differing = differences(people, workspace, expected, profile)
        if differing or key != f"{workspace}:{person_id}" or not people.same(workspace, name, person_id):
            findings.add("profiles", "wrong", f"{key}, {name}: {differing}")
    for who in left:
        findings.add("profiles", "lost", f"{who}")


def check_figures(findings, expected, facts, records):
    """Sums to the cent, and how often each cell has moved."""
    moved = moves(facts)
    cells = {}
    for value in latest(records).values():
        if value["metric"] == "revenue":
            cells[value["workspace"], value["window_start"], value["dimensions"]["currency"]] = value
    findings.compared["metrics"] += len(cells)
    zero = dict.fromkeys(books.FIGURES, 0)
    for place in expected.keys() - cells.keys():
        findings.add("metrics", "lost", f"{place}: {expected[place]}")
    for place, cell in cells.items():
        wanted = expected.get(place, zero)
        if cell["values"] != wanted:
            differing = {name: (wanted[name], cell["values"].get(name)) for name in wanted if wanted[name] != cell["values"].get(name)}
            findings.add("metrics", "wrong", f"{place}: {differing}, expected and found")
        if cell["revision"] != moved[place] or not cell["corrected"]:
            kind = "lost" if cell["revision"] < moved[place] else "doubled"
            findings.add("metrics", kind, f"{place}: moved {cell['revision']} times by {moved[place]} facts")


def moves(facts):
    """How many facts move each cell. All days are long over, so each of them is a correction that counts."""
    moved = Counter()
    for record in facts:
        fact = record.value
        before, after = books.figures_of(fact["before"]), books.figures_of(fact["after"])
        for place in before.keys() | after.keys():
            if before.get(place, {}) != after.get(place, {}):
                moved[(fact["workspace"], *place)] += 1
    return moved


def check_outcomes(findings, steps, records):
    """Every event has one outcome at the state stage."""
    expected = Counter()
    for (workspace, _), history in steps.items():
        for step in history:
            expected[workspace, step.said.source, *step.outcome] += 1
    actual = Counter()
    for value in latest(records).values():
        if value["metric"] == "outcomes":
            names = value["dimensions"]
            actual[value["workspace"], names["source"], names["outcome"], names["detail"]] += value["values"]["count"]
    findings.compared["outcomes"] += sum(actual.values())
    for place in expected.keys() | actual.keys():
        if expected[place] != actual[place]:
            kind = "lost" if actual[place] < expected[place] else "doubled"
            findings.add("outcomes", kind, f"{place}: expected {expected[place]}, found {actual[place]}")
