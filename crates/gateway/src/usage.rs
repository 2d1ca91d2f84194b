//! What the pipeline has counted of each month's quota, asked of the query service every few seconds.

use std::time::Duration;

use commerce::ReceivedTime;
use serde::Deserialize;
use service::{Shutdown, clock};
use sources::{Workspace, Workspaces};

use crate::intake::Intake;
use crate::meter::{Counted, month_of};

/// How often is asked: the lag of a quota, together with the pipeline's own.
const EVERY: Duration = Duration::from_secs(5);
const WITHIN: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
struct Usage {
    months: Vec<Month>,
    /// The newest arrival that is contained.
    as_of: Option<String>,
}

#[derive(Deserialize)]
struct Month {
    month: String,
    source: String,
    events: u64,
}

impl Usage {
    /// The events of the analytics API in a month.
    fn counted(&self, month: String) -> Counted {
        let of_month = self.months.iter().filter(|of| of.month == month && of.source == "analytics");
        Counted { events: of_month.fold(0, |sum, of| sum.saturating_add(of.events)), month }
    }

    fn as_of(&self) -> Option<ReceivedTime> {
        commerce::time::parse_received(self.as_of.as_deref()?).ok()
    }
}

/// Quotas that could never be held against what was counted, each with its place: nobody is there who says it.
pub(crate) fn unsettled(workspaces: &Workspaces, reports_url: Option<&str>) -> Vec<String> {
    let limited = workspaces.iter().filter(|workspace| workspace.plan.monthly_events.is_some());
    let mistake = |workspace: &Workspace| {
        format!(
            "workspaces.{}.plan.monthly_events: it needs gateway.reports_url, the query service that says what was counted",
            workspace.id
        )
    };
    limited.filter(|_| reports_url.is_none()).map(mistake).collect()
}

/// Asks until the shutdown. A query service that doesn't answer leaves the counts as they are: what this copy has let
/// in goes on counting.
pub(crate) async fn settle(intake: &Intake, base: &str, shutdown: &Shutdown) {
    let client = reqwest::Client::builder().timeout(WITHIN).no_proxy().build();
    let Ok(client) = client else { return };
    let mut failing = false;
    loop {
        let mut failed = None;
        for (workspace, key) in limited(&intake.workspaces.load_full()) {
            match ask(&client, base, &key).await {
                Ok(usage) => {
                    let now = clock::now();
                    let counted = usage.counted(month_of(now));
                    intake.meter.quotas.settle(&workspace, counted, usage.as_of(), now);
                }
                Err(error) => failed = Some((workspace, error.without_url())),
            }
        }
        // Once, and not every few seconds for as long as it lasts.
        match &failed {
            Some((workspace, error)) if !failing => {
                tracing::warn!(%workspace, %error, "quotas aren't settled: nobody says what was used");
            }
            None if failing => tracing::info!("quotas are settled again"),
            _ => {}
        }
        failing = failed.is_some();
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// The workspaces with a quota, each with a key that may ask.
fn limited(workspaces: &Workspaces) -> Vec<(commerce::WorkspaceId, String)> {
    let limited = workspaces.iter().filter(|workspace| workspace.plan.monthly_events.is_some());
    limited
        .filter_map(|workspace| {
            let key = workspace.analytics.secret_keys.first()?;
            Some((workspace.id.clone(), key.expose().to_owned()))
        })
        .collect()
}

async fn ask(client: &reqwest::Client, base: &str, key: &str) -> Result<Usage, reqwest::Error> {
    let request = client.get(format!("{base}/v1/metrics/usage")).header("x-api-key", key);
    request.send().await?.error_for_status()?.json().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_of_the_month_are_those_of_the_analytics_api() {
        let text = r#"{"months":[{"month":"2026-01","source":"analytics","events":5},
            {"month":"2026-02","source":"analytics","events":7},{"month":"2026-02","source":"shopify","events":9}],
            "as_of":"2026-02-03T04:05:06Z"}"#;
        let usage: Usage = serde_json::from_str(text).unwrap();
        assert_eq!(usage.counted("2026-02".to_owned()).events, 7);
        assert_eq!(usage.counted("2026-03".to_owned()).events, 0);
        assert_eq!(usage.as_of(), commerce::time::parse_received("2026-02-03T04:05:06Z").ok());
        let none: Usage = serde_json::from_str(r#"{"months":[],"as_of":null}"#).unwrap();
        assert_eq!(none.as_of(), None);
    }
}
