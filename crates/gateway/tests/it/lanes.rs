//! Loads and tests travel on partitions of their own (R13).

use reqwest::StatusCode;
use topics::Topic;

use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn cio_c16_cio_c17_loads_tests_and_what_is_live_are_on_partitions_of_their_own() {
    let rig = Rig::start("lanes").await;
    let partitions = Topic::Raw.spec().partitions;
    let order = |id: u32, more: &str| {
        format!(
            "{{\"id\":{id},\"updated_at\":\"2026-03-14T09:00:00Z\",\"created_at\":\"2026-03-14T09:00:00Z\",\"currency\":\"USD\",\"total_price\":\"1.00\"{more}}}"
        )
    };
    for id in 0..40 {
        let body = order(id, "");
        assert_eq!(rig.shopify(body.as_bytes()).send().await.unwrap().status(), StatusCode::OK);
    }
    let test = order(100, ",\"test\": true");
    assert_eq!(rig.shopify(test.as_bytes()).send().await.unwrap().status(), StatusCode::OK);
    // A load of tests is a load.
    for body in [order(200, ""), order(200, ",\"test\": true")] {
        let load = rig.shopify(body.as_bytes()).header("Tillstream-Backfill", "spring");
        assert_eq!(load.send().await.unwrap().status(), StatusCode::OK);
    }
    let records = rig.records(Topic::Raw).await;
    let of = |id: &str| {
        let id = format!("{{\"id\":{id},");
        let of_order = records.iter().filter(move |record| record.value.starts_with(id.as_bytes()));
        of_order.map(|record| record.partition).collect::<Vec<_>>()
    };
    assert_eq!(of("100"), [0]);
    assert_eq!(of("200"), [partitions - 1, partitions - 1]);
    let mut live: Vec<i32> = (0..40).flat_map(|id| of(&id.to_string())).collect();
    assert_eq!(live.len(), 40);
    live.sort_unstable();
    live.dedup();
    assert_eq!(live, (1..partitions - 1).collect::<Vec<_>>());
}
