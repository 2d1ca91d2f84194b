//! The same order as the other sources tell it: pushed by a marketplace, bought on the web, bought in the app, rung up at
//! the till.

use commerce::{EventTime, time};
use serde_json::{Value, json};

use super::{Line, Snapshot};

/// An amount as a JSON number, made of its digits and never of a float: [`to_bytes`] takes the brackets off.
fn number(text: &str) -> Value {
    Value::String(format!("⟨{text}⟩"))
}

/// A body with its amounts as numbers.
pub(in crate::demo) fn to_bytes(body: &Value) -> Vec<u8> {
    body.to_string().replace("\"⟨", "").replace("⟩\"", "").into_bytes()
}

pub(in crate::demo) const fn unix(at: EventTime) -> i64 {
    at.0.div_euclid(time::SECOND)
}

/// Lines as the Track API takes them.
pub(in crate::demo) fn tracked_lines(order: &Snapshot) -> Value {
    let line = |line: &Line| {
        json!({
            "product_id": line.product.id.to_string(), "sku": line.product.sku, "name": line.product.title,
            "quantity": line.quantity, "price": order.number(line.product.price),
        })
    };
    order.lines.iter().map(line).collect()
}

impl Snapshot {
    pub(in crate::demo) fn number(&self, minor: i64) -> Value {
        number(&self.money(minor))
    }

    /// A push. `refunded` is the sum so far; `None` of a refund: all that is left.
    pub(in crate::demo) fn push(&self, status: &str, refunded: Option<i64>) -> Value {
        let item = |line: &Line| {
            json!({
                "productId": line.product.id.to_string(), "title": line.product.title, "sku": line.product.sku,
                "variantTitle": line.product.variant, "quantity": line.quantity, "priceCents": line.product.price,
            })
        };
        let mut body = json!({
            "orderId": self.order_id(),
            "orderNumber": format!("P-{}", self.number),
            "status": status,
            "totalCents": self.total(),
            "currency": self.currency.as_str(),
            "orderedAt": self.updated_at.to_rfc3339(),
            "customer": {
                "email": self.buyer.email, "externalId": self.buyer.user_id,
                "firstName": self.buyer.first_name, "lastName": self.buyer.last_name,
            },
            "items": self.lines.iter().map(item).collect::<Vec<_>>(),
            "properties": {"channel": "marketplace"},
        });
        if let Some(refunded) = refunded {
            body["refundAmountCents"] = json!(refunded);
        }
        body
    }

    /// Items as the analytics API takes them.
    pub(in crate::demo) fn web_items(&self) -> Value {
        self.lines.iter().map(|line| web_item(line, self)).collect()
    }

    /// A purchase on the web.
    pub(in crate::demo) fn purchase(&self, event_id: &str, cart: &str) -> Value {
        json!({
            "event_type": "purchase",
            "event_id": event_id,
            "timestamp": self.updated_at.to_rfc3339(),
            "transaction_id": self.order_id(),
            "revenue": self.number(self.total()),
            "currency": self.currency.as_str(),
            "discount": self.number(self.discount),
            "shipping": self.number(self.shipping),
            "tax": self.number(self.tax),
            "user_id": self.buyer.user_id,
            "cart_id": cart,
            "coupon_code": self.coupon,
            "items": self.web_items(),
            "campaign": self.campaign,
            "source": "newsletter",
            "medium": "email",
            "properties": {
                "device_type": self.device, "country": self.buyer.place.code,
                "platform": if self.device == Some("desktop") { "web" } else { "ios" },
            },
        })
    }

    /// Money that went back for it.
    pub(in crate::demo) fn web_refund(&self, event_id: &str, refund: usize, amount: i64) -> Value {
        json!({
            "event_type": "refund",
            "event_id": event_id,
            "timestamp": self.updated_at.to_rfc3339(),
            "transaction_id": self.order_id(),
            "revenue": self.number(amount),
            "currency": self.currency.as_str(),
            "user_id": self.buyer.user_id,
            "properties": {"refund_id": format!("r{refund}")},
        })
    }

    /// An event of the app about the order: `order_paid` or `order_fulfilled`.
    pub(in crate::demo) fn app_event(&self, name: &str, id: &str) -> Value {
        let mut data = json!({"order_id": self.order_id(), "currency": self.currency.as_str()});
        if name == "order_paid" {
            data = json!({
                "order_id": self.order_id(), "currency": self.currency.as_str(),
                "total": self.number(self.total()), "line_items": tracked_lines(self),
                "discount": self.number(self.discount), "shipping": self.number(self.shipping),
                "tax": self.number(self.tax), "coupon": self.coupon, "campaign": self.campaign,
            });
        }
        json!({"name": name, "id": id, "timestamp": unix(self.updated_at), "data": data})
    }

    /// A row of the till: the order as it stands. `refunded` is the sum so far.
    pub(in crate::demo) fn row(&self, refunded: i64) -> Value {
        let financial = match refunded {
            0 => "paid",
            sum if sum >= self.total() => "refunded",
            _ => "partially_refunded",
        };
        let mut record = json!({
            "order_id": self.order_id(),
            "customer_email": self.buyer.email,
            "total": self.number(self.total()),
            "subtotal": self.number(self.lines_total()),
            "discount_total": self.number(self.discount),
            "currency": self.currency.as_str(),
            "item_count": self.pieces(),
            "financial_status": financial,
            "fulfillment_status": self.fulfillment,
            "placed_at": self.created_at.to_rfc3339(),
            "updated_at": self.updated_at.to_rfc3339(),
            "tags": "till",
        });
        if refunded > 0 {
            record["refund_total"] = self.number(refunded);
        }
        json!({"record": record})
    }
}

/// One item as the analytics API takes it.
pub(in crate::demo) fn web_item(line: &Line, order: &Snapshot) -> Value {
    json!({
        "item_id": line.product.id.to_string(), "item_name": line.product.title,
        "item_variant": line.product.variant, "price": order.number(line.product.price),
        "quantity": line.quantity,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_number_with_the_digits_that_it_was_given() {
        let body = json!({"total": number("1234567890123.10"), "name": "a ⟨b⟩ c"});
        assert_eq!(to_bytes(&body), "{\"name\":\"a ⟨b⟩ c\",\"total\":1234567890123.10}".as_bytes());
    }
}
