//! `policy show|diff|publish`: what changes the meaning of figures, in versions that stand in the stream.
//!
//! The configuration is where a change is written; `publish` makes it count, from a place in the stream on that is the
//! same for every service and every replay. It is made from a version, and refused when that isn't the last one any more.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::anyhow;
use commerce::policy::{Difference, Policy};
use commerce::time::parse_iso;
use commerce::{EventTime, ReceivedTime};
use serde_json::{Value, json};
use service::policy::Published;
use service::{Config, clock};
use sources::{Workspace, Workspaces};
use topics::{SchemaRegistry, Schemas};

use crate::{Output, Stop, data};

/// `policy …`
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Shows the published versions: the last one, or all with --all.
    #[command(after_help = "Example:\n  tillstream policy show acme --all")]
    Show {
        /// Only this workspace.
        workspace: Option<String>,
        /// Every version, the first one first.
        #[arg(long)]
        all: bool,
        /// How to write it.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Shows where the configuration differs from what is published. Exit code 1 when it does.
    #[command(after_help = "Example:\n  tillstream policy diff")]
    Diff {
        /// Only this workspace.
        workspace: Option<String>,
        /// How to write it.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Publishes what the configuration says as the next version.
    #[command(
        after_help = "Examples:\n  tillstream policy publish acme --dry-run\n  tillstream policy publish acme --base 3 --note 'payments are told by the backend' --yes"
    )]
    Publish(Publish),
}

/// What to publish.
#[derive(clap::Args, Debug)]
pub struct Publish {
    /// The workspace.
    workspace: String,
    /// The version that the change was made from; refused when it isn't the last one. Default: the last one when the
    /// command starts.
    #[arg(long, value_name = "VERSION")]
    base: Option<i32>,
    /// From when on it holds, like 2026-12-01T00:00:00Z. Default: at once; never for what came before.
    #[arg(long, value_name = "TIME")]
    effective_at: Option<String>,
    /// Who publishes it.
    #[arg(long, env = "USER", default_value = "operator", hide_env_values = true)]
    by: String,
    /// Why.
    #[arg(long)]
    note: Option<String>,
    /// Checks and shows everything, and publishes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Doesn't ask.
    #[arg(long)]
    yes: bool,
    /// How to write what was done.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub fn run(config: &Config, command: &Command) -> Result<(), Stop> {
    let workspaces = config.workspaces().map_err(|mistakes| Stop::Usage(anyhow!(mistakes.join("; "))))?;
    let schemas = schemas(config)?;
    let published = service::policy::read(&service::kafka::client_config(config), &schemas, &|| false)?;
    match command {
        Command::Show { workspace, all, output } => {
            for workspace in chosen(&workspaces, workspace.as_deref())? {
                show(workspace, published.of(workspace.id.as_str()), *all, *output)?;
            }
            Ok(())
        }
        Command::Diff { workspace, output } => {
            let chosen = chosen(&workspaces, workspace.as_deref())?;
            let differing = chosen.into_iter().filter(|workspace| differs(workspace, &published));
            let differing: Vec<&Workspace> = differing.collect();
            for workspace in &differing {
                diff(workspace, &published, *output)?;
            }
            match differing.len() {
                0 => Ok(()),
                1 => Err(Stop::Failed(anyhow!(
                    "the configuration isn't what is published; `tillstream policy publish` makes it count"
                ))),
                n => {
                    Err(Stop::Failed(anyhow!("of {n} workspaces the configuration isn't what is published")))
                }
            }
        }
        Command::Publish(args) => {
            let workspace = chosen(&workspaces, Some(&args.workspace))?;
            let Some(workspace) = workspace.first() else { return Ok(()) };
            publish(config, &schemas, (workspace, &published), args)
        }
    }
}

fn schemas(config: &Config) -> anyhow::Result<Schemas> {
    let registry = SchemaRegistry::new(&config.registry.url, Duration::from_secs(10))?;
    Ok(Schemas::lookup(&registry)?)
}

fn chosen<'a>(all: &'a Workspaces, id: Option<&str>) -> Result<Vec<&'a Workspace>, Stop> {
    let found: Vec<&Workspace> =
        all.iter().filter(|workspace| id.is_none_or(|id| workspace.id.as_str() == id)).collect();
    match id.filter(|_| found.is_empty()) {
        Some(id) => {
            let known: Vec<&str> = all.iter().map(|workspace| workspace.id.as_str()).collect();
            Err(Stop::Usage(anyhow!("no workspace '{id}'; there are {}", known.join(", "))))
        }
        None => Ok(found),
    }
}

fn differs(workspace: &Workspace, published: &Published) -> bool {
    let id = workspace.id.as_str();
    published.of(id).is_empty() || !published.differences(id, &workspace.rules).is_empty()
}

fn show(workspace: &Workspace, versions: &[Policy], all: bool, output: Output) -> Result<(), Stop> {
    if versions.is_empty() {
        eprintln!("{}: nothing is published; the first start of a stage publishes version 1", workspace.id);
    }
    let from = if all { 0 } else { versions.len().saturating_sub(1) };
    for policy in versions.iter().skip(from) {
        if output == Output::Json {
            data(&document(policy)?.to_string())?;
            continue;
        }
        let Policy { workspace, version, published_at, published_by, note, .. } = policy;
        data(&format!(
            "{workspace}  version {version}, published {} by {published_by}",
            published_at.to_rfc3339()
        ))?;
        let since = match version {
            1 => "the first delivery".to_owned(),
            _ => policy.effective_at.to_rfc3339(),
        };
        data(&format!("  {:<26}{since}", "holds from"))?;
        for line in note.iter() {
            data(&format!("  {:<26}{line}", "note"))?;
        }
        for (key, value) in policy.rules.written() {
            data(&format!("  {key:<26}{value}"))?;
        }
    }
    Ok(())
}

/// A version as JSON, its times as texts.
fn document(policy: &Policy) -> Result<Value, Stop> {
    let mut document = serde_json::to_value(policy)?;
    document["effective_at"] = policy.effective_at.to_rfc3339().into();
    document["published_at"] = policy.published_at.to_rfc3339().into();
    Ok(document)
}

fn diff(workspace: &Workspace, published: &Published, output: Output) -> Result<(), Stop> {
    let id = workspace.id.as_str();
    let last = published.of(id).last().map(|last| last.version);
    // From what is published to what is configured.
    let found = published.of(id).last().map(|last| last.rules.differences(&workspace.rules));
    let found = found.unwrap_or_default();
    if output == Output::Json {
        return data(&json!({"workspace": id, "version": last, "differences": found}).to_string());
    }
    match last {
        None => data(&format!("{id}: nothing is published")),
        Some(version) => {
            data(&format!("{id}, from version {version} to the configuration:"))?;
            found.iter().try_for_each(|difference| data(&format!("  {difference}")))
        }
    }
}

/// The version that a configuration makes, or all that speaks against it.
fn next(
    workspace: &Workspace,
    last: &Policy,
    args: &Publish,
    now: ReceivedTime,
) -> Result<Policy, Vec<String>> {
    let mut wrong = Vec::new();
    let effective_at = match &args.effective_at {
        None => EventTime(now.0.max(last.effective_at.0)),
        Some(text) => match parse_iso(text) {
            Ok(read) if !read.naive => read.at,
            _ => {
                wrong.push(format!(
                    "--effective-at: '{text}' is not a time with an offset, like 2026-12-01T00:00:00Z"
                ));
                last.effective_at
            }
        },
    };
    let policy = Policy {
        workspace: workspace.id.clone(),
        version: last.version.saturating_add(1),
        effective_at,
        published_at: EventTime(now.0),
        published_by: args.by.clone(),
        note: args.note.clone(),
        rules: workspace.rules.clone(),
    };
    if let Some(base) = args.base.filter(|base| *base != last.version) {
        wrong.push(format!(
            "--base: version {} is the last one, published {} by {}, and not {base}: look at `tillstream policy diff` again",
            last.version,
            last.published_at.to_rfc3339(),
            last.published_by
        ));
    }
    wrong.extend(policy.after(Some(last)).err().unwrap_or_default());
    if wrong.is_empty() { Ok(policy) } else { Err(wrong) }
}

fn publish(
    config: &Config,
    schemas: &Schemas,
    (workspace, published): (&Workspace, &Published),
    args: &Publish,
) -> Result<(), Stop> {
    let id = workspace.id.as_str();
    let Some(last) = published.of(id).last() else {
        return Err(Stop::Failed(anyhow!(
            "'{id}' has no version yet: `tillstream topics apply` publishes version 1, which says what the configuration says"
        )));
    };
    let policy = next(workspace, last, args, clock::now()).map_err(|wrong| {
        let listed: Vec<String> = wrong.iter().map(|wrong| format!("\n  {wrong}")).collect();
        Stop::Usage(anyhow!("the next version of '{id}' is refused:{}", listed.concat()))
    })?;
    let differences = last.rules.differences(&policy.rules);
    if differences.is_empty() {
        return told(
            args.output,
            "unchanged",
            (last, &[]),
            &format!("version {} says what the configuration says", last.version),
        );
    }
    if args.dry_run {
        let sentence = format!(
            "version {} would be published, holding from {}",
            policy.version,
            policy.effective_at.to_rfc3339()
        );
        return told(args.output, "dry_run", (&policy, &differences), &sentence);
    }
    if !args.yes {
        confirm(&policy, &differences)?;
    }
    service::policy::publish(config, schemas, &policy)?;
    let sentence = format!(
        "version {} is published, and holds from {}",
        policy.version,
        policy.effective_at.to_rfc3339()
    );
    told(args.output, "published", (&policy, &differences), &sentence)
}

fn told(
    output: Output,
    result: &str,
    (policy, differences): (&Policy, &[Difference]),
    sentence: &str,
) -> Result<(), Stop> {
    if output == Output::Json {
        let answer = json!({"result": result, "differences": differences, "policy": document(policy)?});
        return data(&answer.to_string());
    }
    differences.iter().try_for_each(|difference| data(&format!("  {difference}")))?;
    data(&format!("{}: {sentence}", policy.workspace))
}

/// Asks at a terminal; elsewhere `--yes` says it.
fn confirm(policy: &Policy, differences: &[Difference]) -> Result<(), Stop> {
    if !std::io::stdin().is_terminal() {
        let what = "a policy changes what is counted from now on, and a version is never taken back.";
        return Err(Stop::Usage(anyhow!("{what} Say --yes to publish it without being asked")));
    }
    for difference in differences {
        eprintln!("  {difference}");
    }
    eprint!("This is version {} of '{}'. Publish it? [y/N] ", policy.version, policy.workspace);
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Stop::Failed(anyhow!("nothing was published"))),
    }
}

#[cfg(test)]
mod tests {
    use sources::WorkspaceConfig;

    use super::*;

    fn workspace(change: impl FnOnce(&mut WorkspaceConfig)) -> Workspace {
        let mut config = WorkspaceConfig::new("acme");
        change(&mut config);
        Workspace::try_new(config).unwrap()
    }

    fn args(base: Option<i32>, effective_at: Option<&str>) -> Publish {
        Publish {
            workspace: "acme".to_owned(),
            base,
            effective_at: effective_at.map(str::to_owned),
            by: "jane".to_owned(),
            note: None,
            dry_run: false,
            yes: true,
            output: Output::Json,
        }
    }

    fn last(workspace: &Workspace) -> Policy {
        Policy {
            workspace: workspace.id.clone(),
            version: 3,
            effective_at: EventTime(1_000),
            published_at: EventTime(1_000),
            published_by: "joe".to_owned(),
            note: None,
            rules: workspace.rules.clone(),
        }
    }

    #[test]
    fn the_next_version_says_what_the_configuration_says() {
        let changed = workspace(|config| config.abandoned_after_s = Some(900));
        let made =
            next(&changed, &last(&workspace(|_| {})), &args(Some(3), None), ReceivedTime(2_000)).unwrap();
        assert_eq!((made.version, made.effective_at.0, made.rules.abandoned_after_s), (4, 2_000, 900));
        let later =
            next(&changed, &made, &args(None, Some("2030-01-01T00:00:00+01:00")), ReceivedTime(1)).unwrap();
        assert_eq!(later.effective_at.to_rfc3339(), "2029-12-31T23:00:00Z");
    }

    #[test]
    fn a_stale_base_and_every_other_mistake_are_listed_at_once() {
        let changed = workspace(|config| {
            config.time_zone = "Europe/Berlin".to_owned();
            config.base_currency = "EUR".to_owned();
        });
        let asked = args(Some(2), Some("tomorrow"));
        let wrong = next(&changed, &last(&workspace(|_| {})), &asked, ReceivedTime(2_000)).unwrap_err();
        let keys: Vec<&str> = wrong.iter().filter_map(|wrong| wrong.split(':').next()).collect();
        assert_eq!(keys, ["--effective-at", "--base", "base_currency", "time_zone"]);
    }

    #[test]
    fn a_version_never_begins_before_the_one_that_it_follows() {
        let plain = workspace(|_| {});
        let wrong = next(&plain, &last(&plain), &args(None, Some("1969-12-31T00:00:00Z")), ReceivedTime(5));
        assert!(wrong.unwrap_err()[0].starts_with("effective_at: "));
        assert_eq!(
            next(&plain, &last(&plain), &args(None, None), ReceivedTime(5)).unwrap().effective_at.0,
            1_000
        );
    }
}
