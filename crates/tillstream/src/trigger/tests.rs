use super::*;

const NOW: EventTime = EventTime(1_795_000_000_123_456);

fn request<'a>(source: &'a str, event: &'a str, set: &'a [String]) -> Request<'a> {
    Request { source, event, set, count: 1, same: false, now: NOW }
}

fn sets(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn body(source: &str, event: &str, set: &[&str]) -> Value {
    let all = deliveries(&request(source, event, &sets(set)), &Credentials::default()).unwrap();
    serde_json::from_slice(&all[0].body).unwrap()
}

fn error(source: &str, event: &str, set: &[&str]) -> Error {
    deliveries(&request(source, event, &sets(set)), &Credentials::default()).unwrap_err()
}

#[test]
fn the_readmes_example_is_a_paid_order_of_that_amount() {
    let body = body("shopify", "orders/paid", &["total_price=99.00"]);
    assert_eq!(body["total_price"], "99.00");
    assert_eq!(body["subtotal_price"], "99.00");
    assert_eq!(body["total_tax"], "0.00");
    assert_eq!(body["line_items"].as_array().unwrap().len(), 1);
    assert_eq!(body["line_items"][0]["price"], "99.00");
    assert_eq!(body["line_items"][0]["quantity"], 1);
    assert_eq!(body["financial_status"], "paid");
    assert_eq!(body["created_at"], NOW.to_rfc3339());
    assert_eq!(body["id"], NOW.0);
}

#[test]
fn what_was_set_too_is_left_alone() {
    let set = ["total_price=99", "subtotal_price=90.5", "line_items[0].quantity=3"];
    let body = body("lifesight", "orders_create", &set);
    assert_eq!(body["total_price"], "99");
    assert_eq!(body["subtotal_price"], "90.5");
    assert_eq!(body["line_items"][0]["quantity"], 3);
    assert_ne!(body["line_items"][0]["price"], "99.00");
}

#[test]
fn values_are_json_where_they_are_and_texts_stay_texts() {
    let set = [
        "test=true",
        "email=null",
        "tags=a, b",
        "note=12.50",
        "customer.id=\"7\"",
        "note_attributes[0].value=x=y",
        "refunds[0].transactions[0].amount=5.10",
        "extra.deep[0]={\"a\": 1}",
        "weight=5",
    ];
    let body = body("shopify", "orders/updated", &set);
    assert_eq!(body["test"], true);
    assert_eq!(body["email"], Value::Null);
    assert_eq!(body["tags"], "a, b");
    assert_eq!(body["customer"]["id"], "7");
    assert_eq!(body["note_attributes"][0]["value"], "x=y");
    assert_eq!(
        body["refunds"][0]["transactions"][0]["amount"], "5.10",
        "a new amount is a decimal string too"
    );
    assert_eq!(body["extra"]["deep"][0]["a"], 1);
    assert_eq!(body["weight"], 5);
}

#[test]
fn an_amount_that_is_none_is_sent_as_it_is() {
    let body = body("shopify", "orders/create", &["total_price=lots"]);
    assert_eq!(body["total_price"], "lots");
    assert_ne!(body["subtotal_price"], "lots");
}

#[test]
fn another_currency_is_another_currency_everywhere() {
    let body = body("shopify", "orders/create", &["currency=JPY", "total_price=1999"]);
    assert_eq!(body["total_price"], "1999");
    assert_eq!(body["subtotal_price"], "1999");
    assert!(!body.to_string().contains("USD"));
}

#[test]
fn another_email_is_another_person() {
    for (source, event) in [("shopify", "orders/paid"), ("lifesight", "orders_paid")] {
        let one = body(source, event, &["email=one@example.com"]);
        let two = body(source, event, &["email=two@example.com"]);
        assert_eq!(one["customer"]["email"], "one@example.com");
        assert_eq!(one["contact_email"], "one@example.com");
        assert_ne!(one["customer"]["id"], two["customer"]["id"]);
        assert_eq!(one["phone"], Value::Null);
    }
}

#[test]
fn each_event_has_what_it_stands_for() {
    assert_eq!(body("shopify", "orders/fulfilled", &[])["fulfillment_status"], "fulfilled");
    assert_eq!(body("lifesight", "orders_fulfilled", &[])["fulfillment_status"], "shipped");
    assert_eq!(body("lifesight", "orders_partially_fulfilled", &[])["fulfillment_status"], "partial");
    let cancelled = body("lifesight", "orders_cancelled", &[]);
    assert_eq!(cancelled["cancelled_at"], NOW.to_rfc3339());
    assert_eq!(cancelled["financial_status"], "voided");
    assert!(body("lifesight", "orders_paid", &[])["customer"].get("orders_count").is_none());
    let refund = body("shopify", "refunds/create", &["order_id=123", "transactions[0].amount=7"]);
    assert_eq!(refund["order_id"], 123);
    assert_eq!(refund["transactions"][0]["amount"], "7");
}

#[test]
fn several_are_several_orders_unless_they_are_the_same() {
    let credentials = Credentials::default();
    let none = [];
    let several = Request { count: 5, ..request("shopify", "orders/paid", &none) };
    let all = deliveries(&several, &credentials).unwrap();
    assert_eq!(all.len(), 5);
    assert_ne!(all[0].body, all[1].body);
    assert_ne!(all[0].header("x-shopify-webhook-id"), all[1].header("x-shopify-webhook-id"));
    let same = deliveries(&Request { same: true, ..several }, &credentials).unwrap();
    assert!(same.iter().all(|d| d.body == same[0].body && d.headers == same[0].headers));
}

#[test]
fn every_event_can_be_triggered_and_what_cannot_is_answered_with_what_can() {
    for kind in &KINDS {
        for event in kind.events {
            let all =
                deliveries(&request(kind.source.as_str(), event, &[]), &Credentials::default()).unwrap();
            assert_eq!(all.len(), 1, "{event}");
        }
    }
    for source in Source::ALL.into_iter().filter(|source| *source != Source::Operator) {
        assert_eq!(KINDS.iter().filter(|kind| kind.source == source).count(), 1, "{source}");
    }
    let unknown = error("paypal", "x", &[]).to_string();
    assert!(unknown.contains("shopify (orders/create") && unknown.contains("orders_paid"), "{unknown}");
    let unknown = error("lifesight", "orders/paid", &[]).to_string();
    assert!(unknown.contains("orders_paid"), "{unknown}");
    let unknown = error("stripe", "invoice.created", &[]).to_string();
    assert!(unknown.contains("invoice.payment_failed"), "{unknown}");
}

#[test]
fn a_path_that_leads_nowhere_is_refused() {
    for set in ["total_price", "=5", "a..b=1", "line_items[x]=1", "line_items[0=1", "a[0]b=1"] {
        assert!(matches!(error("shopify", "orders/paid", &[set]), Error::NotAnAssignment(_)), "{set}");
    }
    for set in ["line_items[99].price=1", "total_price.amount=1", "customer[0]=1"] {
        assert!(matches!(error("shopify", "orders/paid", &[set]), Error::Path { .. }), "{set}");
    }
}

#[test]
fn the_signature_verifies() {
    let delivery = &deliveries(&request("shopify", "orders/paid", &[]), &Credentials::default()).unwrap()[0];
    let workspaces = sources::Workspaces::from_configs([sources::WorkspaceConfig::development()]).unwrap();
    let decided = delivery.decide(&workspaces, commerce::ReceivedTime(NOW.0)).unwrap();
    assert!(matches!(decided, sources::Decision::Accept(_)), "{decided:?}");
    assert_eq!(delivery.path_and_query, "/webhooks/shopify/orders/paid");
}

#[test]
fn a_field_of_the_wrapped_object_needs_no_path_and_one_of_the_envelope_is_the_envelopes() {
    let invoice = body("stripe", "invoice.payment_succeeded", &["amount_paid=4900", "id=evt_mine"]);
    assert_eq!(invoice["data"]["object"]["amount_paid"], 4900);
    assert_eq!(invoice["data"]["object"]["amount_due"], 4900, "what is paid was due");
    assert_eq!(invoice["id"], "evt_mine");
    assert_eq!(invoice["livemode"], true);
    let paid = body("customerio", "order_paid", &["total=99.00", "data.coupon=HELLO"]);
    assert_eq!(paid["data"]["total"], "99.00");
    assert_eq!(paid["data"]["line_items"][0]["price"], "99.00");
    assert_eq!(paid["data"]["coupon"], "HELLO");
    let row = body("records", "orders/append", &["total=5.00"]);
    assert_eq!(row["record"]["total"], "5.00");
    assert!(row["record"].get("subtotal").is_none());
}

#[test]
fn a_person_in_the_path_is_set_like_a_field_and_is_none_of_the_body() {
    let set = sets(&["identifier=a/b@example.com"]);
    for (event, method, path) in [
        ("identify", "PUT", "/api/v1/customers/a%2Fb%40example.com"),
        ("order_paid", "POST", "/api/v1/customers/a%2Fb%40example.com/events"),
        ("delete", "DELETE", "/api/v1/customers/a%2Fb%40example.com"),
    ] {
        let one = &deliveries(&request("customerio", event, &set), &Credentials::default()).unwrap()[0];
        assert_eq!((one.method, one.path_and_query.as_str()), (method, path));
        assert!(!String::from_utf8_lossy(&one.body).contains("a/b@"));
    }
    let set = sets(&["user_id=u 1"]);
    let one = &deliveries(&request("analytics", "delete_user", &set), &Credentials::default()).unwrap()[0];
    assert_eq!((one.method, one.path()), ("DELETE", "/v1/api/analytics/user/u%201"));
}

#[test]
fn no_example_brings_totals_of_the_customer_along() {
    for kind in &KINDS {
        for event in kind.events {
            let text = body(kind.source.as_str(), event, &[]).to_string();
            for name in ["orders_count", "total_spent", "customerTotals", "ltv", "order_count"] {
                assert!(!text.contains(&format!("\"{name}\"")), "{event}: {text}");
            }
        }
    }
}
