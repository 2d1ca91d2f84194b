//! The dashboard's live stream: server-sent events.
//!
//! | event | data | when |
//! |---|---|---|
//! | `reading` | `{"reading": "loading" \| "live" \| "interrupted"}` | first, and when it changes |
//! | `summary` | [`summary::Summary`] | when it changed, at most four a second |
//! | `beat` | `{"now": "<RFC 3339>"}` | after ten quiet seconds, so that silence means a broken line |
//!
//! A slow client holds up nobody: a frame is made when the last one was taken, always from the newest snapshot.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use commerce::EventTime;
use commerce::id::Mark;
use futures_util::stream;
use http::header;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use crate::error::Error;
use crate::http::{App, View};
use crate::reports::summary;
use crate::snapshot::{Reading, Workspace};
use crate::tenants::Tenant;

/// At most four summaries a second.
const PACE: Duration = Duration::from_millis(250);
/// The longest silence.
const BEAT: Duration = Duration::from_secs(10);

/// The parameters of a stream. They are read anew for each frame, because "the last 30 days" moves at midnight.
#[derive(Debug)]
pub struct Asked(Vec<(String, String)>);

impl Asked {
    /// Keeps parameters that can be read.
    pub(crate) fn read(
        parameters: Vec<(String, String)>,
        tenant: &Tenant,
        now: EventTime,
    ) -> Result<Self, Error> {
        View::of_all_sources(&parameters, tenant, now)?;
        Ok(Self(parameters))
    }
}

/// An answer without end.
pub fn answer(app: Arc<App>, tenant: Arc<Tenant>, asked: Asked, permit: OwnedSemaphorePermit) -> Response {
    let changes = app.published.changes();
    let watcher = Watcher {
        app,
        tenant,
        asked,
        changes,
        reading: None,
        seen: None,
        sent: None,
        not_before: None,
        _permit: permit,
    };
    let frames = stream::unfold(watcher, |mut watcher| async move {
        let frame = watcher.next().await?;
        Some((Ok::<_, Infallible>(frame), watcher))
    });
    let kind = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // A proxy that gathers would turn live into late.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (kind, Body::from_stream(frames)).into_response()
}

struct Watcher {
    app: Arc<App>,
    tenant: Arc<Tenant>,
    asked: Asked,
    changes: watch::Receiver<u64>,
    reading: Option<Reading>,
    /// What the last summary was made from: unchanged, it needn't be made again.
    seen: Option<Option<Arc<Workspace>>>,
    /// The digest of the last summary.
    sent: Option<Mark>,
    not_before: Option<Instant>,
    /// Gives the place back when the client is gone.
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    /// The next frame, when there is one; `None` at the end of the service.
    async fn next(&mut self) -> Option<Bytes> {
        let mut quiet = false;
        loop {
            if let Some(pause) = self.not_before.take() {
                tokio::select! {
                    () = tokio::time::sleep_until(pause) => {}
                    () = self.app.shutdown.wait() => return None,
                }
            }
            if self.app.shutdown.is_triggered() {
                return None;
            }
            self.changes.borrow_and_update();
            let frame = self.frame(quiet);
            if !frame.is_empty() {
                self.not_before = Some(Instant::now() + PACE);
                return Some(Bytes::from(frame));
            }
            quiet = tokio::select! {
                changed = self.changes.changed() => {
                    changed.ok()?;
                    false
                }
                () = tokio::time::sleep(BEAT) => true,
                () = self.app.shutdown.wait() => return None,
            };
        }
    }

    /// What there is to say: nothing, or one or two events. After a silence there is always something.
    fn frame(&mut self, quiet: bool) -> String {
        let mut frame = String::new();
        let reading = self.app.published.reading();
        if self.reading != Some(reading) {
            self.reading = Some(reading);
            let name = match reading {
                Reading::Loading => "loading",
                Reading::Live => "live",
                Reading::Interrupted => "interrupted",
            };
            let _ = write!(frame, "event: reading\ndata: {{\"reading\":\"{name}\"}}\n\n");
        }
        if reading != Reading::Loading
            && let Some(summary) = self.summary(quiet)
        {
            let _ = write!(frame, "event: summary\ndata: {summary}\n\n");
        }
        if quiet && frame.is_empty() {
            let now = (self.app.now)().to_rfc3339();
            let _ = write!(frame, "event: beat\ndata: {{\"now\":\"{now}\"}}\n\n");
        }
        frame
    }

    /// The summary, if it isn't the one that was sent last. `again`: also when no record came, for the day may have.
    fn summary(&mut self, again: bool) -> Option<String> {
        let workspace = self.app.published.snapshot().workspace(self.tenant.id.as_str()).cloned();
        let same = match (&self.seen, &workspace) {
            (Some(Some(seen)), Some(now)) => Arc::ptr_eq(seen, now),
            (Some(None), None) => true,
            _ => false,
        };
        if same && !again {
            return None;
        }
        let now = (self.app.now)();
        let view = View::read(&self.asked.0, &self.tenant, now).ok()?;
        let summary = summary::of(&self.tenant, workspace.as_deref(), view.range, view.currency, now);
        self.seen = Some(workspace);
        let text = serde_json::to_string(&summary)
            .inspect_err(|error| tracing::error!(%error, "a summary couldn't be written"))
            .ok()?;
        let mark = Mark::of(&[text.as_bytes()]);
        (self.sent.replace(mark) != Some(mark)).then_some(text)
    }
}
