//! Rates of exchange from a file to a report, with the binary itself and real Kafka.

use serde_json::Value;

use crate::product::ORDER;
use crate::running::{Up, command, folder, turn, wait};

const RANGE: &str = "start=2023-11-01&end=2023-11-30";

fn overview(up: &Up) -> Value {
    serde_json::from_str(&up.overview(RANGE)).unwrap()
}

#[test]
fn ana_c12_an_order_waits_for_its_rate_and_is_in_the_totals_once_it_is_published() {
    let _turn = turn();
    let dir = folder();
    let up = Up::start(dir.path(), &[]);
    let euros = ORDER
        .replace("[email\u{a0}protected]", "jane.doe@example.com")
        .replace(r#""currency": "USD""#, r#""currency": "EUR""#);
    let path =
        "/transform-webhook-data?key=dev-backend-key&workspace=demo&source=backend&event_name=orders_create";
    assert_eq!(up.post(path, &[("content-type", "application/json")], euros.as_bytes()).0, 200);
    wait("the order to be held", || overview(&up)["held"]["EUR"]["orders"] == 1);
    assert_eq!(overview(&up)["total_orders"], 0);

    let order = up.found("/v1/orders/5766207635539");
    assert_eq!((&order["base"], &order["flags"][0]), (&Value::Null, &"fx_missing".into()));
    let hour = &order["counted_at"].as_str().unwrap()[..13];
    let file = dir.path().join("rates.csv");
    let write =
        |rate: &str| std::fs::write(&file, format!("currency,base,rate,hour\nEUR,USD,{rate},{hour}\n"));
    let put = ["fx", "put", file.to_str().unwrap(), "-o", "json"];

    // Killed with everything written and nothing decided: no rate is there.
    write("1.0842").unwrap();
    let died =
        command(dir.path(), &put).env("FAILPOINTS", "stream::before-commit=return(abort)").output().unwrap();
    assert_eq!(died.status.code(), None, "{died:?}");
    assert_eq!(up.ok(&["fx", "ls"]), "");
    // Killed after the decision: it is.
    let died =
        command(dir.path(), &put).env("FAILPOINTS", "stream::after-commit=return(abort)").output().unwrap();
    assert_eq!(died.status.code(), None, "{died:?}");
    assert_eq!(up.ok(&["fx", "ls"]), format!("{hour}  EUR USD  1.0842\n"));
    wait("the order in the totals", || overview(&up)["total_orders"] == 1);
    // 30.49 EUR.
    let report = overview(&up);
    assert_eq!(
        (report["total_revenue"].to_string().as_str(), report["held"].to_string().as_str()),
        ("33.06", "{}")
    );
    let order = up.found("/v1/orders/5766207635539");
    assert_eq!((&order["base"]["total"]["minor"], &order["base"]["rate"]), (&3306.into(), &"1.0842".into()));
    wait("the person's total", || {
        up.found("/v1/people/jane.doe@example.com")["total_spent"]["minor"] == 3306
    });

    // Again it changes nothing, and another one is refused.
    assert_eq!(up.ok(&put), "{\"known\":1,\"published\":0,\"refused\":0}\n");
    write("2").unwrap();
    let refused = up.run(&put);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(up.ok(&["fx", "ls"]), format!("{hour}  EUR USD  1.0842\n"));
}
