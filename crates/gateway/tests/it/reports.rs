//! What isn't sent by a source: reports, which the query service answers through the gateway, and what browsers ask first.

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use reqwest::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
};
use reqwest::{Method, StatusCode};

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

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_origin_may_post_analytics_and_nothing_else() {
    let rig = Rig::start("browsers").await;
    let ask = |method: Method, path: &str| {
        rig.client.request(method, rig.url(path)).header("origin", "https://shop.example").body("{}").send()
    };
    for path in ["/v1/api/analytics/ecommerce/track", "/v1/api/analytics/ecommerce/batch"] {
        let asked = ask(Method::OPTIONS, path).await.unwrap();
        assert_eq!(asked.status(), StatusCode::NO_CONTENT);
        assert_eq!(asked.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(asked.headers()[ACCESS_CONTROL_ALLOW_METHODS], "POST, OPTIONS");
        assert!(asked.headers()[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().contains("x-api-key"));
        // A page can read why it was refused, too.
        let refused = ask(Method::POST, path).await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(refused.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
    for (method, path) in [
        (Method::OPTIONS, "/v1/api/analytics/user/5"),
        (Method::DELETE, "/v1/api/analytics/user/5"),
        (Method::GET, "/v1/api/analytics/ecommerce/revenue"),
        (Method::OPTIONS, "/webhooks/shopify/orders/create"),
        (Method::POST, "/webhooks/shopify/orders/create"),
    ] {
        let answer = ask(method.clone(), path).await.unwrap();
        assert!(answer.status().is_client_error(), "{method} {path}: {}", answer.status());
        assert!(!answer.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{method} {path}");
    }
}
