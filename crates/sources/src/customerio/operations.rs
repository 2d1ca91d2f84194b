//! The Track API as the documentation shows it.

use super::SUCCESS;
use crate::operation::{
    Answer, Body, Credential, Example, Field, Kind, Operation, Parameter, Scheme, example,
};

const CREDENTIALS: &[Credential] = &[Credential {
    name: "track_credentials",
    scheme: Scheme::Basic,
    text: "The site id as the user, the API key as the password.",
}];

const IDENTIFIER: Parameter = Parameter::path(
    "identifier",
    "An id, an e-mail address or `cio_…`, percent-encoded, at most 150 bytes.",
    "5",
);
const SEGMENT: Parameter = Parameter::path("segment_id", "A manual segment.", "7");
const ID_TYPE: Parameter = Parameter::query("id_type", "What the ids in the body are.", "id");

const TAKEN: Answer = Answer::new(200, "The call is committed.", "");
const DENIED: Answer = Answer::new(
    401,
    "The credentials are missing or unknown.",
    r#"{"meta":{"error":"Unauthorized request","errors":["Unauthorized request"]}}"#,
);
const PACED: Answer = Answer::again(
    429,
    "The credentials have used up their requests per second.",
    r#"{"meta":{"error":"too many requests","errors":["too many requests"]}}"#,
);
const BAD: Answer = Answer::new(
    400,
    "The first thing that is wrong with the call.",
    r#"{"meta":{"error":"name cannot be blank","errors":["name cannot be blank"]}}"#,
);
const BAD_V2: Answer = Answer::new(
    400,
    "The first thing that is wrong with the call.",
    r#"{"errors":[{"reason":"required","field":"type","message":"type cannot be blank"}]}"#,
);
const ANSWERS: &[Answer] = &[TAKEN, BAD, DENIED, PACED];

const ATTRIBUTES: Body = Body {
    text: "At most 300 attributes of at most 1,000 bytes each.",
    fields: &[
        Field::new("email", Kind::Text, "The e-mail address."),
        Field::new("id", Kind::Id, "Another id of the person."),
        Field::new("anonymous_id", Kind::Id, "Joins what was done before the person was known."),
        Field::new("created_at", Kind::Unix, "Since when the person is a customer."),
        Field::new("unsubscribed", Kind::Flag, "Whether the person wants no messages."),
    ],
};

const EVENT: Body = Body {
    text: "An event.",
    fields: &[
        Field::new("name", Kind::Text, "What happened, at most 100 bytes.").required(),
        Field::new("id", Kind::Id, "The sender's own id: the same id again is the same event."),
        Field::new("timestamp", Kind::Unix, "When it happened."),
        Field::new("type", Kind::Text, "`page` or `screen` where something was looked at."),
        Field::new("data", Kind::Object, "What else there is to say, at most 100,000 bytes."),
        Field::new("anonymous_id", Kind::Id, "Who it was before the person was known."),
    ],
};

/// Taken and stored; no event comes of it.
const KEPT: Body =
    Body { text: "As the provider's own clients send it. It is stored and gives no event.", fields: &[] };

/// What all operations have.
const BASE: Operation = Operation {
    id: "",
    method: "POST",
    path: "",
    summary: "",
    description: "",
    credentials: CREDENTIALS,
    parameters: &[],
    body: None,
    examples: &[],
    answers: ANSWERS,
};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "identifyPerson",
        method: "PUT",
        path: "/api/v1/customers/{identifier}",
        summary: "Adds or changes a person",
        parameters: &[IDENTIFIER],
        body: Some(ATTRIBUTES),
        examples: &[example!("customerio_identify", 200, SUCCESS)],
        ..BASE
    },
    Operation {
        id: "deletePerson",
        method: "DELETE",
        path: "/api/v1/customers/{identifier}",
        summary: "Deletes a person",
        parameters: &[IDENTIFIER],
        examples: &[Example::bodiless("customerio_delete", 200, SUCCESS)],
        ..BASE
    },
    Operation {
        id: "trackPersonEvent",
        path: "/api/v1/customers/{identifier}/events",
        summary: "Takes an event of a person",
        parameters: &[IDENTIFIER],
        body: Some(EVENT),
        examples: &[example!("customerio_event", 200, SUCCESS)],
        ..BASE
    },
    Operation {
        id: "trackAnonymousEvent",
        path: "/api/v1/events",
        summary: "Takes an event of somebody who isn't known yet",
        body: Some(EVENT),
        examples: &[example!("customerio_anonymous_event", 200, SUCCESS)],
        ..BASE
    },
    Operation {
        id: "mergePeople",
        path: "/api/v1/merge_customers",
        summary: "Makes two persons one",
        body: Some(Body {
            text: "Each person by `id`, `email` or `cio_id`.",
            fields: &[
                Field::new("primary", Kind::Object, "Who remains.").required(),
                Field::new("secondary", Kind::Object, "Who is merged into the other.").required(),
            ],
        }),
        examples: &[example!("customerio_merge", 200, SUCCESS)],
        ..BASE
    },
    Operation {
        id: "suppressPerson",
        path: "/api/v1/customers/{identifier}/suppress",
        summary: "Deletes a person and bars the identifier",
        parameters: &[IDENTIFIER],
        examples: &[Example::bodiless("customerio_suppress", 200, SUCCESS)],
        ..BASE
    },
    Operation {
        id: "unsuppressPerson",
        path: "/api/v1/customers/{identifier}/unsuppress",
        summary: "Readmits an identifier",
        parameters: &[IDENTIFIER],
        examples: &[Example::bodiless("customerio_unsuppress", 200, SUCCESS)],
        ..BASE
    },
    Operation {
        id: "putDevice",
        method: "PUT",
        path: "/api/v1/customers/{identifier}/devices",
        summary: "Adds a device of a person",
        parameters: &[IDENTIFIER],
        body: Some(Body {
            text: "It is stored and gives no event.",
            fields: &[
                Field::new("device", Kind::Object, "`id` and `platform`, which are required.").required()
            ],
        }),
        examples: &[example!("customerio_device", 200, SUCCESS)],
        ..BASE
    },
    Operation {
        id: "deleteDevice",
        method: "DELETE",
        path: "/api/v1/customers/{identifier}/devices/{device_id}",
        summary: "Removes a device of a person",
        parameters: &[IDENTIFIER, Parameter::path("device_id", "The device's token.", "device-1")],
        examples: &[Example::bodiless("customerio_delete_device", 200, SUCCESS)],
        ..BASE
    },
    Operation {
        id: "accountRegion",
        method: "GET",
        path: "/api/v1/accounts/region",
        summary: "Says where the account lives",
        description: "Always here, so that clients that ask stay where they are.",
        examples: &[Example::bodiless(
            "customerio_region",
            200,
            r#"{"url":"","region":"us","environment_id":"demo"}"#,
        )],
        answers: &[Answer::new(200, "The address is that of the `Host` header.", ""), DENIED, PACED],
        ..BASE
    },
    Operation {
        id: "addToSegment",
        path: "/api/v1/segments/{segment_id}/add_customers",
        summary: "Adds people to a manual segment",
        parameters: &[SEGMENT, ID_TYPE],
        body: Some(KEPT),
        examples: &[example!("customerio_segment", 200, SUCCESS)],
        ..BASE
    },
    Operation {
        id: "removeFromSegment",
        path: "/api/v1/segments/{segment_id}/remove_customers",
        summary: "Removes people from a manual segment",
        parameters: &[SEGMENT, ID_TYPE],
        body: Some(KEPT),
        examples: &[example!("customerio_segment", 200, SUCCESS)],
        ..BASE
    },
    Operation {
        id: "submitForm",
        path: "/api/v1/forms/{form_id}/submit",
        summary: "Takes a form that was filled in",
        parameters: &[Parameter::path("form_id", "The form.", "signup")],
        body: Some(KEPT),
        examples: &[example!("customerio_form", 204, "")],
        answers: &[Answer::new(204, "The form is committed.", ""), BAD, DENIED, PACED],
        ..BASE
    },
    Operation {
        id: "reportMetrics",
        path: "/api/v1/metrics",
        summary: "Takes what became of a message",
        body: Some(KEPT),
        examples: &[example!("customerio_metric", 200, SUCCESS)],
        ..BASE
    },
    Operation {
        id: "reportPush",
        path: "/api/v1/push/events",
        summary: "Takes what became of a push message",
        body: Some(KEPT),
        examples: &[example!("customerio_push", 200, SUCCESS)],
        ..BASE
    },
    Operation {
        id: "unsubscribe",
        path: "/unsubscribe/{delivery_id}",
        summary: "Takes that somebody has unsubscribed by a message",
        description: "The provider asks for no credentials here. Nothing but they ties a delivery to a workspace, so \
                      here they are required.",
        parameters: &[Parameter::path("delivery_id", "The message.", "RPILAgUBcRhIBqSfeiIwdIYJKxTY")],
        body: Some(Body {
            text: "Whether somebody has unsubscribed, and who, as far as the sender knows.",
            fields: &[Field::new("unsubscribe", Kind::Flag, "Without `true` nothing comes of it.")],
        }),
        examples: &[example!("customerio_unsubscribe", 200, SUCCESS)],
        ..BASE
    },
    Operation {
        id: "entity",
        path: "/api/v2/entity",
        summary: "Takes one operation of version 2",
        body: Some(Body {
            text: "An operation on a person, an object or a delivery, at most 32,000 bytes.",
            fields: ENTITY,
        }),
        examples: &[example!("customerio_entity", 200, SUCCESS)],
        answers: &[TAKEN, BAD_V2, DENIED, PACED],
        ..BASE
    },
    Operation {
        id: "batch",
        path: "/api/v2/batch",
        summary: "Takes many operations of version 2",
        description: "Good operations are taken beside bad ones, which the answer lists.",
        body: Some(Body {
            text: "At most 500,000 bytes.",
            fields: &[Field::new("batch", Kind::Objects, "Operations, each as in `entity`.").required()],
        }),
        examples: &[
            example!("customerio_batch", 200, SUCCESS),
            example!(
                "customerio_batch_partly",
                207,
                r#"{"errors":[{"batch_index":1,"reason":"required","field":"name","message":"name cannot be blank"}]}"#
            ),
        ],
        answers: &[
            TAKEN,
            Answer::new(207, "Some operations, or all, are refused; the others are committed.", ""),
            BAD_V2,
            DENIED,
            PACED,
        ],
        ..BASE
    },
];

const ENTITY: &[Field] = &[
    Field::new("type", Kind::Text, "`person`, `object` or `delivery`.").required(),
    Field::new(
        "action",
        Kind::Text,
        "Of a person: `identify`, `event`, `page`, `screen`, `delete`, `suppress`, `unsuppress`, `merge`, `add_device`, \
         `delete_device`, `add_relationships` or `delete_relationships`.",
    )
    .required(),
    Field::new("identifiers", Kind::Object, "Who: `id`, `email`, `phone`, `cio_id` or `anonymous_id`."),
    Field::new("name", Kind::Text, "Of an event."),
    Field::new("id", Kind::Id, "Of an event: the same id again is the same event."),
    Field::new("timestamp", Kind::Unix, "When it happened."),
    Field::new("attributes", Kind::Object, "Of a person, or what there is to say of an event."),
    Field::new("primary", Kind::Object, "Of `merge`: who remains."),
    Field::new("secondary", Kind::Object, "Of `merge`: who is merged into the other."),
];
