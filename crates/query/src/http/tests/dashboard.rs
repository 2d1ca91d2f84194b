//! The page and who may see it.

use super::*;

/// A file of the page.
async fn file(service: &Service, path: &str) -> (String, String) {
    let answer = service.send("GET", path, &[]).await;
    assert_eq!(answer.status(), 200, "{path}");
    let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    (kind, String::from_utf8(text.to_vec()).unwrap())
}

/// What stands between quotes behind a word.
fn behind<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    text.split(word).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere_and_has_no_inline_code() {
    let service = Service::loading(OPEN);
    let (_, page) = file(&service, "/").await;
    for forbidden in ["http://", "https://", "style=", "onclick", "<style", "<script>"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let loaded: Vec<_> =
        behind(&page, "src=\"").into_iter().chain(behind(&page, "rel=\"icon\" href=\"")).collect();
    assert!(loaded.contains(&"/assets/app.js") && page.contains("/assets/style.css"), "{loaded:?}");
    // Every module that a module names is there; so nothing is served that nobody loads.
    let mut modules = vec!["app.js".to_owned()];
    let mut read = 0;
    while let Some(name) = modules.get(read).cloned() {
        let (kind, text) = file(&service, &format!("/assets/{name}")).await;
        assert_eq!(kind, "text/javascript; charset=utf-8", "{name}");
        for forbidden in ["http://", "https://", "innerHTML", "insertAdjacentHTML", "eval(", "localStorage"] {
            assert!(!text.contains(forbidden) || text.contains("w3.org/2000/svg"), "{name}: {forbidden}");
        }
        for module in behind(&text, "from \"./").into_iter().map(ToOwned::to_owned) {
            if !modules.contains(&module) {
                modules.push(module);
            }
        }
        read += 1;
    }
    modules.extend(["style.css", "icon.svg"].map(ToOwned::to_owned));
    modules.sort();
    let mut served: Vec<_> = crate::page::names().collect();
    served.sort_unstable();
    assert_eq!(modules, served);
    assert_eq!(service.get("/assets/other.js", &[]).await.0, 404);
}

#[tokio::test]
async fn what_the_page_asks_for_is_there() {
    let service = Service::with_breakdowns();
    let mut asked = std::collections::BTreeSet::new();
    for name in crate::page::names().filter(|name| name.ends_with(".js")) {
        let (_, text) = file(&service, &format!("/assets/{name}")).await;
        asked
            .extend(behind(&text, "report: \"").into_iter().map(|name| format!("/dashboard/reports/{name}")));
        asked.extend(behind(&text, "ask(\"").into_iter().map(ToOwned::to_owned));
        asked.extend(behind(&text, "fetch(\"").into_iter().map(ToOwned::to_owned));
    }
    asked.extend(["country", "device", "platform"].map(|by| format!("/dashboard/reports/revenue-by-{by}")));
    assert!(asked.len() >= 13, "{asked:?}");
    for path in asked {
        let (status, body) = service.get(&path, &[HOST]).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
}

/// Elements that the scripts name by their id are in the page, once.
#[tokio::test]
async fn every_element_that_a_script_names_is_in_the_page() {
    let service = Service::loading(OPEN);
    let (_, page) = file(&service, "/").await;
    let ids = behind(&page, " id=\"");
    let unique: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), unique.len());
    for name in crate::page::names().filter(|name| name.ends_with(".js")) {
        let (_, text) = file(&service, &format!("/assets/{name}")).await;
        for id in behind(&text, "$(\"") {
            assert!(ids.contains(&id), "{name}: #{id}");
        }
    }
    // Each field has a name that is read out.
    for label in behind(&page, "<label for=\"") {
        assert!(ids.contains(&label), "{label}");
    }
}

#[tokio::test]
async fn an_open_dashboard_on_this_machine_answers_to_its_names_only() {
    let service = Service::new(OPEN);
    let paths =
        ["/dashboard/access", "/dashboard/stream", "/dashboard/pipeline", "/dashboard/reports/overview"];
    for (host, status) in [
        ("localhost:8090", 200),
        ("127.0.0.1:8090", 200),
        ("[::1]:8090", 200),
        ("evil.example:8090", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ] {
        for path in paths {
            let response = service.send("GET", path, &[("host", host)]).await;
            assert_eq!(response.status().as_u16(), status, "{path} {host}");
        }
    }
    let elsewhere = Service::new(Access::Open { loopback: false });
    for path in paths {
        assert_eq!(elsewhere.send("GET", path, &[("host", "shop.example")]).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn a_dashboard_with_a_key_names_nobody_to_strangers() {
    let service = Service::new(Access::Key);
    let (_, body) = service.get("/dashboard/access", &[]).await;
    assert!(body.starts_with(r#"{"key":true,"workspaces":[],"digits":{"#), "{body}");
    for path in ["/dashboard/stream", "/dashboard/pipeline", "/dashboard/reports/overview"] {
        assert_eq!(service.get(path, &[]).await, (401, error("Invalid API key")), "{path}");
        let publishable = [("x-api-key", "pk_dev_demo")];
        assert_eq!(service.get(path, &publishable).await, (403, error("Secret key required")), "{path}");
        // The stages' counters are those of all workspaces together: one of several tenants isn't told them.
        let status = if path == "/dashboard/pipeline" { 404 } else { 200 };
        assert_eq!(service.send("GET", path, &[SECRET]).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn the_key_of_the_documentation_is_told_on_its_own_machine_alone() {
    let told = |access: Access| async move {
        let (_, body) = Service::new(access).get("/dashboard/access", &[HOST]).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        (body["development_key"].clone(), body["development_workspace"].clone())
    };
    let development = sources::WorkspaceConfig::development();
    let key = development.analytics.secret_keys.first().unwrap().expose();
    assert_eq!(told(OPEN).await, (key.into(), "demo".into()));
    assert_eq!(told(Access::Open { loopback: false }).await, (Value::Null, Value::Null));
    assert_eq!(told(Access::Key).await, (Value::Null, Value::Null));
}

/// Figures are for all who may look; persons and orders are for the key.
#[tokio::test]
async fn an_open_dashboard_tells_no_person_without_a_key() {
    let service = Service::new(OPEN);
    for path in ["/v1/people/jane+1@example.com", "/v1/orders/450789469"] {
        assert_eq!(service.get(path, &[HOST]).await.0, 401, "{path}");
    }
    assert_eq!(service.get("/dashboard/reports/user-journey", &[HOST]).await, (404, error("Not found")));
}

#[tokio::test]
async fn a_report_of_the_dashboard_is_the_one_of_the_api() {
    let service = Service::with_breakdowns();
    for report in Report::ALL {
        let api = service.get(&format!("/v1/api/analytics/ecommerce/{}", report.as_str()), &[SECRET]).await;
        let page =
            service.get(&format!("/dashboard/reports/{}?workspace=demo", report.as_str()), &[HOST]).await;
        assert_eq!(api, page);
    }
    let other = service.get("/dashboard/reports/overview?workspace=other", &[HOST]).await.1;
    assert!(other.contains(r#""total_revenue":0.00"#), "{other}");
    assert_eq!(service.get("/dashboard/reports/overview?workspace=nobody", &[HOST]).await.0, 404);
    assert_eq!(service.get("/dashboard/reports/overview?days=0", &[HOST]).await.0, 400);
}
