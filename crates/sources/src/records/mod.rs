//! The records API (described at `/docs`): rows that are appended, profiles that are upserted, one at a time or in batches.
//!
//! The door reads every record as the normalizer does, and tells the sender what is wrong; nothing that it refuses is
//! kept. The bad records of a batch are listed beside the good ones, in the answer and in what is stored. A
//! request with an `Idempotency-Key` goes with what its key stands for ([`Keyed`]): whoever answers asks first whether the
//! key was answered before. The key is a part of the transport key, too, and each keyed record carries the digest of its
//! content, so that the state stage finds what came past that question. Without a key every delivery is one of its own.

mod address;
mod answer;
mod authenticate;
mod canonical;
mod deliveries;
pub mod import;
mod normalize;
mod operations;
mod row;
mod validate;

use crate::http::{
    Accepted, BACKFILL, Decision, IMPORT, Keyed, Letter, OtherContent, Refused, Reply, Request,
    stored_headers,
};
use crate::json::Scalar;
use crate::meter::Meter;
use crate::read::Reader;
use crate::workspace::Workspaces;
use crate::{Family, Place, REJECTED_ITEMS};
use address::{Address, Object, Operation};
use answer::{Code, Fault, Rejected};
use authenticate::Bearer;
use commerce::reason::Failure;
use commerce::{Mark, Reason, Source, WorkspaceId};
use row::Context;
use validate::Body;

pub(crate) const FAMILY: Family = Family {
    source: Source::Records,
    title: ("Records", "Rows that are appended and profiles that are merged."),
    operations: operations::OPERATIONS,
    place,
    accept,
    normalize: normalize::normalize,
    present: authenticate::present,
    #[cfg(test)]
    vocabulary: Vec::new,
    deliveries: deliveries::all,
    error: answer::of_status,
};

/// 10 MiB (R8.6).
const BODY_LIMIT: usize = 10 * 1024 * 1024;

/// How a request is authenticated.
const VERDICT: &str = "key";

/// The header under which the digest of the credential is stored.
const CREDENTIAL: &str = "credential";

fn place(path: &str) -> Option<Place> {
    Address::parse(path).map(|_| Place { body_limit: BODY_LIMIT, allow: "POST" })
}

fn accept(request: &Request<'_>, workspaces: &Workspaces, meter: &dyn Meter) -> Decision {
    decide(request, workspaces, meter).unwrap_or_else(|refusal| *refusal)
}

/// `Err` is what is answered instead.
fn decide(
    request: &Request<'_>,
    workspaces: &Workspaces,
    meter: &dyn Meter,
) -> Result<Decision, Box<Decision>> {
    let (bearer, address, object) = admit(request, workspaces, meter)?;
    let workspace = bearer.workspace;
    let key =
        validate::idempotency_key(request).map_err(|failure| refuse(request, Code::Invalid, &failure))?;
    let credential = bearer.credential.to_hex();
    let mut headers = stored_headers(request, None);
    headers.push((CREDENTIAL.to_owned(), credential.clone()));
    headers.extend(key.map(|key| (format!("http.{KEY}"), key.to_owned())));
    let keyed = key.map(|key| {
        let key = keyed(workspace.id.as_str(), &credential, address, key);
        claim(key, workspace.id.clone(), address, request.body, &headers)
    });
    let body = match validate::body(address, request.body) {
        Ok(body) => body,
        Err(failure) => return Err(first_stands(keyed, refuse(request, Code::Invalid, &failure))),
    };
    let labelled = [IMPORT, BACKFILL].iter().any(|name| request.header(name).is_some());
    let context = Context { workspace, labelled, address, object, match_key: body.match_key.as_deref() };
    let rejected = match rejected(request, context, &body) {
        Ok(rejected) => rejected,
        Err(refused) => return Err(first_stands(keyed, refused)),
    };
    let delivery = keyed.as_ref().map_or_else(
        || {
            let (workspace, object) = (workspace.id.as_str().as_bytes(), address.object.as_bytes());
            let operation = address.operation.as_str().as_bytes();
            Mark::of(&[b"records", workspace, object, operation, b"body", request.body])
        },
        |keyed| keyed.key,
    );
    if !rejected.is_empty() {
        let places: Vec<_> = rejected.iter().map(|rejected| rejected.index.to_string()).collect();
        headers.push((REJECTED_ITEMS.to_owned(), places.join(",")));
    }
    let records = u32::try_from(body.records.len().saturating_sub(rejected.len())).unwrap_or(u32::MAX);
    Ok(Decision::Accept(Accepted {
        source: Source::Records,
        workspace: workspace.id.clone(),
        verdict: VERDICT,
        headers,
        delivery,
        body: None,
        reply: answer::success(address, &body, &rejected, request.received_at, request.correlation),
        keyed: keyed.map(|keyed| Keyed { records, ..keyed }),
    }))
}

/// What is asked about a key before its request is taken or refused.
fn claim(
    key: Mark,
    workspace: WorkspaceId,
    address: Address<'_>,
    body: &[u8],
    headers: &[(String, String)],
) -> Keyed {
    let failure = Failure::at(
        Reason::IdempotencyBodyMismatch,
        "headers.idempotency-key",
        "the key came before with another body, which stands",
    );
    Keyed {
        key,
        content: canonical::body(address, body),
        other: match address.operation {
            Operation::Append => OtherContent::IsLetter,
            Operation::Upsert => OtherContent::IsApplied,
        },
        records: 0,
        letter: Letter { workspace, verdict: VERDICT, headers: headers.to_vec(), failure },
    }
}

/// Of an append whose key was answered before that answer stands, whatever the new body is worth (D-REC-1). An upsert
/// that can't be applied changes nothing, so its sender is told.
fn first_stands(keyed: Option<Keyed>, decision: Box<Decision>) -> Box<Decision> {
    match (*decision, keyed) {
        (Decision::Refuse(refused), Some(keyed)) if keyed.other == OtherContent::IsLetter => {
            Box::new(Decision::Refuse(Refused { keyed: Some(keyed), ..refused }))
        }
        (decision, _) => Box::new(decision),
    }
}

/// Says who sends, to which object, and that they may.
fn admit<'a, 'w>(
    request: &Request<'a>,
    workspaces: &'w Workspaces,
    meter: &dyn Meter,
) -> Result<(Bearer<'w>, Address<'a>, Object), Box<Decision>> {
    let refuse = |code, reason, field, message| refuse(request, code, &Failure::at(reason, field, message));
    let bearer = authenticate::bearer(request, workspaces).ok_or_else(|| {
        let message = "the token is missing or unknown";
        refuse(Code::Unauthorized, Reason::UnknownKey, "headers.authorization", message)
    })?;
    let address = Address::parse(request.path)
        .ok_or_else(|| refuse(Code::NotFound, Reason::UnknownPath, "path", "there is no such path"))?;
    if !bearer.opens(address.object) {
        let message = "the token doesn't open this object";
        return Err(refuse(Code::Forbidden, Reason::KeyNotAllowed, "object", message));
    }
    let workspace = bearer.workspace;
    if let Some(limit) = workspace.plan.requests_per_second {
        meter.pace(bearer.credential, limit).map_err(|seconds| {
            let reply = answer::of_status(429, "too many requests", request.correlation);
            Box::new(Refused::plain(Reason::RateLimited, Reply { retry_after: Some(seconds), ..reply }))
        })?;
    }
    let object = Object::parse(address.object, workspace)
        .ok_or_else(|| refuse(Code::NotFound, Reason::UnknownPath, "object", "there is no such object"))?;
    address.check(object).map_err(|failure| self::refuse(request, Code::Invalid, &failure))?;
    Ok((bearer, address, object))
}

/// A refusal of the request as a whole. It leaves nothing behind.
fn refuse(request: &Request<'_>, code: Code, failure: &Failure) -> Box<Decision> {
    let path = failure.field.as_deref();
    let fault = Fault { code, message: &failure.message, path, value: Scalar::default() };
    Box::new(Refused::plain(failure.reason, answer::error(fault, request.correlation)))
}

/// The header of the idempotency key.
const KEY: &str = "idempotency-key";

/// The transport key of a request that has an idempotency key.
fn keyed(workspace: &str, credential: &str, address: Address<'_>, key: &str) -> Mark {
    let operation = if address.batch { b"batch".as_slice() } else { b"record" };
    Mark::of(&[
        b"records",
        workspace.as_bytes(),
        credential.as_bytes(),
        address.object.as_bytes(),
        address.operation.as_str().as_bytes(),
        operation,
        b"key",
        key.as_bytes(),
    ])
}

/// Reads all records and lists those that can't be taken. `Err`: there is nothing to take.
fn rejected(
    request: &Request<'_>,
    context: Context<'_>,
    body: &Body<'_>,
) -> Result<Vec<Rejected>, Box<Decision>> {
    let address = context.address;
    let mut rejected = Vec::new();
    let mut first = None;
    for (index, record) in body.records.iter().enumerate() {
        let Err((code, failure)) = read(request, context, *record) else { continue };
        let field = failure.field.as_deref().unwrap_or_default();
        let path = path_of(&address.path(index), field);
        if !address.batch {
            let value = record.object().map(|record| record.get(field)).unwrap_or_default();
            let fault = Fault { code, message: &failure.message, path: Some(&path), value };
            let reply = answer::error(fault, request.correlation);
            return Err(Box::new(Refused::plain(failure.reason, reply)));
        }
        first.get_or_insert(failure.reason);
        rejected.push(Rejected { index, code, path, message: failure.message });
    }
    match first {
        // The answer says so record by record; there is nothing to store.
        Some(reason) if rejected.len() == body.records.len() => {
            let received_at = request.received_at;
            let reply = answer::success(address, body, &rejected, received_at, request.correlation);
            Err(Box::new(Refused::plain(reason, reply)))
        }
        _ => Ok(rejected),
    }
}

fn read(request: &Request<'_>, context: Context<'_>, record: Scalar<'_>) -> Result<(), (Code, Failure)> {
    row::read(&mut Reader::new(request.received_at), context, record)
        .map_err(|failure| (Code::Invalid, failure))?;
    let strict = context.workspace.records.as_ref().is_some_and(|records| records.strict_schema);
    match row::unknown_field(context.object, record).filter(|_| strict) {
        Some(field) => {
            let failure = Failure::at(Reason::BadValue, field, "the schema has no such field");
            Err((Code::Schema, failure))
        }
        None => Ok(()),
    }
}

/// The longest path that is sent back, in bytes: a sender may name a field as it likes, and the answer to 10,000 records
/// is kept.
const LONGEST_PATH: usize = 300;

/// The path of a field in the body. The match key stands beside the records.
fn path_of(record: &str, field: &str) -> String {
    let mut path = match field {
        "" => record.to_owned(),
        "matchKey" => field.to_owned(),
        _ => format!("{record}.{field}"),
    };
    let mut end = path.len().min(LONGEST_PATH);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    path.truncate(end);
    path
}
