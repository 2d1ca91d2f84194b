//! The checkout body that Shopify and the custom backend share, to the canonical events: that of the checkout, and
//! that of the customer inside it.

use commerce::event::{Activity, Channel, Context, Entity, EventName, Payload, Person};
use commerce::person::{Identifier, Kind};
use commerce::reason::Failure;
use commerce::{Currency, EventTime, Mark, Source};

use crate::customer::{self, consent};
use crate::envelope::{self, Draft};
use crate::json::{List, Maybe, Scalar, object};
use crate::order::body::{Address, Customer, DiscountCode, Line, NoteAttribute};
use crate::order::person::{self, Named};
use crate::order::{Delivery, content, observe};
use crate::read::{self, Reader};
use crate::{Item, Raw, country};

object! {
    /// A checkout.
    Checkout<'a> {
        id: Scalar<'a>,
        token: Scalar<'a>,
        cart_token: Scalar<'a>,
        order_id: Scalar<'a>,
        abandoned_checkout_url: Scalar<'a>,
        buyer_accepts_marketing: Scalar<'a>,
        buyer_accepts_sms_marketing: Scalar<'a>,
        completed_at: Scalar<'a>,
        contact_email: Scalar<'a>,
        created_at: Scalar<'a>,
        currency: Scalar<'a>,
        discount_codes: List<DiscountCode<'a>>,
        email: Scalar<'a>,
        landing_site: Scalar<'a>,
        note_attributes: List<NoteAttribute<'a>>,
        phone: Scalar<'a>,
        referring_site: Scalar<'a>,
        subtotal_price: Scalar<'a>,
        test: Scalar<'a>,
        total_price: Scalar<'a>,
        updated_at: Scalar<'a>,
        billing_address: Maybe<Address<'a>>,
        customer: Maybe<Customer<'a>>,
        line_items: List<Line<'a>>,
        shipping_address: Maybe<Address<'a>>,
    }
}

/// Reads a checkout into its event, and into that of the customer inside it.
pub(crate) fn events(
    raw: &Raw<'_>,
    delivery: Delivery<'_>,
    checkout: &Checkout<'_>,
    mut reader: Reader,
) -> Result<Vec<Item>, Failure> {
    let token = read::id(checkout.token, format_args!("token"))?;
    let own = read::id(checkout.id, format_args!("id"))?;
    let id = observe::required(own.or_else(|| token.clone()), "id")?;
    let created = reader.time(checkout.created_at, format_args!("created_at"))?;
    let updated = reader.time(checkout.updated_at, format_args!("updated_at"))?;
    let occurred_at = match (delivery.event, raw.source) {
        (EventName::CheckoutStarted, Source::Shopify) => created.or(updated),
        (EventName::CheckoutStarted, _) => Some(observe::required(created, "created_at")?),
        (_, Source::Shopify) => updated.or(created),
        _ => Some(observe::required(updated, "updated_at")?),
    };
    let version = updated.or(created);
    if raw.source != Source::Shopify {
        flag_expected(&mut reader, checkout);
    }
    let currency =
        observe::required(read::currency(checkout.currency, format_args!("currency"))?, "currency")?;
    let activity = Activity {
        version,
        checkout_id: Some(id.clone()),
        started_at: created,
        ..activity(&mut reader, raw.source, checkout, currency)?
    };
    let test = checkout.test.is_true();

    let addresses = [checkout.shipping_address.get(), checkout.billing_address.get()];
    let contact = [checkout.email, checkout.contact_email, checkout.phone];
    let named = Named::by_purchase(raw.source, contact, checkout.customer.get(), addresses);
    if is_anonymous(&named) {
        reader.flag("anonymous_checkout");
    }
    let mut person = person::of_purchase(&mut reader, raw, delivery.space, &named, currency)?;
    let around = customer::Around { id: &id, version, test };
    let customer = customer::embedded(raw, delivery, &around, person.as_ref(), named.customer);
    if let Some(person) = &mut person {
        customer::date_totals(person, version.unwrap_or(raw.received_at.as_event()));
        let said = customer.as_ref().and_then(|customer| customer.person.as_ref());
        for (accepts, channel) in [
            (checkout.buyer_accepts_marketing, Channel::Email),
            (checkout.buyer_accepts_sms_marketing, Channel::Sms),
        ] {
            if accepts.is_true() {
                consent::of_buyer(person, said, channel, version);
            }
        }
    }
    // The cart is whose checkout it is while nobody else is named, and by which it is found later (D-LIFE-4).
    if let Some(cart) = &activity.cart_id {
        let cart = Identifier { kind: Kind::Cart, space: delivery.space.to_owned(), value: cart.clone() };
        person.get_or_insert_with(Person::default).identifiers.push(cart);
    }

    let counts_as_test = test && raw.workspace.is_production();
    let said = |at: Option<EventTime>| at.map_or(i64::MIN, |at| at.0).to_le_bytes();
    let semantic = Mark::of(&[
        raw.source.as_str().as_bytes(),
        raw.workspace.id.as_str().as_bytes(),
        delivery.space.as_bytes(),
        delivery.source_event.as_bytes(),
        b"checkout",
        id.as_bytes(),
        said(occurred_at).as_slice(),
        said(version).as_slice(),
        &content::of_activity(&activity, person.as_ref(), raw.received_at, counts_as_test),
    ]);
    let aliases = token.filter(|token| *token != id).map(|token| format!("token:{token}"));
    let entity = Entity { r#type: "checkout".to_owned(), id, aliases: aliases.into_iter().collect() };
    let draft = Draft {
        occurred_at,
        person,
        payload: Payload { activity: Some(activity), ..Payload::default() },
        test,
        ..Draft::new(
            delivery.event,
            delivery.source_event,
            delivery.space,
            entity,
            (delivery.transport, semantic),
        )
    };
    let mut items = vec![Ok(envelope::seal(raw, draft, reader))];
    items.extend(customer.map(Ok));
    Ok(items)
}

/// What the body says of the checkout itself, besides its id and times.
fn activity(
    reader: &mut Reader,
    source: Source,
    checkout: &Checkout<'_>,
    currency: Currency,
) -> Result<Activity, Failure> {
    let value = reader.money(checkout.total_price, currency, format_args!("total_price"))?;
    let items = observe::items(reader, source, &checkout.line_items, observe::Lines::OfCheckout, currency)?;
    let country = [checkout.shipping_address.get(), checkout.billing_address.get()]
        .into_iter()
        .flatten()
        .find_map(country::of);
    Ok(Activity {
        cart_id: read::loose_id(checkout.cart_token),
        // The kinds are those of an order's links, so that both are found by the same names.
        links: observe::named_links([
            ("checkout", checkout.id),
            ("checkout_token", checkout.token),
            ("cart", checkout.cart_token),
            ("order", checkout.order_id),
        ]),
        currency: Some(currency),
        value: Some(observe::required(value, "total_price")?),
        items,
        coupon_codes: observe::coupon_codes(&checkout.discount_codes),
        campaign: observe::campaign(
            checkout.referring_site,
            checkout.landing_site,
            &checkout.note_attributes,
        ),
        context: country.map(|country| Context { country: Some(country), ..Context::default() }),
        recovery_url: checkout.abandoned_checkout_url.owned(),
        completed_at: reader.time(checkout.completed_at, format_args!("completed_at"))?,
        ..Activity::default()
    })
}

/// True when nobody could be written to: no e-mail, no phone and no customer (D-LIFE-4).
fn is_anonymous(named: &Named<'_, '_>) -> bool {
    let id = named.customer.map_or_else(Scalar::default, |customer| customer.id);
    !named.emails.into_iter().chain(named.phones).chain([id]).any(Scalar::is_present)
}

/// Flags the expected fields of the backend's checkout that are absent.
fn flag_expected(reader: &mut Reader, checkout: &Checkout<'_>) {
    if !checkout.subtotal_price.is_present() {
        reader.missing(format_args!("subtotal_price"));
    }
    if !checkout.line_items.is_present() {
        reader.missing(format_args!("line_items"));
    }
    observe::flag_expected_address(reader, &checkout.shipping_address);
}
