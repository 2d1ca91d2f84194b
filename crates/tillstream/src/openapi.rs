//! `openapi`: the description of the HTTP API, made of what the sources, the query service and every service say of
//! their operations.
//!
//! `schemas/openapi.json` is what this makes, checked in so that the services can serve it and a change of the API is
//! seen in its diff.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use sources::Reply;
use sources::operation::{self, Answer, Body, Credential, Field, In, Kind, Operation, Parameter, Scheme};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItemBuilder, PathsBuilder,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Required, Server,
    ServerBuilder,
};

use crate::Stop;

/// Where the document is kept, from the root of the repository.
const FILE: &str = "schemas/openapi.json";

/// What becomes of a document that is made of the code.
#[derive(clap::Args, Debug)]
#[group(multiple = false)]
pub struct Args {
    /// Writes the file that is kept in schemas/, from the root of the repository.
    #[arg(long)]
    write: bool,
    /// Fails when the file is another one.
    #[arg(long)]
    check: bool,
}

/// Prints, writes or checks the document.
pub fn run(args: &Args) -> Result<(), Stop> {
    keep(args, FILE, "tillstream openapi --write", &text()?)
}

/// Prints a document, or writes or checks the file that is kept of it; `command` writes it.
pub(crate) fn keep(args: &Args, file: &str, command: &str, text: &str) -> Result<(), Stop> {
    if args.write {
        let root = Path::new(file).parent().is_some_and(Path::is_dir);
        if !root {
            return Err(Stop::Usage(anyhow!(
                "there is no folder schemas/ here: run it at the root of the repository"
            )));
        }
        std::fs::write(file, text).with_context(|| format!("{file} can't be written"))?;
        eprintln!("tillstream: wrote {file}");
        return Ok(());
    }
    if args.check {
        let kept = std::fs::read_to_string(file)
            .with_context(|| format!("{file} can't be read; run it at the root of the repository"))?;
        return match first_difference(&kept, text) {
            None => Ok(()),
            Some(line) => Err(Stop::Failed(anyhow!(
                "{file} isn't what the code says, from line {line} on; run `{command}` and commit the file"
            ))),
        };
    }
    crate::data(text.trim_end())
}

/// The first line that differs, counted from 1.
fn first_difference(kept: &str, made: &str) -> Option<usize> {
    if kept == made {
        return None;
    }
    let equal = kept.lines().zip(made.lines()).take_while(|(kept, made)| kept == made).count();
    Some(equal + 1)
}

/// The document as it is kept.
fn text() -> Result<String, serde_json::Error> {
    Ok(document().to_pretty_json()? + "\n")
}

/// Who answers at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Served {
    Gateway,
    Query,
    Both,
}

impl Served {
    fn servers(self) -> Vec<Server> {
        let of = |url: &str, text: &str| ServerBuilder::new().url(url).description(Some(text)).build();
        let gateway = of("http://127.0.0.1:8080", "gateway, as `tillstream up` starts it");
        let query = of("http://127.0.0.1:8090", "query service, as `tillstream up` starts it");
        match self {
            Self::Gateway => vec![gateway],
            Self::Query => vec![query],
            Self::Both => vec![gateway, query],
        }
    }
}

/// Operations that stand together.
struct Group {
    name: &'static str,
    text: &'static str,
    served: Served,
    operations: Vec<Told>,
}

/// An operation with what the code knows of it.
struct Told {
    operation: &'static Operation,
    body_limit: Option<usize>,
    common: Vec<(&'static str, Reply)>,
}

fn groups() -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (source, operation) in operation::all() {
        let told =
            Told { operation, body_limit: body_limit(operation), common: operation::common_answers(source) };
        let (name, text) = sources::title(source);
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.operations.push(told),
            None => groups.push(Group { name, text, served: Served::Gateway, operations: vec![told] }),
        }
    }
    let plain = |operations: &'static [Operation], common: &[&[Answer]]| -> Vec<Told> {
        let common = || common.iter().copied().flatten().map(given).collect();
        operations.iter().map(|operation| Told { operation, body_limit: None, common: common() }).collect()
    };
    for preflight in plain(gateway::operations::PREFLIGHT, &[]) {
        let path = preflight.operation.path;
        let group =
            groups.iter_mut().find(|group| group.operations.iter().any(|told| told.operation.path == path));
        if let Some(group) = group {
            group.operations.push(preflight);
        }
    }
    groups.extend([
        Group {
            name: "Reports",
            text: "Figures of a workspace. The gateway forwards these, so that a client needs one address.",
            served: Served::Both,
            operations: plain(
                query::operations::REPORTS,
                &[query::operations::COMMON, gateway::operations::OF_REPORTS],
            ),
        },
        Group {
            name: "Orders, people, pipeline",
            text: "What is known of one order or person, what became of all deliveries, and the dashboard.",
            served: Served::Query,
            operations: plain(query::operations::OPERATIONS, &[query::operations::COMMON]),
        },
        Group {
            name: "Operation",
            text: "Health, metrics and this documentation, at every service.",
            served: Served::Both,
            operations: plain(service::docs::OPERATIONS, &[service::docs::COMMON]),
        },
    ]);
    groups
}

/// An answer as what the sources say of theirs.
fn given(answer: &Answer) -> (&'static str, Reply) {
    let retry_after = answer.retry_after.then_some(1);
    (answer.when, Reply { retry_after, ..Reply::new(answer.status, answer.body) })
}

/// The greatest body that the path takes.
fn body_limit(operation: &Operation) -> Option<usize> {
    operation.body.as_ref()?;
    let path = operation.parameters.iter().fold(operation.path.to_owned(), |path, parameter| {
        path.replace(&format!("{{{}}}", parameter.name), parameter.example)
    });
    let method = operation.method.parse().ok()?;
    sources::route(&method, &path).ok().map(|route| route.body_limit)
}

/// The whole document.
fn document() -> OpenApi {
    let groups = groups();
    let mut items = BTreeMap::<&str, (Vec<Server>, PathItemBuilder)>::new();
    for group in &groups {
        for told in &group.operations {
            let (servers, item) = items.remove(told.operation.path).unwrap_or_default();
            let servers = if servers.is_empty() { group.served.servers() } else { servers };
            let item = item.operation(method(told.operation.method), operation(group.name, told));
            items.insert(told.operation.path, (servers, item));
        }
    }
    let paths = items.into_iter().fold(PathsBuilder::new(), |paths, (path, (servers, item))| {
        paths.path(path, item.servers(Some(servers)).build())
    });
    let tags =
        groups.iter().map(|group| TagBuilder::new().name(group.name).description(Some(group.text)).build());
    let info = InfoBuilder::new()
        .title("tillstream")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Takes what shops, payment providers, backends and pages send, exactly once, and answers with figures. \
             Every answer has an x-correlation-id; an error is JSON that says what is wrong. HEAD is answered like GET, \
             without the body; a path that isn't here is 404.",
        ))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()));
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some(Served::Both.servers()))
        .paths(paths.build())
        .components(Some(components(&groups)))
        .tags(Some(tags))
        .build()
}

fn method(name: &str) -> HttpMethod {
    match name {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "DELETE" => HttpMethod::Delete,
        "OPTIONS" => HttpMethod::Options,
        _ => HttpMethod::Get,
    }
}

fn operation(tag: &str, told: &Told) -> OperationBuilder {
    let one = told.operation;
    let mut description = one.description.to_owned();
    if let Some(limit) = told.body_limit {
        let gap = if description.is_empty() { "" } else { " " };
        description += &format!("{gap}A body has at most {}; it may be compressed with gzip.", size(limit));
    }
    let mut built = OperationBuilder::new()
        .tag(tag)
        .operation_id(Some(one.id))
        .summary(Some(one.summary))
        .description((!description.is_empty()).then_some(description))
        .request_body(one.body.as_ref().map(|body| request(one, body)));
    // An empty list says that none is needed; nothing at all would be the document's own, which there is none of.
    let security =
        one.credentials.iter().map(|credential| SecurityRequirement::new(credential.name, [""; 0]));
    built = built.securities(Some(security));
    for parameter in one.parameters {
        built = built.parameter(self::parameter(parameter));
    }
    for (status, response) in responses(told) {
        built = built.response(status.to_string(), response);
    }
    built
}

fn size(bytes: usize) -> String {
    let kibi = bytes / 1024;
    if kibi.is_multiple_of(1024) { format!("{} MiB", kibi / 1024) } else { format!("{kibi} KiB") }
}

fn parameter(one: &Parameter) -> ParameterBuilder {
    let place = match one.place {
        In::Path => ParameterIn::Path,
        In::Query => ParameterIn::Query,
        In::Header => ParameterIn::Header,
    };
    let values = (!one.values.is_empty()).then(|| one.values.iter().copied());
    let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(values);
    ParameterBuilder::new()
        .name(one.name)
        .parameter_in(place)
        .required(if one.required { Required::True } else { Required::False })
        .description(Some(one.text))
        .schema(Some(schema))
        .example(Some(one.example.into()))
}

fn request(one: &Operation, body: &Body) -> RequestBody {
    let mut schema = ObjectBuilder::new().additional_properties(Some(AdditionalProperties::FreeForm(true)));
    for field in body.fields {
        schema = schema.property(field.name, self::field(field));
        if field.required {
            schema = schema.required(field.name);
        }
    }
    let examples = one.examples.iter().filter(|example| !example.body.is_empty());
    let examples = examples.map(|example| {
        let shown = ExampleBuilder::new()
            .summary(format!("answered {}", example.status))
            .value(Some(json(example.body)));
        (example.name, shown)
    });
    let content = ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples).build();
    RequestBodyBuilder::new()
        .description(Some(body.text))
        .required(Some(Required::True))
        .content("application/json", content)
        .build()
}

fn field(one: &Field) -> Schema {
    let object = ObjectBuilder::new().description(Some(one.text));
    // What may be left out may be `null` too.
    let types = |types: &[Type]| match types {
        [only] if one.required => SchemaType::Type(only.clone()),
        _ => {
            let null = (!one.required).then_some(Type::Null);
            SchemaType::Array(types.iter().cloned().chain(null).collect())
        }
    };
    let open = Some(AdditionalProperties::FreeForm(true));
    match one.kind {
        Kind::Text => object.schema_type(types(&[Type::String])),
        Kind::Id | Kind::Amount => object.schema_type(types(&[Type::String, Type::Number])),
        Kind::Whole | Kind::Unix => object.schema_type(types(&[Type::Integer])),
        Kind::Time => {
            let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
            object.schema_type(types(&[Type::String])).format(Some(format))
        }
        Kind::Flag => object.schema_type(types(&[Type::Boolean])),
        Kind::Object => object.schema_type(types(&[Type::Object])).additional_properties(open),
        Kind::Any => object.schema_type(SchemaType::AnyValue),
        Kind::Objects => {
            let item = ObjectBuilder::new().additional_properties(open);
            let list = ArrayBuilder::new().description(Some(one.text)).items(item.build());
            return list.schema_type(types(&[Type::Array])).build().into();
        }
    }
    .build()
    .into()
}

/// One of the answers of a status.
struct Shown<'a> {
    when: &'a str,
    body: &'a str,
    retry_after: bool,
}

/// All answers, one for each status: OpenAPI has no two of the same.
fn responses(told: &Told) -> BTreeMap<u16, Response> {
    let mut answers = BTreeMap::<u16, Vec<Shown<'_>>>::new();
    for answer in told.operation.answers {
        let shown = Shown { when: answer.when, body: answer.body, retry_after: answer.retry_after };
        answers.entry(answer.status).or_default().push(shown);
    }
    for (when, reply) in &told.common {
        let shown = Shown { when, body: &reply.body, retry_after: reply.retry_after.is_some() };
        answers.entry(reply.status).or_default().push(shown);
    }
    let of = |(status, answers): (u16, Vec<_>)| (status, response(told.operation, status, &answers));
    answers.into_iter().map(of).collect()
}

fn response(one: &Operation, status: u16, answers: &[Shown<'_>]) -> Response {
    let when: Vec<&str> = answers.iter().map(|answer| answer.when).collect();
    let mut built = ResponseBuilder::new().description(when.join(" "));
    if answers.iter().any(|answer| answer.retry_after) {
        let seconds = HeaderBuilder::new()
            .description(Some("After how many seconds to come again."))
            .schema(Some(ObjectBuilder::new().schema_type(Type::Integer)));
        built = built.header("Retry-After", seconds.build());
    }
    if status == 405 {
        let methods = HeaderBuilder::new()
            .description(Some("The methods that the path has."))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        built = built.header("Allow", methods.build());
    }
    let of_examples = one.examples.iter().filter(|example| example.status == status);
    let of_requests = of_examples.map(|example| (example.name.to_owned(), None, example.answer));
    let of_answers = answers
        .iter()
        .enumerate()
        .map(|(n, answer)| (format!("answer_{}", n + 1), Some(answer.when), answer.body));
    let shown: Vec<_> = of_requests.chain(of_answers).filter(|(_, _, body)| !body.is_empty()).collect();
    let kind = match one.path {
        "/" | "/docs" if status == 200 => Some("text/html"),
        "/metrics" if status == 200 => Some("text/plain"),
        "/dashboard/stream" if status == 200 => Some("text/event-stream"),
        _ if shown.is_empty() => None,
        _ => Some("application/json"),
    };
    if let Some(kind) = kind {
        let examples = shown.iter().map(|(name, when, body)| {
            let example = ExampleBuilder::new().value(Some(json(body)));
            let example = match when {
                Some(when) => example.summary(*when),
                None => example,
            };
            (name.as_str(), example.build())
        });
        built = built.content(kind, ContentBuilder::new().examples_from_iter(examples).build());
    }
    if status == 200 && one.description.contains("Accept: text/csv") {
        built = built.content("text/csv", ContentBuilder::new().build());
    }
    built.build()
}

/// A JSON text as its value, any other as itself.
fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

fn components(groups: &[Group]) -> Components {
    let all = groups.iter().flat_map(|group| &group.operations).flat_map(|told| told.operation.credentials);
    let by_name: BTreeMap<_, _> = all.map(|credential| (credential.name, credential)).collect();
    by_name
        .into_iter()
        .fold(ComponentsBuilder::new(), |components, (name, credential)| {
            components.security_scheme(name, scheme(credential))
        })
        .build()
}

fn scheme(credential: &Credential) -> SecurityScheme {
    let http = |scheme| HttpBuilder::new().scheme(scheme).description(Some(credential.text)).build();
    match credential.scheme {
        Scheme::Header(name) => {
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, credential.text)))
        }
        Scheme::Query(name) => {
            SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::with_description(name, credential.text)))
        }
        Scheme::Basic => SecurityScheme::Http(http(HttpAuthScheme::Basic)),
        Scheme::Bearer => SecurityScheme::Http(http(HttpAuthScheme::Bearer)),
    }
}

#[cfg(test)]
mod tests;
