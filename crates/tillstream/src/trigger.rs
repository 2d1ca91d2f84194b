//! `tillstream trigger`: one fresh, signed delivery from an example body.
//!
//! The body is the checked-in example of the source, made fresh (a new id, times of now), given what the event stands
//! for, and then changed by `--set path=value`.

use commerce::{Currency, EventTime, Mark, Money, Source};
use serde_json::{Value, json};

use crate::demo::{Credentials, Delivery, WebhookIds, uuid_text};

const SHOPIFY_ORDER: &str = include_str!("../../../schemas/examples/shopify_order_create.json");
const BACKEND_ORDER: &str = include_str!("../../../schemas/examples/lifesight_orders_create.json");

/// What can be triggered, by source.
pub const EVENTS: &[(Source, &[&str])] = &[
    (
        Source::Shopify,
        &[
            "orders/create",
            "orders/updated",
            "orders/paid",
            "orders/partially_fulfilled",
            "orders/fulfilled",
            "orders/cancelled",
            "refunds/create",
        ],
    ),
    (
        Source::Lifesight,
        &[
            "orders_create",
            "orders_updated",
            "orders_paid",
            "orders_partially_fulfilled",
            "orders_fulfilled",
            "orders_cancelled",
        ],
    ),
];

/// Why nothing was triggered. All of them are mistakes in the command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such source.
    #[error("there is no source '{0}' to trigger; there are: {list}", list = all())]
    UnknownSource(String),
    /// No such event.
    #[error("{source_name} has no event '{event}' to trigger; there are: {list}", list = events_of(*source_name).join(", "))]
    UnknownEvent {
        /// The source.
        source_name: Source,
        /// What was asked for.
        event: String,
    },
    /// Not `path=value`.
    #[error("'{0}' is not path=value, as in total_price=99.00 or line_items[0].quantity=2")]
    NotAnAssignment(String),
    /// The path can't be followed.
    #[error("cannot set '{path}': {reason}")]
    Path {
        /// The path.
        path: String,
        /// What is in the way.
        reason: String,
    },
    /// The example that is built in is no JSON object: a fault of the build.
    #[error("the example body is not a JSON object")]
    Example,
}

fn all() -> String {
    let each = EVENTS.iter().map(|(source, events)| format!("{source} ({})", events.join(", ")));
    each.collect::<Vec<_>>().join("; ")
}

fn events_of(source: Source) -> &'static [&'static str] {
    EVENTS.iter().find(|(known, _)| *known == source).map_or(&[], |(_, events)| events)
}

/// What to trigger.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `shopify` or `lifesight`.
    pub source: &'a str,
    /// The source's own name of the event.
    pub event: &'a str,
    /// `path=value`, each applied in turn.
    pub set: &'a [String],
    /// How many deliveries.
    pub count: usize,
    /// The same delivery each time, and not a new order each time.
    pub same: bool,
    /// The time of the command: id, name and times of the order come from it.
    pub now: EventTime,
}

/// Makes the deliveries.
pub fn deliveries(request: &Request<'_>, credentials: &Credentials) -> Result<Vec<Delivery>, Error> {
    let source = EVENTS.iter().map(|(source, _)| *source).find(|source| source.as_str() == request.source);
    let source = source.ok_or_else(|| Error::UnknownSource(request.source.to_owned()))?;
    let Some(event) = events_of(source).iter().copied().find(|event| *event == request.event) else {
        return Err(Error::UnknownEvent { source_name: source, event: request.event.to_owned() });
    };
    let assignments =
        request.set.iter().map(|text| Assignment::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let one = |index: usize| -> Result<Delivery, Error> {
        // Microseconds of the clock: a command of a thousand orders needs a millisecond of ids.
        let id = request.now.0.saturating_add_unsigned(if request.same { 0 } else { index as u64 });
        let mut body = fresh(source, event, id, request.now, &assignments)?;
        for assignment in &assignments {
            assignment.apply(&mut body)?;
        }
        follow(&mut body, &assignments);
        let bytes = body.to_string().into_bytes();
        let delivery = match source {
            Source::Shopify => credentials.shopify(event, &ids(event, id, request.now), bytes),
            _ => credentials.backend(event, bytes),
        };
        Ok(Delivery { at: index, ..delivery })
    };
    (0..request.count).map(one).collect()
}

fn ids(event: &str, id: i64, now: EventTime) -> WebhookIds {
    let name = |what: &[u8]| uuid_text(Mark::of(&[what, event.as_bytes(), &id.to_le_bytes()]).0);
    WebhookIds { webhook: name(b"webhook"), event: name(b"event"), triggered_at: now.to_rfc3339() }
}

/// The example as an order of now, with what the event stands for.
fn fresh(
    source: Source,
    event: &str,
    id: i64,
    now: EventTime,
    assignments: &[Assignment],
) -> Result<Value, Error> {
    let now = now.to_rfc3339();
    if event == "refunds/create" {
        return Ok(refund(id, &now));
    }
    let text = if source == Source::Shopify { SHOPIFY_ORDER } else { BACKEND_ORDER };
    let mut body: Value = serde_json::from_str(text).map_err(|_| Error::Example)?;
    let order = body.as_object_mut().ok_or(Error::Example)?;
    let number = id.rem_euclid(1_000_000_000);
    let mut set = |name: &str, value: Value| order.insert(name.to_owned(), value);
    set("id", json!(id));
    set("name", json!(format!("#T{number}")));
    set("order_number", json!(number));
    set("created_at", json!(now));
    set("updated_at", json!(now));
    set("processed_at", json!(now));
    set("financial_status", json!("paid"));
    let (partial, whole) = ("partial", if source == Source::Shopify { "fulfilled" } else { "shipped" });
    // `orders/paid` and `orders_paid` are one fact in two spellings.
    match event.trim_start_matches("orders").trim_start_matches(['/', '_']) {
        "partially_fulfilled" => set("fulfillment_status", json!(partial)),
        "fulfilled" => set("fulfillment_status", json!(whole)),
        "cancelled" => {
            set("cancelled_at", json!(now));
            set("cancel_reason", json!("customer"));
            set("financial_status", json!("voided"))
        }
        _ => None,
    };
    // One order's links belong to no other, and its totals are none of the customer's.
    for name in ["admin_graphql_api_id", "checkout_id", "checkout_token", "cart_token", "token", "checkout"] {
        order.remove(name);
    }
    if let Some(customer) = order.get_mut("customer").and_then(Value::as_object_mut) {
        customer.remove("orders_count");
        customer.remove("total_spent");
    }
    another_person(&mut body, assignments);
    Ok(body)
}

/// Another e-mail is another person, so the other identifiers of the example must not stay.
fn another_person(body: &mut Value, assignments: &[Assignment]) {
    let Some(email) = assignments.iter().rev().find(|a| a.path == "email") else { return };
    let email = email.text.as_str();
    body["contact_email"] = json!(email);
    body["phone"] = Value::Null;
    if let Some(customer) = body.get_mut("customer").and_then(Value::as_object_mut) {
        let id = Mark::of(&[b"customer", email.as_bytes()]).high() >> 20;
        customer.insert("id".to_owned(), json!(id));
        customer.insert("email".to_owned(), json!(email));
        customer.insert("phone".to_owned(), Value::Null);
    }
}

fn refund(id: i64, now: &str) -> Value {
    json!({
        "id": id,
        "order_id": id,
        "created_at": now,
        "processed_at": now,
        "note": "",
        "restock": false,
        "refund_line_items": [],
        "transactions": [{
            "id": id,
            "order_id": id,
            "kind": "refund",
            "status": "success",
            "amount": "10.00",
            "currency": "USD",
            "gateway": "shopify_payments",
            "created_at": now,
        }],
    })
}

/// Makes the rest of the body agree with what was set, except where it was set too.
fn follow(body: &mut Value, assignments: &[Assignment]) {
    let is_set = |path: &str| assignments.iter().any(|a| a.path == path);
    let touched = |root: &str| assignments.iter().any(|a| a.path.starts_with(root));
    if let Some(currency) = assignments.iter().rev().find(|a| a.path == "currency") {
        recur(body, &currency.text);
    }
    if is_set("order_id") && !touched("transactions") {
        body["transactions"][0]["order_id"] = body["order_id"].clone();
    }
    if !is_set("total_price") {
        return;
    }
    let Some(total) = amount(body) else { return };
    // One line is the whole order: nothing is left to add up to something else.
    let text = total.to_major();
    let zero = Money::zero(total.currency).to_major();
    let mut put = |name: &str, text: &str| {
        if is_set(name) {
            return;
        }
        if let Some(value) = body.get_mut(name) {
            *value = json!(text);
        }
    };
    put("subtotal_price", &text);
    put("current_total_price", &text);
    put("current_subtotal_price", &text);
    put("total_line_items_price", &text);
    put("total_discounts", &zero);
    put("current_total_discounts", &zero);
    put("total_tax", &zero);
    put("current_total_tax", &zero);
    if !touched("total_shipping_price_set") {
        for money in ["/total_shipping_price_set/shop_money", "/total_shipping_price_set/presentment_money"] {
            if let Some(money) = body.pointer_mut(money) {
                money["amount"] = json!(zero);
            }
        }
    }
    for list in ["discount_codes", "discount_applications", "tax_lines", "shipping_lines"] {
        if !touched(list) && body.get(list).is_some() {
            body[list] = json!([]);
        }
    }
    if !touched("line_items")
        && let Some(lines) = body.get_mut("line_items").and_then(Value::as_array_mut)
    {
        lines.truncate(1);
        for line in lines {
            line["quantity"] = json!(1);
            line["price"] = json!(text);
            line["total_discount"] = json!(zero);
            if line.get("discount_allocations").is_some() {
                line["discount_allocations"] = json!([]);
            }
        }
    }
}

/// The total, unless it was set to something that is none: then the body is sent as it is, to see what happens.
fn amount(body: &Value) -> Option<Money> {
    let currency = Currency::parse(body.get("currency")?.as_str()?).ok()?;
    let read = Money::parse_major(body.get("total_price")?.as_str()?, currency).ok()?;
    (!read.rounded).then_some(read.money)
}

/// Names the currency in every place of a body that names one.
fn recur(value: &mut Value, code: &str) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let names = matches!(name.as_str(), "currency" | "presentment_currency" | "currency_code");
                if names && value.is_string() {
                    *value = json!(code);
                } else {
                    recur(value, code);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| recur(value, code)),
        _ => {}
    }
}

/// One `--set`.
#[derive(Clone, PartialEq, Debug)]
struct Assignment {
    path: String,
    steps: Vec<Step>,
    /// The value as typed: an amount keeps its digits.
    text: String,
    value: Value,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Field(String),
    Index(usize),
}

impl Assignment {
    fn parse(text: &str) -> Result<Self, Error> {
        let not = || Error::NotAnAssignment(text.to_owned());
        let (path, value) = text.split_once('=').ok_or_else(not)?;
        let path = path.trim();
        let mut steps = Vec::new();
        for part in path.split('.') {
            let (field, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
            if field.is_empty() {
                return Err(not());
            }
            steps.push(Step::Field(field.to_owned()));
            if indices.is_empty() {
                continue;
            }
            let inner = indices.strip_prefix('[').and_then(|i| i.strip_suffix(']')).ok_or_else(not)?;
            for index in inner.split("][") {
                steps.push(Step::Index(index.parse().map_err(|_| not())?));
            }
        }
        let parsed = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        // Quotes make a string of what would be a number.
        let text = parsed.as_str().unwrap_or(value).to_owned();
        Ok(Self { path: path.to_owned(), steps, text, value: parsed })
    }

    fn apply(&self, body: &mut Value) -> Result<(), Error> {
        let wrong = |reason: String| Error::Path { path: self.path.clone(), reason };
        let mut place = body;
        for step in &self.steps {
            place = match step {
                Step::Field(name) => {
                    if place.is_null() {
                        *place = json!({});
                    }
                    let what = kind(place);
                    let object = place.as_object_mut();
                    let object =
                        object.ok_or_else(|| wrong(format!("'{name}' would be a field of {what}")))?;
                    object.entry(name.clone()).or_insert(Value::Null)
                }
                Step::Index(index) => {
                    if place.is_null() {
                        *place = json!([]);
                    }
                    let what = kind(place);
                    let list = place.as_array_mut();
                    let list =
                        list.ok_or_else(|| wrong(format!("[{index}] would be an element of {what}")))?;
                    let length = list.len();
                    if *index == length {
                        list.push(Value::Null);
                    }
                    list.get_mut(*index).ok_or_else(|| {
                        wrong(format!("the list has {length} elements, so the next is [{length}]"))
                    })?
                }
            };
        }
        *place = if self.value.is_number() && (place.is_string() || (place.is_null() && self.is_money())) {
            Value::String(self.text.clone())
        } else {
            self.value.clone()
        };
        Ok(())
    }

    /// True where both sources send a decimal string, so that a new field is no number either.
    fn is_money(&self) -> bool {
        let Some(Step::Field(name)) = self.steps.last() else { return false };
        let names = ["amount", "total_tax", "total_discount", "total_discounts", "total_spent"];
        name.ends_with("price") || names.contains(&name.as_str())
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a yes or no",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
