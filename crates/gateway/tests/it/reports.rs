//! Reports are answered by the query service, through the gateway.

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use reqwest::StatusCode;

use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_forwarded_and_nothing_else_is() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let echo = any(|request: Request| async move {
        let key = request.headers().get("x-api-key").map(|value| value.to_str().unwrap().to_owned());
        (StatusCode::IM_A_TEAPOT, format!("{} {} {key:?}", request.method(), request.uri()))
    });
    let query = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(echo)).await });
    let rig = Rig::start_with("reports", |env| env.push(("TILLSTREAM_GATEWAY__REPORTS_URL", url))).await;

    let asked =
        rig.client.get(rig.url("/v1/api/analytics/ecommerce/revenue?from=a%20b")).header("x-api-key", "k");
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::IM_A_TEAPOT);
    assert!(answer.headers().contains_key("x-correlation-id"));
    assert_eq!(
        answer.text().await.unwrap(),
        r#"GET /v1/api/analytics/ecommerce/revenue?from=a%20b Some("k")"#
    );
    assert_eq!(rig.get("/v1/orders/1").await.0, StatusCode::NOT_FOUND);

    query.abort();
    let _ = query.await;
    let (status, body) = rig.get("/v1/api/analytics/ecommerce/revenue").await;
    assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"unavailable"}"#));
}
