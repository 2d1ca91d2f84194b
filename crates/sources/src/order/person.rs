//! Who an order, a checkout or a customer is about: identifiers, contact data and reported totals.

use commerce::event::{self, Person};
use commerce::person::{self, Identifier, Kind};
use commerce::reason::Failure;
use commerce::{Currency, Source};

use super::body::{Address, Customer, Order};
use crate::json::Scalar;
use crate::read::{self, Reader};
use crate::{Raw, country, phone};

/// Where a body names somebody.
pub(crate) struct Named<'b, 'a> {
    /// The first that is valid identifies.
    pub(crate) emails: [Scalar<'a>; 3],
    /// The first that is there counts.
    pub(crate) phones: [Scalar<'a>; 2],
    pub(crate) customer: Option<&'b Customer<'a>>,
    /// The countries that a national number may belong to, in turn (R7.3).
    pub(crate) addresses: [Option<&'b Address<'a>>; 3],
}

impl<'b, 'a> Named<'b, 'a> {
    /// What an order or checkout names: its own fields, else those of its customer.
    pub(crate) fn by_purchase(
        source: Source,
        [email, contact_email, phone]: [Scalar<'a>; 3],
        customer: Option<&'b Customer<'a>>,
        [shipping, billing]: [Option<&'b Address<'a>>; 2],
    ) -> Self {
        let absent = Scalar::default();
        let (of_customer, customers_phone) =
            customer.map_or((absent, absent), |customer| (customer.email, customer.phone));
        Self {
            emails: match source {
                Source::Shopify => [email, of_customer, contact_email],
                _ => [email, contact_email, of_customer],
            },
            phones: [phone, customers_phone],
            customer,
            addresses: [shipping, billing, customer.and_then(|customer| customer.default_address.get())],
        }
    }
}

/// Reads the person of an order. `None`: nobody is named.
pub(crate) fn of_order(
    reader: &mut Reader,
    raw: &Raw<'_>,
    space: &str,
    order: &Order<'_>,
    currency: Currency,
) -> Result<Option<Person>, Failure> {
    let addresses = [order.shipping_address.get(), order.billing_address.get()];
    let contact = [order.email, order.contact_email, order.phone];
    let named = Named::by_purchase(raw.source, contact, order.customer.get(), addresses);
    of_purchase(reader, raw, space, &named, currency)
}

/// Reads the person of an order or checkout. `None`: nobody is named.
pub(crate) fn of_purchase(
    reader: &mut Reader,
    raw: &Raw<'_>,
    space: &str,
    named: &Named<'_, '_>,
    currency: Currency,
) -> Result<Option<Person>, Failure> {
    let mut found = identify(reader, raw, space, named, "customer.id")?;
    found.address = named.addresses.first().copied().flatten().and_then(address);
    if let Some(customer) = named.customer {
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

/// Reads identifiers, contact data and names.
pub(crate) fn identify(
    reader: &mut Reader,
    raw: &Raw<'_>,
    space: &str,
    named: &Named<'_, '_>,
    id_path: &str,
) -> Result<Person, Failure> {
    let mut found = Person::default();
    email(reader, named, &mut found);
    if let Some(customer) = named.customer
        && let Some(id) = read::id(customer.id, format_args!("{id_path}"))?
    {
        let kind = if raw.source == Source::Shopify { Kind::ShopifyCustomer } else { Kind::BackendCustomer };
        found.identifiers.push(Identifier { kind, space: space.to_owned(), value: id });
    }
    found.phone = named.phones.into_iter().find_map(Scalar::owned);
    if let Some(number) = &found.phone {
        match phone::e164(number, regions(raw, named)) {
            Some(number) => found.identifiers.push(Identifier::plain(Kind::Phone, number)),
            None => reader.flag("phone_unresolved"),
        }
    }
    if let Some(customer) = named.customer {
        found.first_name = customer.first_name.owned();
        found.last_name = customer.last_name.owned();
    }
    Ok(found)
}

/// The first valid address identifies; an invalid one is kept as it is.
fn email(reader: &mut Reader, named: &Named<'_, '_>, found: &mut Person) {
    for text in named.emails.into_iter().filter_map(Scalar::text) {
        if let Some(email) = person::email(&text) {
            found.identifiers.push(Identifier::plain(Kind::Email, email));
            found.email = Some(text.into_owned());
            return;
        }
        reader.flag("email_invalid");
        found.email.get_or_insert_with(|| text.into_owned());
    }
}

fn regions<'a>(raw: &'a Raw<'_>, named: &'a Named<'_, '_>) -> impl Iterator<Item = String> + 'a {
    let of_addresses = named.addresses.into_iter().flatten().filter_map(country::of);
    of_addresses.chain(raw.workspace.phone_region.clone())
}

/// Reads an address; `None` when it says nothing.
pub(crate) fn address(address: &Address<'_>) -> Option<event::Address> {
    let found = event::Address {
        city: address.city.owned(),
        zip: address.zip.owned(),
        province: address.province.owned(),
        country: address.country.owned(),
        country_code: country::of(address),
    };
    (found != event::Address::default()).then_some(found)
}
