//! What was said of a person, an order, a payment: look-ups in the [`crate::history`].

use axum::extract::{Path, State};
use axum::response::Response;
use commerce::{PersonId, Profile, WorkspaceId};
use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;

use super::{App, Parameters, Shared, answer, loaded, value};
use crate::error::Error;
use crate::history::{Cursor, Index};
use crate::snapshot::Stores;
use crate::{orders, people};

/// How many rows are answered unless `limit` says so.
const USUAL: usize = 50;
/// As many rows are answered at most.
const MOST: usize = 1_000;

/// Which part of a list is asked for.
struct Asked {
    limit: usize,
    before: Option<Cursor>,
}

impl Asked {
    fn read(parameters: &[(String, String)]) -> Result<Self, Error> {
        let limit = match value(parameters, "limit") {
            None => USUAL,
            Some(text) => text.parse().ok().filter(|limit| *limit > 0).ok_or(Error::InvalidLimit)?,
        };
        let before = value(parameters, "before").map(|text| Cursor::parse(text).ok_or(Error::InvalidBefore));
        Ok(Self { limit: limit.min(MOST), before: before.transpose()? })
    }
}

/// A person by any identifier: who has a profile, else who is known by that identifier alone.
struct Found {
    person: PersonId,
    profile: Option<Profile>,
}

fn find(
    app: &App,
    index: &Index,
    stores: &Stores,
    workspace: &WorkspaceId,
    id: &str,
) -> Result<Option<Found>, Error> {
    if let Some(profile) = people::find(&stores.people, workspace.as_str(), id) {
        return Ok(Some(Found { person: profile.person_id, profile: Some(profile) }));
    }
    let id = id.trim();
    for person in PersonId::parse(id).into_iter().chain(app.published.history().alone(workspace, id)) {
        if index.is_known(workspace.as_str(), person)? {
            return Ok(Some(Found { person, profile: None }));
        }
    }
    Ok(None)
}

#[derive(Debug, Serialize)]
struct Events {
    person_id: PersonId,
    events: Vec<Value>,
    /// Where the list goes on; absent at its end.
    next_before: Option<String>,
}

pub(super) async fn events(
    State(app): Shared,
    Path(id): Path<String>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let tenant = app.tenant(&headers)?;
    let asked = Asked::read(&parameters?.0)?;
    loaded(&app)?;
    let index = app.published.history().index().ok_or(Error::Loading)?;
    on_disk(move || {
        let stores = app.published.stores();
        let found = find(&app, &index, &stores, &tenant.id, &id)?.ok_or(Error::NotFound)?;
        let (events, next) = index.told(tenant.id.as_str(), found.person, asked.before, asked.limit)?;
        let next_before = next.map(|cursor| cursor.to_string());
        answer(&headers, &Events { person_id: found.person, events, next_before })
    })
    .await
}

#[derive(Debug, Serialize)]
struct Versions {
    order_id: String,
    history: Vec<Value>,
}

pub(super) async fn versions(
    State(app): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let tenant = app.tenant(&headers)?;
    loaded(&app)?;
    let index = app.published.history().index().ok_or(Error::Loading)?;
    on_disk(move || {
        let stores = app.published.stores();
        let workspace = tenant.id.as_str();
        let Some(view) = orders::find(&stores.orders, workspace, &id) else {
            let rows = index.set_aside(workspace, &id)?;
            if rows.is_empty() {
                return Err(Error::NotFound);
            }
            let history = rows.iter().map(|row| row.answer(workspace, None)).collect::<Result<_, _>>()?;
            return answer(&headers, &Versions { order_id: id, history });
        };
        let buyer = view.person_id.and_then(|id| people::find(&stores.people, workspace, &id.to_string()));
        let rows = index.versions(workspace, &view)?;
        let history =
            rows.iter().map(|row| row.answer(workspace, buyer.as_ref())).collect::<Result<_, _>>()?;
        answer(&headers, &Versions { order_id: view.id, history })
    })
    .await
}

#[derive(Debug, Serialize)]
struct Payments {
    payments: Vec<Value>,
    /// Where the list goes on; absent at its end.
    next_before: Option<String>,
}

pub(super) async fn payments(
    State(app): Shared,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let tenant = app.tenant(&headers)?;
    let parameters = parameters?.0;
    let asked = Asked::read(&parameters)?;
    loaded(&app)?;
    let index = app.published.history().index().ok_or(Error::Loading)?;
    on_disk(move || {
        let stores = app.published.stores();
        let workspace = tenant.id.as_str();
        let of = match value(&parameters, "person") {
            Some(id) => Some(find(&app, &index, &stores, &tenant.id, id)?.ok_or(Error::NotFound)?),
            None => None,
        };
        let person = of.as_ref().map(|found| found.person);
        let (rows, next) = index.payments(workspace, person, asked.before, asked.limit)?;
        let payments = rows.iter().map(|row| {
            let profile = match &of {
                Some(found) => found.profile.clone(),
                None => row.person_id.and_then(|id| people::find(&stores.people, workspace, &id.to_string())),
            };
            row.answer(profile.as_ref())
        });
        let payments = payments.collect::<Result<_, _>>()?;
        answer(&headers, &Payments { payments, next_before: next.map(|cursor| cursor.to_string()) })
    })
    .await
}

/// Reads from disk where that may take a while.
async fn on_disk(read: impl FnOnce() -> Result<Response, Error> + Send + 'static) -> Result<Response, Error> {
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| {
        tracing::error!(%error, "an answer from disk ended in a panic");
        Err(Error::Internal)
    })
}
