//! The fields that events of all types share.

use std::borrow::Cow;
use std::collections::BTreeMap;

use commerce::event::{Campaign, Context, Item as Line, Person};
use commerce::person::{Identifier, Kind as Identity};
use commerce::reason::Failure;
use commerce::{Currency, Reason};

use super::body::{self, Named, Tracked};
use super::normalize::Around;
use super::properties::Properties;
use crate::json;
use crate::read::{self, Reader};

pub(super) fn person(user: Option<&str>, cart: Option<&str>) -> Option<Person> {
    let user = user.map(|id| Identifier::plain(Identity::User, id));
    let cart = cart.map(|id| Identifier::plain(Identity::Cart, id));
    let identifiers: Vec<_> = user.into_iter().chain(cart).collect();
    (!identifiers.is_empty()).then(|| Person { identifiers, ..Person::default() })
}

pub(super) fn campaign<'a>(event: &Tracked<'a>, properties: &mut Properties<'a>) -> Option<Campaign> {
    let found = Campaign {
        campaign: properties.take_unless(event.campaign, "campaign"),
        source: properties.take_unless(event.source, "source"),
        medium: properties.take_unless(event.medium, "medium"),
        referrer: None,
    };
    (found != Campaign::default()).then_some(found)
}

/// Where the shopper sat: what the event says, else what its `User-Agent` and the proxy's header do.
pub(super) fn context<'a>(
    event: &Tracked<'a>,
    properties: &mut Properties<'a>,
    around: &Around<'_>,
    reader: &mut Reader,
) -> Option<Context> {
    let lower = |text: String| text.to_lowercase();
    let device = properties.take_unless(event.device_type, "device_type").map(lower);
    let platform = properties.take_unless(event.platform, "platform").map(lower);
    let is_said = event.country.is_present() || properties.has("country");
    let own = event.country.text().filter(|text| is_country(text)).map(Cow::into_owned);
    let country = own.or_else(|| properties.take_if("country", is_country));
    if is_said && country.is_none() {
        reader.flag("country_unknown");
    }
    let of_proxy = || around.country.map(str::trim).filter(|text| is_country(text)).map(str::to_owned);
    let found = Context {
        device: device.or_else(|| around.agent.device.map(str::to_owned)),
        platform: platform.or_else(|| around.agent.platform.map(str::to_owned)),
        country: country.or_else(of_proxy).map(|code| code.to_ascii_uppercase()),
    };
    (found != Context::default()).then_some(found)
}

/// True for a code of two letters; proxies say `XX` where they don't know.
fn is_country(text: &str) -> bool {
    text.len() == 2
        && text.bytes().all(|b| b.is_ascii_alphabetic())
        && !["XX", "ZZ"].iter().any(|nowhere| text.eq_ignore_ascii_case(nowhere))
}

/// Reads the items. What has no place among the lines of an event becomes a property, `items[0].item_list_name`.
pub(super) fn lines(
    event: &Tracked<'_>,
    default: Currency,
    reader: &mut Reader,
    extra: &mut BTreeMap<String, String>,
) -> Result<Option<Vec<Line>>, Failure> {
    if !event.items.is_present() {
        return Ok(None);
    }
    let mut lines = Vec::new();
    for (index, item) in event.items.objects() {
        let named = Named::read(item.currency);
        if named == Named::Unknown {
            reader.flag("currency_unknown");
        }
        let currency = named.or(default);
        let path = |field: &str| format!("items[{index}].{field}");
        let price = reader.money(item.price, currency, format_args!("items[{index}].price"))?;
        let discount = reader.money(item.discount, currency, format_args!("items[{index}].discount"))?;
        let quantity = read::count(item.quantity, format_args!("")).unwrap_or_else(|_| {
            // The total is the truth (D-ANA-3): an odd quantity is not worth an order.
            reader.flag(&format!("bad_value:{}", path("quantity")));
            None
        });
        for (value, field) in [
            (item.item_list_name, "item_list_name"),
            (item.item_list_id, "item_list_id"),
            (item.item_image_url, "item_image_url"),
            (item.coupon_code, "coupon_code"),
        ] {
            if let Some(text) = value.text() {
                extra.insert(path(field), json::quoted(&text));
            }
        }
        lines.push(Line {
            product_id: Some(body::required_id(item.item_id, &path("item_id"), Reason::MissingField)?),
            title: item.item_name.owned(),
            variant_title: item.item_variant.owned(),
            quantity: quantity.unwrap_or(1),
            price,
            discount,
            category: item.item_category.owned(),
            brand: item.item_brand.owned(),
            ..nothing()
        });
    }
    Ok(Some(lines))
}

/// A line of one unknown thing.
pub(super) fn nothing() -> Line {
    Line {
        product_id: None,
        variant_id: None,
        sku: None,
        title: None,
        variant_title: None,
        quantity: 1,
        price: None,
        discount: None,
        category: None,
        brand: None,
        allocations: Vec::new(),
    }
}
