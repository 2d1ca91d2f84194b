"""Asks the query service for every report and compares each cell with what SQL makes of the facts.

Usage: check.py ENDPOINTS QUIET_SECONDS [--zone ZONE] [--rates FILE] [--varied]

QUIET_SECONDS is how long a cart has to rest until it is abandoned, as the aggregator is told. ZONE is the workspace's, and
FILE the rates that were published: `currency,base,rate,hour`. Exit code 1, with the
differences, when a figure is another one a minute after the last fact; else the numbers of answers and cells. With
`--varied` it fails as well when there is nothing to compare in some report, or nobody was joined or erased.
"""

import argparse
import csv
import io
import json
import sys
import time
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from facts import Books, Rates, Topic
from reports import CHANNEL, FUNNEL_WINDOWS, MODELS, WINDOWS, Number, Question, Reports, text_of

WORKSPACE = "demo"
PATIENCE = 60
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# What says when something was computed, and not what it is.
HISTORY = {"as_of", "corrected"}
# Which list of an answer is its table; `None`: the answer is one line.
TABLES = {
    "overview": (
        None,
        "total_revenue net_revenue total_orders total_refunds refund_amount avg_order_value total_items_sold"
        " cart_abandonment_rate add_to_cart_rate days",
    ),
    "revenue-timeseries": ("series", "date revenue orders"),
    "funnel": ("steps", "name count percentage"),
    "top-products": ("products", "item_id item_name revenue quantity orders"),
    "revenue-by-channel": ("channels", "campaign source medium revenue orders conversion_rate"),
    "revenue-by-coupon": ("coupons", "coupon_code revenue orders avg_discount"),
    "revenue-by-device": ("devices", "device_type revenue orders"),
    "revenue-by-platform": ("platforms", "platform revenue orders"),
    "revenue-by-country": ("countries", "country revenue orders"),
    "cart-abandonment": (None, "abandonment_rate abandoned_carts abandoned_revenue completed_carts days"),
    "attribution": ("attributed", "campaign source medium revenue orders pct_of_total"),
    "cohorts": ("cohorts", "month users revenue_by_month"),
}
# What can be asked for without the orders that a fraud rule has marked, and what those still count in: the names of the
# rows' members that are kept, by which rows are the same.
CLEAN = {
    "overview": ((), ("cart_abandonment_rate", "add_to_cart_rate")),
    "revenue-timeseries": ((), ()),
    "top-products": (("item_id",), ("item_name",)),
    "revenue-by-channel": (CHANNEL, ("conversion_rate",)),
    "revenue-by-coupon": ((), ()),
    "revenue-by-device": ((), ()),
    "revenue-by-platform": ((), ()),
    "revenue-by-country": ((), ()),
}


class Service:
    def __init__(self, address):
        self.base = f"{address}/v1/api/analytics/ecommerce"

    def get(self, report, parameters, accept="application/json"):
        url = f"{self.base}/{report}?{urllib.parse.urlencode(parameters)}"
        request = urllib.request.Request(url, headers={"X-API-Key": "sk_dev_demo", "Accept": accept})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def json(self, report, parameters):
        return json.loads(self.get(report, parameters), parse_int=Number, parse_float=Number)


class Check:
    def __init__(self, service, facts, quiet, zone, rates, today):
        self.service, self.today = service, today
        self.books = Books(facts, zone=zone)
        # Each currency by itself, and what is known in base, of all orders and of those that nobody has marked.
        made = lambda clean, rates: Reports(Books(facts, clean, zone, rates), quiet)
        self.own, self.in_base = made(False, None), made(False, rates)
        self.clean_own, self.clean_in_base = made(True, None), made(True, rates)
        self.answers, self.cells, self.wrong = 0, 0, []
        # What the figures say, so that a test of nothing is noticed.
        self.seen = set()

    def reports(self, question):
        return self.own if question.asked else self.in_base

    def all(self):
        for range_parameters, first, last in self.ranges():
            for further in ({}, {"currency": "EUR"}, {"currency": "JPY"}, {"source": "shopify"}, {"source": "analytics"}):
                question = Question(first, last, further.get("currency"), further.get("source"))
                self.ask(question, {**range_parameters, **further})
        self.attributions()
        self.cohorts()
        self.journeys()

    def ranges(self):
        today = self.today
        yield {}, today - 29, today
        yield {"days": 1}, today, today
        yield {"days": 130}, today - 129, today
        for first, last in ((today - 90, today - 60), (today - 45, today - 44), (today - 500, today - 400)):
            yield {"start": text_of(first), "end": text_of(last)}, first, last

    def ask(self, question, parameters):
        for name in TABLES:
            if name not in ("attribution", "cohorts"):
                expected = getattr(self.reports(question), name.replace("-", "_"))(question)
                self.compare(name, parameters, expected)
        if question.days in (30, 130):
            self.ask_clean(question, parameters)
        if not question.asked:
            self.ask_in_order(question, parameters)
        if not question.source and question.days <= 92:
            self.ask_by_hour(question, parameters)
        few = self.reports(question).top_products(question, 3)
        self.compare("top-products", {**parameters, "limit": 3}, few)

    def ask_clean(self, question, parameters):
        """Without the orders that a fraud rule has marked."""
        for name, (same, kept) in CLEAN.items():
            method = name.replace("-", "_")
            expected = getattr(self.clean_own if question.asked else self.clean_in_base, method)(question)
            if kept:
                further = {"limit": 10_000} if name == "top-products" else {}
                self.keep(expected, getattr(self.reports(question), method)(question, **further), TABLES[name][0], same, kept)
            self.compare(name, {**parameters, "exclude_flagged": "true"}, expected)

    def ask_in_order(self, question, parameters):
        """The funnel step by step."""
        for window in FUNNEL_WINDOWS:
            expected = self.own.funnel(question, window)
            self.compare("funnel", {**parameters, "ordered": "true", "window": window}, expected)
            if any(step["count"] != "0" for step in expected["steps"][1:]):
                self.seen.add(f"the funnel in order within {window}")
            if expected["steps"][-1]["count"] != "0":
                self.seen.add("a whole way through the funnel")

    def ask_by_hour(self, question, parameters):
        """The revenue of each hour, of all orders and of those that nobody has marked."""
        asked = {**parameters, "granularity": "hour"}
        expected = self.reports(question).revenue_by_hour(question)
        self.compare("revenue-timeseries", asked, expected, "date hour revenue orders")
        if any(hour["orders"] != "0" for hour in expected["series"]):
            self.seen.add("an hour with orders")
        clean = self.clean_own if question.asked else self.clean_in_base
        asked["exclude_flagged"] = "true"
        self.compare("revenue-timeseries", asked, clean.revenue_by_hour(question), "date hour revenue orders")

    @staticmethod
    def keep(expected, full, rows, same, kept):
        """What marked orders still count in is that of all."""
        known = {tuple(row[name] for name in same): row for row in (full[rows] if rows else [full])}
        for row in expected[rows] if rows else [expected]:
            row |= {name: known[tuple(row[name] for name in same)][name] for name in kept}

    def attributions(self):
        first = self.today - 129
        for further in ({}, {"currency": "EUR"}, {"source": "analytics"}):
            question = Question(first, self.today, further.get("currency"), further.get("source"))
            for model in MODELS:
                for window in WINDOWS:
                    parameters = {"days": 130, **further, "model": model, "window": window}
                    self.compare("attribution", parameters, self.reports(question).attribution(question, model, window))
        plain = Question(self.today - 29, self.today)
        self.compare("attribution", {}, self.in_base.attribution(plain))

    def cohorts(self):
        now = month(self.today)
        for further in ({}, {"currency": "EUR"}):
            question = Question(self.today - 29, self.today, further.get("currency"))
            reports = self.reports(question)
            self.compare("cohorts", further, reports.cohorts(question, now - 5, now, now))
            self.compare("cohorts", {**further, "months": 24}, reports.cohorts(question, now - 23, now, now))
            first, last = self.today - 80, self.today - 40
            given = {"start": text_of(first), "end": text_of(last), **further}
            question = Question(first, last, further.get("currency"))
            self.compare("cohorts", given, reports.cohorts(question, month(first), month(last), now))

    def journeys(self):
        first, last = self.today - 129, self.today
        for person in self.own.people():
            for start in (first, self.today - 40):
                question = Question(start, last)
                given = {"user_id": person, "start": text_of(start), "end": text_of(last)}
                answer = self.service.json("user-journey", given)
                found = [(instant(event.pop("timestamp")), event) for event in answer.pop("events")]
                path = f"user-journey {given}"
                self.differ(path, {"user_id": person}, answer)
                self.differ(f"{path}, ascending", sorted(at for at, _ in found), [at for at, _ in found])
                # Those of one instant stand in any order.
                key = lambda event: (event[0], json.dumps(event[1], sort_keys=True))
                expected = sorted(self.in_base.user_journey(person, question), key=key)
                self.differ(path, expected, sorted(found, key=key))
                self.answers += 1
        nobody = self.service.json("user-journey", {"user_id": "nobody"})
        self.differ("user-journey of nobody", {"events": [], "user_id": "nobody"}, nobody)

    def compare(self, name, parameters, expected, columns=None):
        answer = self.service.json(name, parameters)
        found = {member: value for member, value in answer.items() if member not in HISTORY}
        self.differ(f"{name} {parameters}", expected, found)
        rows, known = TABLES[name]
        columns = (columns or known).split()
        lines = expected[rows] if rows else [expected]
        wanted = [columns] + [[cell(line[column]) for column in columns] for line in lines]
        text = self.service.get(name, parameters, "text/csv")
        self.differ(f"{name} {parameters} as CSV", wanted, list(csv.reader(io.StringIO(text, newline=""))))
        self.answers += 2
        figures = [part for line in lines for member, part in line.items() if member != "days"]
        if any(isinstance(part, Number) and part.strip("0.") for part in figures):
            self.seen.add(name)

    def differ(self, path, expected, found):
        """Cell by cell."""
        if isinstance(expected, dict) and isinstance(found, dict):
            for name in sorted({*expected, *found}):
                self.differ(f"{path} / {name}", expected.get(name), found.get(name))
        elif isinstance(expected, (list, tuple)) and isinstance(found, (list, tuple)):
            if len(expected) != len(found):
                self.wrong.append(f"{path}: {len(found)} rows instead of {len(expected)}:\n    {found}\n    {expected}")
            for number, (one, other) in enumerate(zip(expected, found)):
                self.differ(f"{path} [{number}]", one, other)
        else:
            self.cells += 1
            if type(expected) is not type(found) or expected != found:
                self.wrong.append(f"{path}: {found!r} instead of {expected!r}")


def cell(value):
    """A value as a table has it. No text may be a formula where it is opened."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f'"{name}":{part}' for name, part in value.items()) + "}"
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def instant(text):
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def month(day):
    at = EPOCH + timedelta(days=day)
    return at.year * 12 + at.month - 1


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoints")
    parser.add_argument("quiet", type=float)
    parser.add_argument("--zone", default="UTC")
    parser.add_argument("--rates")
    parser.add_argument("--varied", action="store_true")
    return parser.parse_args()


def main():
    asked = arguments()
    with open(asked.endpoints, encoding="utf-8") as file:
        endpoints = json.load(file)
    rates = Rates(asked.rates)
    service = Service(endpoints["query"])
    topic = Topic(endpoints["kafka"], endpoints["registry"], "commerce.facts.v1")
    deadline = time.monotonic() + PATIENCE
    while True:
        facts = [fact for fact in topic.read() if fact and fact["workspace"] == WORKSPACE]
        today = datetime.now(ZoneInfo(asked.zone)).date().toordinal() - EPOCH.date().toordinal()
        check = Check(service, facts, round(asked.quiet * 1_000_000), asked.zone, rates, today)
        check.all()
        if not check.wrong or time.monotonic() > deadline:
            break
        time.sleep(2)
    if check.wrong:
        sys.exit(f"{len(check.wrong)} of {check.cells} cells are wrong:\n  " + "\n  ".join(check.wrong[:40]))
    if asked.varied:
        everything = Question(0, today)
        steps = {f"the funnel in order within {window}" for window in FUNNEL_WINDOWS}
        there = {
            "joined": check.books.merged,
            "erased": check.books.erased,
            "in other currencies": check.in_base.held(everything),
            "converted": not asked.rates or check.in_base.held(everything) != check.own.held(everything),
            "marked orders": check.books.marked(),
            **{name: name in check.seen for name in {*TABLES, *steps, "a whole way through the funnel", "an hour with orders"}},
        }
        nothing = sorted(what for what, found in there.items() if not found)
        if nothing:
            sys.exit(f"nothing was compared: {', '.join(nothing)}")
    print(f"{check.answers} answers with {check.cells} cells are what SQL makes of {len(facts)} facts")


if __name__ == "__main__":
    main()
