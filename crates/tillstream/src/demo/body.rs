//! The JSON bodies that shops send: an order as it stands at one instant, in the form of the contracts' samples. Those of
//! the other sources are in [`elsewhere`].

pub(super) mod elsewhere;

use commerce::{Currency, EventTime, Money, Source, time};
use serde_json::{Value, json};

/// Who is named in an order.
#[derive(Clone, Debug, Default)]
pub(super) struct Buyer {
    pub(super) first_name: &'static str,
    pub(super) last_name: &'static str,
    /// As typed, so perhaps in capitals.
    pub(super) email: Option<String>,
    /// Absent for one who bought without an account.
    pub(super) customer_id: Option<i64>,
    /// The id of an account of the workspace's own.
    pub(super) user_id: Option<String>,
    pub(super) place: Place,
}

/// Where an order goes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) city: &'static str,
    pub(super) zip: &'static str,
    pub(super) province: &'static str,
    pub(super) country: &'static str,
    pub(super) code: &'static str,
}

/// Something that is sold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Product {
    pub(super) id: i64,
    pub(super) title: &'static str,
    pub(super) variant: &'static str,
    pub(super) sku: &'static str,
    /// Minor units.
    pub(super) price: i64,
}

/// A line of an order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    pub(super) product: Product,
    pub(super) quantity: i64,
}

/// A refund as it is told.
#[derive(Clone, Debug)]
pub(super) struct Refund {
    pub(super) id: i64,
    pub(super) at: EventTime,
    /// What went back, per transaction.
    pub(super) transactions: Vec<i64>,
    /// A transaction that failed, which takes nothing back.
    pub(super) failed: Option<i64>,
}

/// An order as it stands at one instant.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) source: Source,
    pub(super) id: i64,
    pub(super) number: i64,
    pub(super) currency: Currency,
    pub(super) test: bool,
    pub(super) buyer: Buyer,
    pub(super) campaign: &'static str,
    /// Where the shopper sat, as far as the source says.
    pub(super) device: Option<&'static str>,
    pub(super) created_at: EventTime,
    pub(super) updated_at: EventTime,
    /// When the payment went through, where the system says so.
    pub(super) processed_at: Option<EventTime>,
    pub(super) cancelled_at: Option<EventTime>,
    pub(super) financial: &'static str,
    pub(super) fulfillment: Option<&'static str>,
    pub(super) tags: String,
    pub(super) lines: Vec<Line>,
    pub(super) coupon: Option<&'static str>,
    pub(super) discount: i64,
    pub(super) shipping: i64,
    pub(super) tax: i64,
    pub(super) refunds: Vec<Refund>,
}

impl Snapshot {
    /// The id by which its source knows the order: no two sources share one.
    pub(super) fn order_id(&self) -> String {
        let own = [
            (Source::Sequenzy, "push-"),
            (Source::Analytics, "web-"),
            (Source::Customerio, "app-"),
            (Source::Records, "till-"),
        ];
        let prefix = own.into_iter().find(|(source, _)| *source == self.source);
        format!("{}{}", prefix.map_or("", |(_, prefix)| prefix), self.id)
    }

    /// Sum of the lines.
    pub(super) fn lines_total(&self) -> i64 {
        self.lines.iter().map(|line| line.product.price * line.quantity).sum()
    }

    /// What the shopper pays.
    pub(super) fn total(&self) -> i64 {
        self.lines_total() - self.discount + self.shipping + self.tax
    }

    /// How many pieces.
    pub(super) fn pieces(&self) -> i64 {
        self.lines.iter().map(|line| line.quantity).sum()
    }

    pub(super) fn money(&self, minor: i64) -> String {
        Money::new(minor, self.currency).to_major()
    }

    fn money_set(&self, minor: i64) -> Value {
        let money = json!({"amount": self.money(minor), "currency_code": self.currency.as_str()});
        json!({"shop_money": money, "presentment_money": money})
    }

    /// The instant in the offset of the shop, to the second.
    fn time(&self, at: EventTime) -> String {
        let (seconds, suffix) = match self.source {
            Source::Shopify => (-5 * 3600, "-05:00"),
            _ => (3600, "+01:00"),
        };
        let local = EventTime(at.0.saturating_add(seconds * time::SECOND)).to_rfc3339();
        format!("{}{suffix}", local.trim_end_matches('Z'))
    }

    /// The order as JSON.
    pub(super) fn order(&self) -> Value {
        let id = self.id;
        let mut order = json!({
            "id": id,
            "admin_graphql_api_id": format!("gid://shopify/Order/{id}"),
            "buyer_accepts_marketing": false,
            "cancel_reason": self.cancelled_at.map(|_| "customer"),
            "cancelled_at": self.cancelled_at.map(|at| self.time(at)),
            "checkout_id": id + 30_000_000_000_i64,
            "checkout_token": format!("{:032x}", id.wrapping_mul(0x1234_5677)),
            "confirmed": true,
            "contact_email": self.buyer.email,
            "created_at": self.time(self.created_at),
            "customer": self.customer(),
            "customer_locale": "en",
            "email": self.buyer.email,
            "financial_status": self.financial,
            "fulfillment_status": self.fulfillment,
            "landing_site": format!("/?utm_source=newsletter&utm_medium=email&utm_campaign={}", self.campaign),
            "name": self.name(),
            "note": "",
            "note_attributes": [{"name": "Channel", "value": "Web"}],
            "order_number": self.number,
            "phone": null,
            "processed_at": self.processed_at.map(|at| self.time(at)),
            "referring_site": "https://search.example.com/",
            "shipping_address": self.address(),
            "source_name": "web",
            "tags": self.tags,
            "taxes_included": false,
            "test": self.test,
            "token": format!("{:032x}", id.wrapping_mul(0x7654_3211)),
            "updated_at": self.time(self.updated_at),
        });
        if let (Some(order), Value::Object(amounts)) = (order.as_object_mut(), self.amounts()) {
            order.extend(amounts);
            if self.source != Source::Shopify {
                order.remove("admin_graphql_api_id");
                // The custom backend leaves out what it doesn't know, and says that with no key at all.
                if self.processed_at.is_none() {
                    order.remove("processed_at");
                }
            }
        }
        order
    }

    /// The part of the order that is about goods and money.
    fn amounts(&self) -> Value {
        json!({
            "currency": self.currency.as_str(),
            "current_total_price": self.money(self.total()),
            "discount_codes": self.coupon.iter().map(|code| json!({
                "code": code, "amount": self.money(self.discount), "type": "percentage",
            })).collect::<Vec<_>>(),
            "line_items": self.lines.iter().enumerate().map(|(i, line)| self.line(i, line)).collect::<Vec<_>>(),
            "presentment_currency": self.currency.as_str(),
            "refunds": self.refunds.iter().map(|refund| self.refund(refund)).collect::<Vec<_>>(),
            "subtotal_price": self.money(self.lines_total() - self.discount),
            "total_discounts": self.money(self.discount),
            "total_line_items_price": self.money(self.lines_total()),
            "total_price": self.money(self.total()),
            "total_price_set": self.money_set(self.total()),
            "total_shipping_price_set": self.money_set(self.shipping),
            "total_tax": self.money(self.tax),
        })
    }

    /// `#1001` at Shopify. The custom backend numbers in a way of its own, so that the two are never one order.
    fn name(&self) -> String {
        if self.source == Source::Shopify {
            format!("#{}", self.number)
        } else {
            format!("B-{}", self.number)
        }
    }

    /// A refund with its transactions.
    pub(super) fn refund(&self, refund: &Refund) -> Value {
        let transaction = |index: i64, minor: i64, status: &str| {
            json!({
                "id": refund.id * 10 + index,
                "order_id": self.id,
                "kind": "refund",
                "status": status,
                "amount": self.money(minor),
                "currency": self.currency.as_str(),
                "gateway": "shopify_payments",
                "created_at": self.time(refund.at),
            })
        };
        let mut transactions: Vec<Value> = Vec::new();
        // The failed one comes first: whoever reads only the first transaction gets it wrong.
        transactions.extend(refund.failed.map(|minor| transaction(0, minor, "failure")));
        transactions.extend(refund.transactions.iter().zip(1..).map(|(m, i)| transaction(i, *m, "success")));
        json!({
            "id": refund.id,
            "order_id": self.id,
            "created_at": self.time(refund.at),
            "note": "",
            "restock": true,
            "refund_line_items": [],
            "transactions": transactions,
        })
    }

    fn line(&self, index: usize, line: &Line) -> Value {
        let Product { id, title, variant, sku, price } = line.product;
        json!({
            "id": self.id.wrapping_mul(10).wrapping_add_unsigned(index as u64),
            "fulfillable_quantity": line.quantity,
            "fulfillment_service": "manual",
            "gift_card": false,
            "grams": 151,
            "name": format!("{title} - {variant}"),
            "price": self.money(price),
            "product_exists": true,
            "product_id": id,
            "properties": [],
            "quantity": line.quantity,
            "requires_shipping": true,
            "sku": sku,
            "taxable": true,
            "title": title,
            "total_discount": self.money(0),
            "variant_id": id * 10 + 1,
            "variant_title": variant,
            "vendor": "Example Goods",
            "discount_allocations": [],
        })
    }

    fn customer(&self) -> Value {
        let Some(id) = self.buyer.customer_id else { return Value::Null };
        json!({
            "id": id,
            "email": self.buyer.email,
            "first_name": self.buyer.first_name,
            "last_name": self.buyer.last_name,
            "phone": null,
            "state": "disabled",
            "verified_email": true,
            "tags": "",
            "currency": self.currency.as_str(),
            "email_marketing_consent": {"state": "not_subscribed", "opt_in_level": "single_opt_in"},
            "sms_marketing_consent": null,
        })
    }

    fn address(&self) -> Value {
        let Place { city, zip, province, country, code } = self.buyer.place;
        json!({
            "first_name": self.buyer.first_name,
            "last_name": self.buyer.last_name,
            "address1": "1 Example Street",
            "phone": null,
            "city": city,
            "zip": zip,
            "province": province,
            "country": country,
            "country_code": code,
        })
    }
}
