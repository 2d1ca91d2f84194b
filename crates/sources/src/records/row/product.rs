//! A row of `product_events`: what somebody did with a product.

use commerce::event::{Activity, Item, Payload};
use commerce::id::LONGEST_ID;
use commerce::reason::Failure;
use commerce::{EventName, Money, Reason};

use super::{Context, Row, by_email, currency, instant, money, properties, required};
use crate::envelope::entity;
use crate::json::{Bag, Value};
use crate::read::{self, Reader};

pub(super) const FIELDS: &[&str] = &[
    "event_type",
    "product_id",
    "customer_email",
    "product_name",
    "variant_id",
    "price",
    "quantity",
    "line_total",
    "currency",
    "occurred_at",
];

pub(super) fn read(reader: &mut Reader, context: Context<'_>, record: &Bag<'_>) -> Result<Row, Failure> {
    let event_type = event_type(record)?;
    let event = match event_type.to_ascii_lowercase().as_str() {
        "product_view" => EventName::ProductViewed,
        "add_to_cart" => EventName::CartItemAdded,
        "back_in_stock_requested" => EventName::BackInStockRequested,
        _ => EventName::CustomTracked,
    };
    let id = required(read::id(record.get("product_id"), format_args!("product_id"))?, "product_id")?;
    let quantity = read::count(record.get("quantity"), format_args!("quantity"))?.unwrap_or(1);

    let mut activity = Activity::default();
    let mut price = None;
    let amounts = ["price", "line_total"].iter().any(|field| record.get(field).is_present());
    if amounts || record.get("currency").is_present() {
        let currency = currency(reader, context, record)?;
        activity.currency = Some(currency);
        price = money(reader, record, "price", currency)?;
        let said = money(reader, record, "line_total", currency)?;
        activity.value = line_total(reader, event, price, quantity, said)?;
    }
    activity.items = Some(vec![Item {
        product_id: Some(id.clone()),
        variant_id: read::loose_id(record.get("variant_id")),
        sku: None,
        title: record.get("product_name").owned(),
        variant_title: None,
        quantity,
        price,
        discount: None,
        category: None,
        brand: None,
        allocations: Vec::new(),
    }]);
    Ok(Row {
        occurred_at: instant(reader, record, "occurred_at")?,
        person: by_email(reader, record),
        payload: Payload {
            activity: Some(activity),
            properties: properties(record, FIELDS),
            ..Payload::default()
        },
        ..Row::new(event, event_type, entity("product", id))
    })
}

fn event_type(record: &Bag<'_>) -> Result<String, Failure> {
    let bad = |message: &str| Err(Failure::at(Reason::BadValue, "event_type", message));
    match record.get("event_type").value() {
        Value::Absent => required(None, "event_type"),
        Value::Text(name) if name.len() <= LONGEST_ID => Ok(name.into_owned()),
        Value::Text(_) => bad("the name is longer than 512 bytes"),
        Value::Number(_) | Value::Bool(_) | Value::Other => bad("it is not a name"),
    }
}

/// What the line is worth: as the row says, else price times quantity. A view is worth nothing by itself.
fn line_total(
    reader: &mut Reader,
    event: EventName,
    price: Option<Money>,
    quantity: i64,
    said: Option<Money>,
) -> Result<Option<Money>, Failure> {
    let product = price.map(|price| {
        let minor = price.minor.checked_mul(quantity).unwrap_or(i64::MAX);
        Money::checked(minor, price.currency)
            .map_err(|error| Failure::at(Reason::BadMoney, "quantity", error.to_string()))
    });
    match (said, product) {
        (Some(said), Some(product)) => {
            if product != Ok(said) {
                reader.flag("line_total_mismatch");
            }
            Ok(Some(said))
        }
        (Some(said), None) => Ok(Some(said)),
        (None, Some(product)) if event == EventName::CartItemAdded => product.map(Some),
        (None, _) => Ok(None),
    }
}
