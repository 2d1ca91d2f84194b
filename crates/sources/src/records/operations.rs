//! Records as the documentation shows them.

use crate::operation::{Answer, Body, Credential, Field, Kind, Operation, Parameter, Scheme, example};

const CREDENTIALS: &[Credential] = &[Credential {
    name: "records_token",
    scheme: Scheme::Bearer,
    text: "A token of the workspace, for all objects or for one.",
}];

const FACTS: Parameter = Parameter::path(
    "object",
    "`orders`, `payments`, `product_events`, or an object that the workspace has named.",
    "orders",
);
const PROFILES: Parameter = Parameter::path("object", "`profiles`.", "profiles");
const KEY: Parameter = Parameter::header(
    "Idempotency-Key",
    "1 to 255 visible ASCII characters. For 24 hours the same key again, of the same token, object and operation, is the \
     same request: it is answered with the answer that is stored, and changes nothing. With another body, of whatever \
     worth: an append is answered likewise, the first body stands, and the other one becomes a dead letter \
     `idempotency_body_mismatch`; an upsert is applied. Errors aren't remembered. Without a key every request counts.",
    "nightly-2026-03-14",
);
const IMPORT: Parameter =
    Parameter::header("tillstream-backfill", "Labels a load of old records; any text.", "spring-import");
const PARAMETERS: &[Parameter] = &[FACTS, KEY, IMPORT];
const OF_PROFILES: &[Parameter] = &[PROFILES, KEY, IMPORT];

const MATCH_KEY: Field = Field::new(
    "matchKey",
    Kind::Text,
    "The field whose value says which row is meant; `email` unless given.",
);
const RECORDS: Field = Field::new("records", Kind::Objects, "1 to 10,000 records.").required();

const TAKEN: Answer = Answer::new(
    200,
    "The records are committed. `Idempotency-Replayed: true` says that this is the stored answer to an earlier request \
     of the same key, with its `correlationId` and `acceptedAt`.",
    "",
);
const TAKEN_BATCH: Answer = Answer::new(
    200,
    "The good records are committed, the others are in `errors`; with none of them good, `accepted` is `false`.",
    "",
);
const INVALID: Answer = Answer::new(
    400,
    "The request or its record can't be taken.",
    r#"{"success":false,"correlationId":"0af7651916cd43dd8448eb211c80319c","error":{"code":"CDP_ETL.VALIDATION.REQUEST_INVALID","message":"the field is absent","details":{"path":"record.total"},"remediation":"Mend the request; the same bytes get the same answer."}}"#,
);
const DENIED: Answer = Answer::new(
    401,
    "The token is missing or unknown.",
    r#"{"success":false,"correlationId":"0af7651916cd43dd8448eb211c80319c","error":{"code":"CDP_ETL.AUTH.UNAUTHORIZED","message":"the token is missing or unknown","details":{"path":"headers.authorization"},"remediation":"Send Authorization: Bearer and a token of the workspace."}}"#,
);
const FORBIDDEN: Answer = Answer::new(
    403,
    "The token doesn't open this object.",
    r#"{"success":false,"correlationId":"0af7651916cd43dd8448eb211c80319c","error":{"code":"CDP_ETL.AUTH.FORBIDDEN","message":"the token doesn't open this object","details":{"path":"object"},"remediation":"Use a token that opens this object."}}"#,
);
const UNKNOWN: Answer = Answer::new(
    404,
    "The workspace has no such object.",
    r#"{"success":false,"correlationId":"0af7651916cd43dd8448eb211c80319c","error":{"code":"CDP_ETL.NOT_FOUND","message":"there is no such object","details":{"path":"object"},"remediation":"Use an object of the workspace, or add it to records.objects."}}"#,
);
const IN_PROGRESS: Answer = Answer::again(
    409,
    "Another request with the same key is being processed, here or by another copy.",
    r#"{"success":false,"correlationId":"0af7651916cd43dd8448eb211c80319c","error":{"code":"CDP_ETL.CONFLICT.IN_PROGRESS","message":"a request with this key is being processed","remediation":"Send the same request with the same Idempotency-Key again after Retry-After."}}"#,
);
const SCHEMA: Answer = Answer::new(
    422,
    "The workspace is strict, and the object's schema has no such field.",
    r#"{"success":false,"correlationId":"0af7651916cd43dd8448eb211c80319c","error":{"code":"CDP_ETL.VALIDATION.REQUEST_SCHEMA","message":"the schema has no such field","details":{"path":"record.colour","value":"red"},"remediation":"Leave the field out, or switch records.strict_schema off."}}"#,
);
const LIMITED: Answer = Answer::again(
    429,
    "The token has used up its requests per second.",
    r#"{"success":false,"correlationId":"0af7651916cd43dd8448eb211c80319c","error":{"code":"CDP_ETL.RATE.LIMITED","message":"too many requests","remediation":"Send the same request with the same Idempotency-Key again after Retry-After."}}"#,
);
const ANSWERS: &[Answer] = &[TAKEN, INVALID, DENIED, FORBIDDEN, UNKNOWN, IN_PROGRESS, SCHEMA, LIMITED];
const OF_BATCH: &[Answer] = &[TAKEN_BATCH, INVALID, DENIED, FORBIDDEN, UNKNOWN, IN_PROGRESS, LIMITED];

const ROWS: &str = "`orders` need an id and `total`; `payments` an id and `amount_paid`; `product_events` `event_type` and \
                    `product_id`. Times need an offset. `_backfill` labels a row as a load, `_as_of` says when its totals \
                    held.";
const PEOPLE: &str = "A record names a person by its match key and says what is known: identifiers, totals (`ltv`, \
                      `order_count`, `last_order_at`) and any attribute. `null` clears an attribute.";

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "appendRecord",
        method: "POST",
        path: "/public/v1/records/{object}/append",
        summary: "Appends a record",
        description: ROWS,
        credentials: CREDENTIALS,
        parameters: PARAMETERS,
        body: Some(Body {
            text: "One record.",
            fields: &[Field::new("record", Kind::Object, "The record.").required()],
        }),
        examples: &[example!("records_order_append", 200, r#"{"success":true,"data":{"operation":"append","objectName":"orders","accepted":true,"acceptedAt":"2026-03-14T16:00:00Z","acceptedRecords":1},"correlationId":"0af7651916cd43dd8448eb211c80319c"}"#)],
        answers: ANSWERS,
    },
    Operation {
        id: "appendRecords",
        method: "POST",
        path: "/public/v1/records/{object}/append-batch",
        summary: "Appends many records",
        description: ROWS,
        credentials: CREDENTIALS,
        parameters: PARAMETERS,
        body: Some(Body { text: "Many records.", fields: &[RECORDS] }),
        examples: &[
            example!("records_payments_append_batch", 200, r#"{"success":true,"data":{"operation":"append","objectName":"payments","accepted":true,"acceptedAt":"2026-03-14T16:00:00Z","acceptedRecords":1,"rejectedRecords":1,"errors":[{"index":1,"code":"CDP_ETL.VALIDATION.REQUEST_INVALID","path":"records[1].amount_paid","message":"the field is absent"}]},"correlationId":"0af7651916cd43dd8448eb211c80319c"}"#).given(&[("object", "payments")]),
            example!("records_product_events_append_batch", 200, r#"{"success":true,"data":{"operation":"append","objectName":"product_events","accepted":true,"acceptedAt":"2026-03-14T16:00:00Z","acceptedRecords":2,"rejectedRecords":0,"errors":[]},"correlationId":"0af7651916cd43dd8448eb211c80319c"}"#).given(&[("object", "product_events")]),
        ],
        answers: OF_BATCH,
    },
    Operation {
        id: "upsertRecord",
        method: "POST",
        path: "/public/v1/records/{object}/upsert",
        summary: "Merges a record into what has the same value of the match key",
        description: PEOPLE,
        credentials: CREDENTIALS,
        parameters: OF_PROFILES,
        body: Some(Body {
            text: "One record.",
            fields: &[Field::new("record", Kind::Object, "The record.").required(), MATCH_KEY],
        }),
        examples: &[example!("records_profile_upsert", 200, r#"{"success":true,"data":{"operation":"upsert","objectName":"profiles","accepted":true,"acceptedAt":"2026-03-14T16:00:00Z","acceptedRecords":1,"matchKey":"email"},"correlationId":"0af7651916cd43dd8448eb211c80319c"}"#)],
        answers: ANSWERS,
    },
    Operation {
        id: "upsertRecords",
        method: "POST",
        path: "/public/v1/records/{object}/upsert-batch",
        summary: "Merges many records",
        description: PEOPLE,
        credentials: CREDENTIALS,
        parameters: OF_PROFILES,
        body: Some(Body { text: "Many records.", fields: &[RECORDS, MATCH_KEY] }),
        examples: &[example!("records_profiles_upsert_batch", 200, r#"{"success":true,"data":{"operation":"upsert","objectName":"profiles","accepted":true,"acceptedAt":"2026-03-14T16:00:00Z","acceptedRecords":2,"matchKey":"email","rejectedRecords":0,"errors":[]},"correlationId":"0af7651916cd43dd8448eb211c80319c"}"#)],
        answers: OF_BATCH,
    },
];
