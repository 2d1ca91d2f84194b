"""Every report once more, in SQL over the tables of `facts.py`, as `/docs` words them.

Nothing is kept between two questions: each is computed from all rows. Amounts are integers until they are written.
"""

import json
import pathlib
import tempfile
from datetime import date, timedelta
from decimal import Decimal, getcontext
from fractions import Fraction

import duckdb

DAY = 86_400_000_000
DIGITS = {"JPY": 0, "KRW": 0, "KWD": 3}
STEPS = ["view_item", "add_to_cart", "view_cart", "begin_checkout", "add_payment_info", "purchase"]
FUNNEL_WINDOWS = {"30m": 1_800_000_000, "24h": DAY, "7d": 7 * DAY}
MODELS, WINDOWS = ["last_click", "linear", "time_decay"], [7, 14, 30, 60, 90]
CHANNEL = ["campaign", "source", "medium"]

COLUMNS = {
    "purchases": "order_id text, person text, actor text, instant bigint, day bigint, source text, minor bigint, currency text,"
    " items bigint, discount bigint, device text, platform text, country text, campaign text, utm text, medium text,"
    " said_campaign text, said_source text, said_medium text",
    "lines": "order_id text, number bigint, item_id text, shown_id text, title text, shown_title text, quantity bigint,"
    " price bigint, price_currency text, worth bigint",
    "coupons": "order_id text, code text",
    "carts": "order_id text, cart text",
    "refunds": "order_id text, refund_id text, person text, source text, instant bigint, day bigint, minor bigint, currency text",
    "moments": "number bigint, name text, person text, actor text, event text, source_event text, source text,"
    " instant bigint, day bigint, received_at bigint, cart text, checkout text, search_term text, minor bigint, currency text, campaign text, utm text,"
    " medium text, said_campaign text, said_source text, said_medium text",
    "items": "number bigint, place bigint, shown_id text, shown_title text, quantity bigint, price bigint,"
    " price_currency text",
}

# What is done, and the step of the funnel that it is.
VIEWS = """
create view bought as
    select *, coalesce(campaign, '(none)') as c, coalesce(utm, '(none)') as u,
        coalesce(medium, '(none)') as m
    from purchases;
create view done as
    select actor, instant, day, source, case
            when event = 'product.viewed' then 'view_item'
            when event = 'cart.item_added' then 'add_to_cart'
            when event = 'cart.viewed' then 'view_cart'
            when event = 'checkout.started' then 'begin_checkout'
            when event = 'checkout.updated' and source_event = 'begin_checkout' then 'begin_checkout'
            when event = 'checkout.payment_info_added' then 'add_payment_info'
        end as step,
        coalesce(campaign, '(none)') as c, coalesce(utm, '(none)') as u, coalesce(medium, '(none)') as m
    from moments
    union all
    select actor, instant, day, source, 'purchase', c, u, m from bought;
create view touches as
    select distinct person, instant, campaign, utm, medium from moments where person is not null and campaign is not null;
-- What is done to a cart. Without an id of its own it is what its actor does between two purchases.
create view pieces as
    select moments.*, event in ('cart.item_added', 'checkout.started', 'checkout.updated') as opens,
        case when event in ('checkout.started', 'checkout.updated') then minor end as begin_minor,
        coalesce('c:' || cart, 'k:' || checkout, 'a:' || actor || ':' || coalesce((
            select max(purchases.instant) from purchases
            where purchases.actor = moments.actor and purchases.instant < moments.instant
        )::text, '')) as id
    from moments
    where event in ('cart.item_added', 'cart.item_removed', 'cart.created', 'cart.viewed', 'checkout.started',
        'checkout.updated', 'checkout.payment_info_added');
create view contents as
    select id, price_currency as currency,
        sum(case event when 'cart.item_added' then 1 else -1 end * price * quantity) as minor
    from pieces join items using (number)
    where event in ('cart.item_added', 'cart.item_removed') and price is not null
    group by all having sum(case event when 'cart.item_added' then 1 else -1 end * price * quantity) > 0;
create view opened as
    select id, min((instant, source, day)) filter (opens) as opening, max(received_at) as last from pieces
    group by id having bool_or(opens);
create view baskets as
    select id, opening[3] as day, opening[2] as source, last,
        exists (from carts join purchases using (order_id) where 'c:' || cart = id)
        or exists (
            from pieces join purchases using (actor)
            where pieces.id = opened.id and purchases.instant >= opening[1]
        ) as completed
    from opened;
"""


class Number(str):
    """A number as it is written: 1.50 isn't 1.5."""


def written(value, digits):
    sign, value = "-" if value < 0 else "", abs(value)
    unit = 10**digits
    return Number(f"{sign}{value // unit}.{value % unit:0{digits}}" if digits else f"{sign}{value}")


def count(value):
    return Number(value)


def divided(part, whole):
    """To the nearest integer, half away from zero; of nothing, 0."""
    if whole == 0:
        return 0
    exact = Fraction(part, whole)
    nearest = int(abs(exact) + Fraction(1, 2))
    return nearest if exact >= 0 else -nearest


def percent(part, whole):
    return written(divided(1000 * part, whole), 1)


def digits(currency):
    return DIGITS.get(currency, 2)


class Question:
    """Days, counted since 1970, currency and source."""

    def __init__(self, first, last, currency=None, source=None):
        self.first, self.last, self.asked, self.source = first, last, currency, source
        self.currency = currency or "USD"
        self.days = last - first + 1

    def amount(self, minor):
        return written(minor, digits(self.currency))


class Reports:
    def __init__(self, books, quiet):
        self.clock, self.quiet, self.hour = books.clock, quiet, books.hour
        self.db = duckdb.connect()
        with tempfile.TemporaryDirectory() as folder:
            for name, rows in books.rows().items():
                self.db.execute(f"create table {name} ({COLUMNS[name]})")
                file = pathlib.Path(folder) / f"{name}.jsonl"
                file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
                names = [column.split()[0] for column in COLUMNS[name].split(",")]
                types = ", ".join("'{}': '{}'".format(*column.split()) for column in COLUMNS[name].split(","))
                if rows:
                    self.db.execute(
                        f"insert into {name} select {', '.join(names)} from read_json(?, columns = {{{types}}},"
                        " format = 'newline_delimited')",
                        [str(file)],
                    )
        self.db.execute(VIEWS)

    def rows(self, sql, question=None, **named):
        if question:
            named |= {"first": question.first, "last": question.last, "source": question.source}
            named |= {"currency": question.currency}
        used = {name: value for name, value in named.items() if f"${name}" in sql}
        return self.db.execute(sql, used).fetchall()

    def one(self, sql, question=None, **named):
        return self.rows(sql, question, **named)[0]

    def held(self, question):
        """Orders in currencies without a rate."""
        if question.asked:
            return {}
        found = self.rows(
            """select currency, count(*), sum(minor)::bigint from bought
            where currency <> $currency and day between $first and $last and source = coalesce($source, source)
            group by currency""",
            question,
        )
        return {
            currency: {"orders": count(orders), "revenue": written(minor, digits(currency))}
            for currency, orders, minor in found
        }

    def basis(self, question):
        return {"currency": question.currency, "held": self.held(question)}

    def overview(self, question):
        gross, orders, items = self.one(
            """select coalesce(sum(minor), 0)::bigint, count(*), coalesce(sum(items), 0)::bigint from bought
            where currency = $currency and day between $first and $last and source = coalesce($source, source)""",
            question,
        )
        back, refunds = self.one(
            """select coalesce(sum(minor), 0)::bigint, count(*) from refunds
            where currency = $currency and day between $first and $last
                and coalesce(source, 'unknown') = coalesce($source, source, 'unknown')""",
            question,
        )
        steps = self.steps(question)
        return {
            "total_revenue": question.amount(gross),
            "net_revenue": question.amount(gross - back),
            "total_orders": count(orders),
            "total_refunds": count(refunds),
            "refund_amount": question.amount(back),
            "avg_order_value": question.amount(divided(gross, orders)),
            "total_items_sold": count(items),
            "cart_abandonment_rate": self.cart_abandonment(question)["abandonment_rate"],
            "add_to_cart_rate": percent(steps.get("add_to_cart", 0), steps.get("view_item", 0)),
            "days": count(question.days),
            **self.basis(question),
        }

    def revenue_timeseries(self, question):
        found = self.rows(
            """select day, sum(minor)::bigint, count(*) from bought
            where currency = $currency and day between $first and $last and source = coalesce($source, source)
            group by day""",
            question,
        )
        days = {day: (minor, orders) for day, minor, orders in found}
        series = []
        for day in range(question.first, question.last + 1):
            minor, orders = days.get(day, (0, 0))
            series.append({"date": text_of(day), "revenue": question.amount(minor), "orders": count(orders)})
        return {"series": series, "days": count(question.days), **self.basis(question)}

    def revenue_by_hour(self, question):
        """24 hours of each day; an hour that the clock shows twice is one."""
        hours = {}
        for day, instant, minor in self.rows(
            """select day, instant, minor from bought
            where currency = $currency and day between $first and $last""",
            question,
        ):
            hour = hours.setdefault((day, self.hour(instant)), [0, 0])
            hour[0] += minor
            hour[1] += 1
        series = []
        for day in range(question.first, question.last + 1):
            for hour in range(24):
                minor, orders = hours.get((day, hour), (0, 0))
                point = {"date": text_of(day), "hour": count(hour)}
                series.append({**point, "revenue": question.amount(minor), "orders": count(orders)})
        return {"series": series, "days": count(question.days), **self.basis(question)}

    def steps(self, question):
        return dict(
            self.rows(
                """select step, count(distinct actor) from done
                where step is not null and day between $first and $last and source = coalesce($source, source)
                group by step""",
                question,
            )
        )

    def ordered(self, question, window):
        """From each entry by itself to the earliest next step, as long as the window lasts."""
        found = {}
        ways = f"""with way1 as (
            select distinct actor, instant as entry, instant as now from done
            where step = '{STEPS[0]}' and day between $first and $last and source = coalesce($source, source)
        )"""
        for number, name in enumerate(STEPS, start=1):
            if number > 1:
                ways += f""", way{number} as (
                    select way.actor, entry, min(done.instant) as now
                    from way{number - 1} way join done on done.actor = way.actor and done.instant >= now
                        and done.instant <= entry + {window} and step = '{name}' and source = coalesce($source, source)
                    group by all
                )"""
            [found[name]] = self.one(f"{ways} select count(distinct actor) from way{number}", question)
        return found

    def funnel(self, question, window=None):
        found = self.ordered(question, FUNNEL_WINDOWS[window]) if window else self.steps(question)
        said = {"window": window} if window else {}
        steps, before = [], None
        for name in STEPS:
            n = found.get(name, 0)
            share = percent(1, 1) if before is None else percent(n, before)
            steps.append({"name": name, "count": count(n), "percentage": share})
            before = n
        return {"steps": steps, "days": count(question.days), **said}

    def top_products(self, question, limit=20):
        found = self.rows(
            """with worth as (
                select order_id, item_id, quantity, worth as minor
                from lines join bought using (order_id)
                where item_id is not null and currency = $currency and day between $first and $last
                    and source = coalesce($source, source)
            ), titles as (
                select item_id, arg_max(title, (instant, order_id, number)) as title from lines join bought using (order_id)
                where item_id is not null and title is not null group by item_id
            )
            select item_id, coalesce(any_value(title), ''), sum(minor)::bigint as revenue, sum(quantity)::bigint,
                count(distinct order_id)
            from worth left join titles using (item_id)
            group by item_id order by revenue desc, item_id limit $limit""",
            question,
            limit=limit,
        )
        products = [
            {
                "item_id": item,
                "item_name": name,
                "revenue": question.amount(minor),
                "quantity": count(quantity),
                "orders": count(orders),
            }
            for item, name, minor, quantity, orders in found
        ]
        return {"products": products, "days": count(question.days), **self.basis(question)}

    def revenue_by_channel(self, question):
        found = self.rows(
            """with visitors as (
                select c, u, m, count(distinct actor) as n from done
                where day between $first and $last and source = coalesce($source, source) group by all
            ), buyers as (
                select c, u, m, count(distinct actor) as n from bought
                where day between $first and $last and source = coalesce($source, source) group by all
            )
            select c, u, m, sum(minor)::bigint as revenue, count(*), any_value(buyers.n), any_value(visitors.n)
            from bought join visitors using (c, u, m) join buyers using (c, u, m)
            where currency = $currency and day between $first and $last and source = coalesce($source, source)
            group by c, u, m order by revenue desc, c, u, m""",
            question,
        )
        channels = [
            {
                **dict(zip(CHANNEL, row[:3])),
                "revenue": question.amount(row[3]),
                "orders": count(row[4]),
                "conversion_rate": percent(row[5], row[6]),
            }
            for row in found
        ]
        return {"channels": channels, "days": count(question.days), **self.basis(question)}

    def revenue_by_coupon(self, question):
        found = self.rows(
            """select code, sum(minor)::bigint as revenue, count(*), sum(discount)::bigint
            from coupons join bought using (order_id)
            where currency = $currency and day between $first and $last and source = coalesce($source, source)
            group by code order by revenue desc, code""",
            question,
        )
        coupons = [
            {
                "coupon_code": code,
                "revenue": question.amount(minor),
                "orders": count(orders),
                "avg_discount": question.amount(divided(discount, orders)),
            }
            for code, minor, orders, discount in found
        ]
        return {"coupons": coupons, "days": count(question.days), **self.basis(question)}

    def by(self, question, column, list_name, name):
        found = self.rows(
            f"""select {column}, sum(minor)::bigint as revenue, count(*) from bought
            where currency = $currency and day between $first and $last and source = coalesce($source, source)
            group by {column} order by revenue desc, {column}""",
            question,
        )
        rows = [{name: word, "revenue": question.amount(minor), "orders": count(n)} for word, minor, n in found]
        return {list_name: rows, "days": count(question.days), **self.basis(question)}

    def revenue_by_device(self, question):
        return self.by(question, "device", "devices", "device_type")

    def revenue_by_platform(self, question):
        return self.by(question, "platform", "platforms", "platform")

    def revenue_by_country(self, question):
        return self.by(question, "country", "countries", "country")

    def cart_abandonment(self, question):
        completed, abandoned = self.one(
            """select count(*) filter (completed), count(*) filter (not completed and last + $quiet <= $clock) from baskets
            where day between $first and $last and source = coalesce($source, source)""",
            question,
            quiet=self.quiet,
            clock=self.clock,
        )
        (worth,) = self.one(
            """with begun as (
                select id, arg_max(currency, instant) as currency, arg_max(begin_minor, instant) as minor from pieces
                where begin_minor is not null group by id
            ), worth as (
                from begun union all select id, currency, minor::bigint from contents where id not in (select id from begun)
            )
            select coalesce(sum(minor), 0)::bigint from baskets join worth using (id)
            where currency = $currency and not completed and last + $quiet <= $clock
                and day between $first and $last and source = coalesce($source, source)""",
            question,
            quiet=self.quiet,
            clock=self.clock,
        )
        return {
            "abandonment_rate": percent(abandoned, abandoned + completed),
            "abandoned_carts": count(abandoned),
            "abandoned_revenue": question.amount(worth),
            "completed_carts": count(completed),
            "days": count(question.days),
            **self.basis(question),
        }

    def attribution(self, question, model="last_click", window=30):
        """Per order its touches, latest first: of each channel only the latest, and the order's own campaign before all of
        its instant."""
        found = self.rows(
            """with own as (
                select * from bought
                where currency = $currency and day between $first and $last and source = coalesce($source, source)
            ), credited as (
                select order_id, 0 as age, false as other, campaign, utm, medium from own
                where person is not null and campaign is not null
                union all
                select order_id, own.instant - max(touches.instant), true, touches.campaign, touches.utm, touches.medium
                from own join touches on touches.person = own.person and touches.instant <= own.instant
                where (touches.campaign, touches.utm, touches.medium) is distinct from (own.campaign, own.utm, own.medium)
                group by order_id, own.instant, touches.campaign, touches.utm, touches.medium
            )
            select own.order_id, minor, age, credited.campaign, credited.utm, credited.medium
            from own left join credited on credited.order_id = own.order_id and age <= $window
            order by own.order_id, age, other, credited.campaign, credited.utm nulls first, credited.medium nulls first""",
            question,
            window=window * DAY,
        )
        orders = {}
        for order, minor, age, *channel in found:
            touched = orders.setdefault(order, (minor, []))[1]
            if age is not None:
                touched.append((age, tuple(part or "(none)" for part in channel)))
        sums, rest, rest_orders = {}, 0, 0
        for minor, touched in orders.values():
            if not touched:
                rest, rest_orders = rest + minor, rest_orders + 1
            for (_, channel), share in zip(touched, shares(minor, weights(model, touched))):
                revenue, n = sums.get(channel, (0, 0))
                sums[channel] = (revenue + share, n + 1)
        total = rest + sum(revenue for revenue, _ in sums.values())
        rows = sorted(sums.items(), key=lambda row: (-row[1][0], [part.encode() for part in row[0]]))
        return {
            "attributed": [
                {
                    **dict(zip(CHANNEL, channel)),
                    "revenue": question.amount(revenue),
                    "orders": count(n),
                    "pct_of_total": percent(revenue, total),
                }
                for channel, (revenue, n) in rows
            ],
            "unattributed": {"revenue": question.amount(rest), "orders": count(rest_orders)},
            "model": model,
            "window_days": count(window),
            "days": count(question.days),
            **self.basis(question),
        }

    def cohorts(self, question, first, last, now):
        """Months are counted since year 0."""
        found = self.rows(
            """with months as (
                select person, currency, minor,
                    year(date '1970-01-01' + day::integer) * 12 + month(date '1970-01-01' + day::integer) - 1 as month
                from bought where person is not null
            ), firsts as (select person, min(month) as cohort from months group by person)
            select cohort, month, count(distinct person), coalesce(sum(minor) filter (currency = $currency), 0)::bigint
            from months join firsts using (person) where cohort between $from and $to group by all""",
            question,
            **{"from": first, "to": last},
        )
        users = {cohort: n for cohort, month, n, _ in found if cohort == month}
        spent = {(cohort, month): minor for cohort, month, _, minor in found}
        cohorts, total = [], 0
        for cohort in sorted(users, reverse=True):
            months = [spent.get((cohort, month), 0) for month in range(cohort, max(now, cohort) + 1)]
            total += sum(months)
            by_month = {str(offset): question.amount(minor) for offset, minor in enumerate(months)}
            name = f"{cohort // 12:04}-{cohort % 12 + 1:02}"
            cohorts.append({"month": name, "users": count(users[cohort]), "revenue_by_month": by_month})
        n = sum(users.values())
        return {
            "cohorts": cohorts,
            "avg_ltv": question.amount(divided(total, n)),
            "total_purchasing_users": count(n),
            **self.basis(question),
        }

    def people(self):
        found = self.rows("select person from moments union select person from purchases")
        return sorted(person for (person,) in found if person)

    def user_journey(self, person, question):
        """Events with their instants in microseconds; those of one instant in any order."""
        moments = self.rows(
            """with kinds as (select number, case
                    when event = 'product.viewed' then 'view_item'
                    when event = 'cart.item_added' then 'add_to_cart'
                    when event = 'cart.item_removed' then 'remove_from_cart'
                    when event = 'wishlist.item_added' then 'add_to_wishlist'
                    when event = 'cart.viewed' then 'view_cart'
                    when event = 'checkout.started' then 'begin_checkout'
                    when event = 'checkout.updated' and source_event = 'begin_checkout' then 'begin_checkout'
                    when event = 'checkout.payment_info_added' then 'add_payment_info'
                    when event = 'search.performed' then 'search'
                    when event = 'product.shared' then 'share'
                    when event = 'product.rated' then 'rate'
                    when event = 'credits.spent' then 'spend_credits'
                end as kind from moments)
            select instant, name, min(number), arg_min((kind, minor, currency, cart, search_term, said_campaign, said_source,
                said_medium), number)
            from moments join kinds using (number)
            where person = $person and kind is not null and day between $first and $last
            group by instant, name""",
            question,
            person=person,
        )
        events = []
        for at, name, _, (kind, minor, currency, cart, term, *channel) in moments:
            entry = {"event_type": kind, "cart_id": cart, "search_term": term, **dict(zip(CHANNEL, channel))}
            items = self.rows(
                """select number, shown_id, shown_title, quantity, price, price_currency from items join moments using (number)
                where person = $person and instant = $at and name = $name order by number, place""",
                person=person,
                at=at,
                name=name,
            )
            # Items of one event that are facts of their own are told apart by what they say alone: the same again is
            # one. A fact that lists several says each.
            told = []
            for number, *item in items:
                if number == items[0][0] or item not in told:
                    told.append(item)
            entry["items"] = things(told) or None
            if minor is not None and currency == "USD":
                entry["revenue"] = written(minor, 2)
            events.append((at, said(entry)))
        bought = self.rows(
            """select instant, order_id, minor, currency, said_campaign, said_source, said_medium from bought
            where person = $person and day between $first and $last""",
            question,
            person=person,
        )
        for at, order, minor, currency, *channel in bought:
            entry = {"event_type": "purchase", "transaction_id": order, **dict(zip(CHANNEL, channel))}
            lines = self.rows(
                """select shown_id, shown_title, quantity, price, price_currency from lines
                where order_id = $order order by number""",
                order=order,
            )
            entry["items"] = things(lines) or None
            entry["revenue"] = written(minor, 2) if currency == "USD" else None
            events.append((at, said(entry)))
        back = self.rows(
            """select instant, order_id, minor, currency from refunds
            where person = $person and day between $first and $last""",
            question,
            person=person,
        )
        for at, order, minor, currency in back:
            entry = {"event_type": "refund", "transaction_id": order}
            entry["revenue"] = written(minor, 2) if currency == "USD" else None
            events.append((at, said(entry)))
        return events


def things(items):
    return [
        said(
            {
                "item_id": item,
                "item_name": name,
                "quantity": count(quantity),
                "price": None if price is None else written(price, digits(currency)),
            }
        )
        for item, name, quantity, price, currency in items
    ]


def said(entry):
    return {name: value for name, value in entry.items() if value is not None}


def weights(model, touched):
    """Exact enough that no share depends on what is cut off."""
    getcontext().prec = 60
    if model == "last_click":
        return [Fraction(1)] if touched else []
    if model == "linear":
        return [Fraction(1)] * len(touched)
    return [Fraction(Decimal(2) ** (Decimal(-age) / Decimal(7 * DAY))) for age, _ in touched]


def shares(minor, parts):
    """Cut to minor units; the rest goes to the greatest remainders, of equal ones to the earlier."""
    if not parts:
        return []
    exact = [abs(minor) * part / sum(parts) for part in parts]
    cut = [int(share) for share in exact]
    order = sorted(range(len(parts)), key=lambda i: cut[i] - exact[i])
    for i in order[: abs(minor) - sum(cut)]:
        cut[i] += 1
    return [share if minor >= 0 else -share for share in cut]


def text_of(day):
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()
