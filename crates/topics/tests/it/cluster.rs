//! The shared cluster, brought to the list of topics once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use topics::{Admin, Layout, Plan, SchemaRegistry, Schemas, Topic};

pub(crate) struct Ready {
    /// What was to be done when nothing was there.
    pub(crate) first: Plan,
    /// What was left when it was done.
    pub(crate) second: Plan,
    /// What was refused while the registry had an older schema that ours can't read.
    pub(crate) refused: Plan,
    pub(crate) schemas: Schemas,
}

pub(crate) fn registry() -> SchemaRegistry {
    SchemaRegistry::new(localkafka::shared().registry_url(), Duration::from_secs(20)).unwrap()
}

pub(crate) fn admin(layout: Layout) -> Admin {
    Admin::new(localkafka::shared().bootstrap(), &BTreeMap::new(), layout).unwrap()
}

/// For tests that change the cluster's settings or look at all of them.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn ready() -> &'static Ready {
    static READY: OnceLock<Ready> = OnceLock::new();
    READY.get_or_init(|| {
        let registry = registry();
        let admin = admin(Layout::new(1));
        let refused = with_an_older_schema(&registry, || admin.plan(Some(&registry)).unwrap());
        assert!(matches!(Schemas::lookup(&registry), Err(topics::schemas::Error::NotRegistered { .. })));
        let first = admin.plan(Some(&registry)).unwrap();
        admin.apply(&first, Some(&registry)).unwrap();
        let second = admin.plan(Some(&registry)).unwrap();
        let schemas = Schemas::lookup(&registry).unwrap();
        Ready { first, second, refused, schemas }
    })
}

/// Calls `look` while the subject of metrics has a version without most fields.
fn with_an_older_schema<T>(registry: &SchemaRegistry, look: impl FnOnce() -> T) -> T {
    let subject = Topic::Metrics.subject();
    let older = r#"{"type":"record","name":"Metric","namespace":"io.tillstream.v1",
        "fields":[{"name":"workspace","type":"string"}]}"#;
    registry.register(&subject, older).unwrap();
    registry.set_compatibility(&subject, topics::schemas::BACKWARD_TRANSITIVE).unwrap();
    let seen = look();
    let http = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/subjects/{subject}", registry.address());
    for url in [url.clone(), format!("{url}?permanent=true")] {
        let answer = http.delete(&url).send().unwrap();
        assert!(answer.status().is_success(), "{url}: {}", answer.text().unwrap());
    }
    seen
}
