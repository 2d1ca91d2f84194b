//! Who an order is about: identifiers, contact data and reported totals.

use commerce::event::{Address, Person};
use commerce::person::{self, Identifier, Kind};
use commerce::reason::Failure;
use commerce::{Currency, Source};

use super::body;
use crate::json::Scalar;
use crate::read::{self, Reader};
use crate::{Raw, phone};

/// Reads the person of an order. `None`: nobody is named.
pub(crate) fn of_order(
    reader: &mut Reader,
    raw: &Raw<'_>,
    space: &str,
    order: &body::Order<'_>,
    currency: Currency,
) -> Result<Option<Person>, Failure> {
    let mut found = Person::default();
    let customer = order.customer.get();
    let of_customer = |field: fn(&body::Customer<'_>) -> Option<String>| customer.and_then(field);

    email(reader, raw.source, order, &mut found);
    if let Some(customer) = customer
        && let Some(id) = read::id(customer.id, format_args!("customer.id"))?
    {
        let kind = if raw.source == Source::Shopify { Kind::ShopifyCustomer } else { Kind::BackendCustomer };
        found.identifiers.push(Identifier { kind, space: space.to_owned(), value: id });
    }
    found.phone = order.phone.owned().or_else(|| of_customer(|customer| customer.phone.owned()));
    if let Some(number) = &found.phone {
        match phone::e164(number, regions(raw, order)) {
            Some(number) => found.identifiers.push(Identifier::plain(Kind::Phone, number)),
            None => reader.flag("phone_unresolved"),
        }
    }
    found.address = order.shipping_address.get().and_then(address);
    if let Some(customer) = customer {
        found.first_name = customer.first_name.owned();
        found.last_name = customer.last_name.owned();
        match read::count(customer.orders_count, format_args!("")) {
            Ok(count) => found.reported_orders_count = count,
            // A total that a shop reports about a customer is not worth an order.
            Err(_) => reader.flag("bad_value:customer.orders_count"),
        }
        if customer.total_spent.is_present() {
            let own = read::currency(customer.currency, format_args!("customer.currency"))?;
            found.reported_total_spent = reader.money(
                customer.total_spent,
                own.unwrap_or(currency),
                format_args!("customer.total_spent"),
            )?;
        }
    }
    Ok((found != Person::default()).then_some(found))
}

/// The first valid address identifies; an invalid one is kept as it is.
fn email(reader: &mut Reader, source: Source, order: &body::Order<'_>, found: &mut Person) {
    let of_customer = order.customer.get().map_or_else(Scalar::default, |customer| customer.email);
    let candidates = match source {
        Source::Shopify => [order.email, of_customer, order.contact_email],
        _ => [order.email, order.contact_email, of_customer],
    };
    for text in candidates.into_iter().filter_map(Scalar::text) {
        if let Some(email) = person::email(&text) {
            found.identifiers.push(Identifier::plain(Kind::Email, email));
            found.email = Some(text.into_owned());
            return;
        }
        reader.flag("email_invalid");
        found.email.get_or_insert_with(|| text.into_owned());
    }
}

/// The countries that a national number may belong to, in turn (R7.3).
fn regions<'a>(raw: &'a Raw<'_>, order: &'a body::Order<'_>) -> impl Iterator<Item = String> + 'a {
    let of_address = |address: Option<&body::Address<'_>>| address.and_then(country_code);
    let default = order.customer.get().and_then(|customer| customer.default_address.get());
    [order.shipping_address.get(), order.billing_address.get(), default]
        .into_iter()
        .filter_map(of_address)
        .chain(raw.workspace.phone_region.clone())
}

/// The ISO 3166 alpha-2 code of an address, upper-case.
pub(crate) fn country_code(address: &body::Address<'_>) -> Option<String> {
    let code = address.country_code.text()?;
    (code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphabetic())).then(|| code.to_ascii_uppercase())
}

fn address(address: &body::Address<'_>) -> Option<Address> {
    let found = Address {
        city: address.city.owned(),
        zip: address.zip.owned(),
        province: address.province.owned(),
        country: address.country.owned(),
        country_code: country_code(address),
    };
    (found != Address::default()).then_some(found)
}
