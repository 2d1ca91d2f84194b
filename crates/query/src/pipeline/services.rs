//! Asks the other services for their counters and their readiness. Nobody is asked more often than once a second, however
//! many look.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use commerce::EventTime;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use service::health::{PROCESS, process};
use service::{Config, Metrics};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Pipeline, stages};

/// How long an answer is good for.
const FRESH: Duration = Duration::from_secs(1);
/// A service that needs longer is one that doesn't answer.
const WITHIN: Duration = Duration::from_secs(2);
/// More than all counters of one process take.
const GREATEST_ANSWER: usize = 4 << 20;

/// One address that was asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Service {
    /// Where.
    pub address: String,
    /// The stage that listens there; `null` where the address was given without it.
    pub stage: Option<&'static str>,
    /// Whether it answered.
    pub reached: bool,
    /// Whether it says that it can work; `null` where it didn't answer.
    pub ready: Option<bool>,
    /// What it waits for.
    pub waits_for: Vec<String>,
}

/// The services that are asked.
#[derive(Debug)]
pub struct Services {
    own: Metrics,
    others: Vec<(Option<&'static str>, String)>,
    client: reqwest::Client,
    last: Mutex<Option<(Instant, Arc<Pipeline>)>>,
}

impl Services {
    /// This process and others, each by its stage, if it is known, and its address.
    pub fn new(own: Metrics, others: Vec<(Option<&'static str>, String)>) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            // The services are ours and near; a proxy of the environment isn't on the way.
            .no_proxy()
            .build()?;
        Ok(Self { own, others, client, last: Mutex::default() })
    }

    /// Those of `query.services`; where none is named, the services of the same configuration on this machine.
    pub fn of(config: &Config, own: Metrics) -> Result<Self, reqwest::Error> {
        let named = config.query.services.iter().map(|address| (None, address.clone()));
        let mut others: Vec<_> = named.collect();
        if others.is_empty() {
            others = [
                ("gateway", config.gateway.listen),
                ("normalizer", config.normalizer.listen),
                ("state", config.state.listen),
                ("aggregator", config.aggregator.listen),
            ]
            .map(|(stage, listen)| (Some(stage), format!("http://{}", near(listen))))
            .into();
        }
        Self::new(own, others)
    }

    /// What they say now, or said a moment ago.
    pub async fn ask(&self, now: fn() -> EventTime) -> Arc<Pipeline> {
        // Held while asking: who comes meanwhile gets the same answer.
        let mut last = self.last.lock().await;
        if let Some((at, pipeline)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return Arc::clone(pipeline);
        }
        let pipeline = Arc::new(self.ask_all(now()).await);
        *last = Some((Instant::now(), Arc::clone(&pipeline)));
        pipeline
    }

    async fn ask_all(&self, now: EventTime) -> Pipeline {
        let mut seen = BTreeSet::from([process().to_owned()]);
        let mut texts = Vec::new();
        match self.own.to_text() {
            Ok(text) => texts.push(text),
            Err(error) => tracing::error!(error, "metrics couldn't be written"),
        }
        let answers = join_all(self.others.iter().map(|(_, address)| self.one(address))).await;
        let mut services = Vec::new();
        for ((stage, address), answer) in self.others.iter().zip(answers) {
            let mut service = Service {
                address: address.clone(),
                stage: *stage,
                reached: answer.is_some(),
                ready: None,
                waits_for: Vec::new(),
            };
            if let Some(answer) = answer {
                service.ready = answer.ready;
                service.waits_for = answer.waits_for;
                // Two addresses of one process have the same counters.
                if answer.process.is_none_or(|process| seen.insert(process)) {
                    texts.push(answer.text);
                }
            }
            services.push(service);
        }
        let stages = stages(&texts);
        // In one process with others a stage may listen nowhere: its figures are there all the same.
        let silent = |service: &Service| {
            !service.reached && stages.iter().any(|known| Some(known.stage) == service.stage && known.known)
        };
        services.retain(|service| !silent(service));
        Pipeline { at: now.to_rfc3339(), services, stages }
    }

    async fn one(&self, address: &str) -> Option<Answer> {
        let (process, text) = self.get(&format!("{address}/metrics")).await?;
        let ready = self.get(&format!("{address}/readyz")).await;
        let ready: Option<Readyz> = ready.and_then(|(_, text)| serde_json::from_str(&text).ok());
        let waits_for = ready.iter().flat_map(|ready| &ready.parts).filter(|(_, part)| !part.ready);
        Some(Answer {
            process,
            text,
            waits_for: waits_for.map(|(name, part)| format!("{name}: {}", part.detail)).collect(),
            ready: ready.map(|ready| ready.ready),
        })
    }

    /// An answer's process and text; `/readyz` has one also where it isn't 200.
    async fn get(&self, url: &str) -> Option<(Option<String>, String)> {
        let mut answer = match self.client.get(url).send().await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, "a service doesn't answer");
                return None;
            }
        };
        let process = answer.headers().get(PROCESS).and_then(|id| id.to_str().ok()).map(ToOwned::to_owned);
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.ok()? {
            if body.len() + part.len() > GREATEST_ANSWER {
                tracing::warn!(url, "a service's answer is too long");
                return None;
            }
            body.extend_from_slice(&part);
        }
        Some((process, String::from_utf8(body).ok()?))
    }
}

struct Answer {
    process: Option<String>,
    text: String,
    ready: Option<bool>,
    waits_for: Vec<String>,
}

#[derive(Deserialize)]
struct Readyz {
    ready: bool,
    #[serde(default)]
    parts: std::collections::BTreeMap<String, Part>,
}

#[derive(Deserialize)]
struct Part {
    ready: bool,
    detail: String,
}

/// An address to listen on, as one to ask on the same machine.
fn near(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use commerce::{Outcome, Source};
    use service::health::ops_router;
    use service::{Readiness, Shutdown};
    use tokio::net::TcpListener;

    use super::*;

    fn now() -> EventTime {
        EventTime(0)
    }

    async fn serve(router: Router) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn metrics(published: u64) -> Metrics {
        let metrics = Metrics::new("test").unwrap();
        metrics.record("state", Some(Source::Shopify), Outcome::Published, published);
        metrics
    }

    /// The text of another process, which in one test can only be one that is written here.
    async fn elsewhere(published: u64) -> String {
        let text = metrics(published).to_text().unwrap();
        let ready = r#"{"ready":false,"draining":false,"parts":{"kafka":{"ready":false,"detail":"gone"}}}"#;
        let head = [(PROCESS, "another")];
        let router = Router::new()
            .route("/metrics", get(move || async move { (head, text) }))
            .route("/readyz", get(move || async move { (http::StatusCode::SERVICE_UNAVAILABLE, ready) }));
        serve(router).await
    }

    #[tokio::test]
    async fn a_process_with_two_addresses_counts_once_and_says_what_it_waits_for() {
        let own = metrics(5);
        // The same process as this one, at an address of its own.
        let same = serve(ops_router(Readiness::new(Shutdown::new()), own.clone())).await;
        let other = elsewhere(7).await;
        let others = [same, other.clone(), other].map(|address| (None, address)).into();
        let pipeline = Services::new(own, others).unwrap().ask(now).await;
        assert_eq!(pipeline.stages[2].received, 12);
        let ready: Vec<_> = pipeline.services.iter().map(|s| (s.reached, s.ready)).collect();
        assert_eq!(ready, [(true, Some(false)); 3]);
        assert_eq!(pipeline.services[1].waits_for, ["kafka: gone"]);
    }

    #[tokio::test]
    async fn a_service_that_does_not_answer_is_named_unless_its_stage_is_heard_elsewhere() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", closed.local_addr().unwrap());
        drop(closed);
        let others = vec![(Some("state"), address.clone()), (Some("gateway"), address.clone())];
        let pipeline = Services::new(metrics(5), others).unwrap().ask(now).await;
        assert_eq!(pipeline.services.len(), 1);
        let gateway = &pipeline.services[0];
        assert_eq!((gateway.stage, gateway.reached, gateway.ready), (Some("gateway"), false, None));
        assert!(!pipeline.stages[0].known && pipeline.stages[2].known);
    }

    #[test]
    fn a_service_that_listens_everywhere_is_asked_on_this_machine() {
        assert_eq!(near("0.0.0.0:9464".parse().unwrap()).to_string(), "127.0.0.1:9464");
        assert_eq!(near("[::]:9464".parse().unwrap()).to_string(), "[::1]:9464");
        assert_eq!(near("10.0.0.7:9464".parse().unwrap()).to_string(), "10.0.0.7:9464");
    }
}
