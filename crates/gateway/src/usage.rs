//! What the pipeline has counted of each month's quota, asked of the query service every few seconds.

use std::time::Duration;

use serde::Deserialize;
use service::{Shutdown, clock};
use sources::Workspaces;

use crate::intake::Intake;
use crate::meter::month_of;

/// How often is asked: the lag of a quota, together with the pipeline's own.
const EVERY: Duration = Duration::from_secs(5);
const WITHIN: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
struct Usage {
    months: Vec<Month>,
}

#[derive(Deserialize)]
struct Month {
    month: String,
    source: String,
    events: u64,
}

/// Asks until the shutdown. A query service that doesn't answer leaves the counts as they are: what this copy has let
/// in goes on counting.
pub(crate) async fn settle(intake: &Intake, base: &str, shutdown: &Shutdown) {
    let client = reqwest::Client::builder().timeout(WITHIN).no_proxy().build();
    let Ok(client) = client else { return };
    loop {
        for (workspace, key) in limited(&intake.workspaces.load_full()) {
            match ask(&client, base, &key).await {
                Ok(usage) => {
                    let month = month_of(clock::now());
                    let of_month =
                        usage.months.iter().filter(|m| m.month == month && m.source == "analytics");
                    let events = of_month.map(|m| m.events).sum();
                    intake.meter.quotas.settle(&workspace, month, events);
                }
                Err(error) => {
                    let error = error.without_url();
                    tracing::debug!(%error, "the query service doesn't say what was used");
                }
            }
        }
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
