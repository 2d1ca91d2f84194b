//! A typical request of each source: the one that the documentation shows, with ids of its own.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use commerce::{ReceivedTime, Source};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sources::meter::Unmetered;
use sources::operation::{self, Example, In, Operation};
use sources::{Accepted, Decision, Presented, Refused, Request, WorkspaceConfig, Workspaces};

use super::load;

/// One source, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// Every source.
    All,
    /// Webhooks of a shop.
    Shopify,
    /// Webhooks of payments.
    Stripe,
    /// A custom backend.
    Lifesight,
    /// Calls of the Track API.
    Customerio,
    /// Pushed orders.
    Sequenzy,
    /// E-commerce events.
    Analytics,
    /// Rows.
    Records,
}

impl Which {
    /// The sources that are meant. The one that others are compared with comes first and is always there.
    pub fn sources(self) -> Vec<Source> {
        let other = |typical: &&Typical| self == Self::All || self == typical.which;
        let others = TYPICAL.iter().filter(other).map(|typical| typical.source);
        let others = others.filter(|source| *source != REFERENCE);
        std::iter::once(REFERENCE).chain(others).collect()
    }
}

/// The source that others are compared with.
pub const REFERENCE: Source = Source::Shopify;

/// What a source is sent most.
struct Typical {
    which: Which,
    source: Source,
    /// The example in the documentation.
    example: &'static str,
    /// What of its body tells it from another one.
    ids: &'static [&'static str],
}

const TYPICAL: [Typical; 7] = [
    typical(Which::Shopify, Source::Shopify, "shopify_order_create", &["6403925180713"]),
    typical(
        Which::Stripe,
        Source::Stripe,
        "stripe_invoice_payment_succeeded",
        &["1TAqZ2JX0fOPENn0cGq1vKbM", "1TAqYxJX0fOPENn0eMpa7HrT"],
    ),
    typical(Which::Lifesight, Source::Lifesight, "lifesight_orders_create", &["5812290347117"]),
    typical(
        Which::Customerio,
        Source::Customerio,
        "customerio_event",
        &["81744", "01JPA4T5X0W4V3Y2Z1A0B9C8D7"],
    ),
    typical(Which::Sequenzy, Source::Sequenzy, "sequenzy_order_placed", &["81744"]),
    typical(Which::Analytics, Source::Analytics, "analytics_purchase", &["evt_7f1c", "81744"]),
    typical(Which::Records, Source::Records, "records_order_append", &["81744"]),
];

const fn typical(
    which: Which,
    source: Source,
    example: &'static str,
    ids: &'static [&'static str],
) -> Typical {
    Typical { which, source, example, ids }
}

/// How many requests of a source differ: what the shortest id has room for.
pub const DIFFERENT: u64 = 5_000;

/// A request as its sender makes it.
pub struct Sample {
    method: &'static str,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Sample {
    /// The `n`th of a source, signed at `now`.
    pub fn typical(source: Source, n: u64, now: ReceivedTime) -> anyhow::Result<Self> {
        let typical = TYPICAL.iter().find(|typical| typical.source == source).context("an unknown source")?;
        let (operation, example) = shown(typical.example)?;
        let mut body = example.body.to_owned();
        for id in typical.ids {
            anyhow::ensure!(body.contains(id), "{}: there is no {id} any more", typical.example);
            body = body.replace(id, &format!("1{:0>width$}", n % DIFFERENT, width = id.len() - 1));
        }
        Self::of(source, operation, example, body, now)
    }

    /// So many events of the analytics API in one request.
    pub fn batch(events: u64, n: u64, now: ReceivedTime) -> anyhow::Result<Self> {
        let (operation, example) = shown("analytics_batch")?;
        let bodies: Vec<String> = (0..events)
            .map(|event| {
                let single = Self::typical(Source::Analytics, n.wrapping_mul(events) + event, now)?;
                Ok(String::from_utf8(single.body)?)
            })
            .collect::<anyhow::Result<_>>()?;
        let body = format!(r#"{{"events":[{}]}}"#, bodies.join(","));
        Self::of(Source::Analytics, operation, example, body, now)
    }

    fn of(
        source: Source,
        operation: &'static Operation,
        example: &Example,
        body: String,
        now: ReceivedTime,
    ) -> anyhow::Result<Self> {
        let value = |name: &str| {
            let given = example.given.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            let usual = operation.parameters.iter().find(|p| p.name == name && p.required);
            given.or_else(|| Some(usual?.example))
        };
        let of_place = |place: In| {
            let parameters = operation.parameters.iter().filter(move |parameter| parameter.place == place);
            parameters.filter_map(|parameter| Some((parameter.name, value(parameter.name)?)))
        };
        let path = of_place(In::Path).fold(operation.path.to_owned(), |path, (name, value)| {
            path.replace(&format!("{{{name}}}"), value)
        });
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(of_place(In::Query));
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        headers.extend(of_place(In::Header).map(|(name, value)| (name.to_owned(), value.to_owned())));
        match sources::present(source, &workspace(), body.as_bytes(), now)
            .with_context(|| format!("the development workspace has no credential of {source}"))?
        {
            Presented::Header(name, value) => headers.push((name.to_owned(), value)),
            Presented::Query(name, value) => drop(query.append_pair(name, &value)),
        }
        Ok(Self { method: operation.method, path, query: query.finish(), headers, body: body.into_bytes() })
    }

    /// What the gateway makes of it.
    pub fn accept(&self, workspaces: &Workspaces, now: ReceivedTime) -> anyhow::Result<Accepted> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
        let method = Method::from_bytes(self.method.as_bytes())?;
        let route = sources::route(&method, &self.path).map_err(|reply| anyhow!("{}", reply.body))?;
        let request = Request {
            method: &method,
            path: &self.path,
            query: Some(&self.query),
            headers: &headers,
            body: &self.body,
            received_at: now,
            correlation: "",
            peer: None,
        };
        match sources::accept(&route, &request, workspaces, &Unmetered) {
            Decision::Accept(accepted) => Ok(accepted),
            Decision::Refuse(Refused { reply, .. }) | Decision::Answer(reply) => {
                Err(anyhow!("{} is refused: {}", self.path, reply.body))
            }
        }
    }

    /// Its bytes, ready to be written.
    pub fn bytes(&self) -> load::Bytes {
        let mut text = format!("{} {}?{} HTTP/1.1\r\nHost: bench\r\n", self.method, self.path, self.query);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        Arc::from(bytes)
    }
}

/// The workspace that the samples are for.
pub fn workspace() -> WorkspaceConfig {
    WorkspaceConfig::development()
}

fn shown(name: &str) -> anyhow::Result<(&'static Operation, &'static Example)> {
    let found = operation::all().find_map(|(_, operation)| {
        let example = operation.examples.iter().find(|example| example.name == name)?;
        Some((operation, example))
    });
    found.with_context(|| format!("the documentation has no example {name} any more"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_source_has_typical_requests_that_differ_and_that_the_gateway_takes() {
        let workspaces = Workspaces::from_configs([workspace()]).unwrap();
        let now = ReceivedTime(1_795_000_000_000_000);
        let sources = Which::All.sources();
        let senders = Source::ALL.into_iter().filter(|source| *source != Source::Operator);
        assert_eq!(sources.iter().copied().collect::<HashSet<_>>(), senders.collect());
        for source in sources {
            let samples = (0..50).map(|n| Sample::typical(source, n, now).unwrap());
            let accepted: Vec<Accepted> =
                samples.map(|sample| sample.accept(&workspaces, now).unwrap()).collect();
            assert!(accepted.iter().all(|accepted| accepted.source == source));
            let deliveries: HashSet<_> = accepted.iter().map(|accepted| accepted.delivery).collect();
            assert_eq!(deliveries.len(), 50, "{}", source.as_str());
        }
        let batch = Sample::batch(100, 3, now).unwrap();
        assert!(batch.accept(&workspaces, now).unwrap().reply.body.contains(r#""accepted":100"#));
    }

    #[test]
    fn one_source_is_compared_with_the_reference() {
        assert_eq!(Which::Stripe.sources(), [Source::Shopify, Source::Stripe]);
        assert_eq!(Which::Shopify.sources(), [Source::Shopify]);
    }
}
