//! `recompute`: the totals of all people from the books, compared with the live ones.
//!
//! The books are the orders' topic. With `--csv` the totals are also written as the file that `import profiles` takes, with
//! those of the narrower query (orders whose latest state is `paid`, D-REC-3) beside them.

mod books;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use commerce::{EventTime, ReceivedTime};
use serde_json::json;
use service::Config;
use stream::{Follow, Followed, follow};
use topics::Topic;

use crate::tail::Reader;
use crate::{Output, Stop, data};
use books::{Books, Difference, Rows};

/// A difference must last this long: the two topics are read side by side, and one may be a moment ahead of the other.
const LASTS: Duration = Duration::from_secs(3);
/// Where orders come in all the time, what differs then is told.
const PATIENCE: Duration = Duration::from_secs(60);

/// `recompute`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only this workspace.
    #[arg(long, value_name = "ID")]
    workspace: Option<String>,
    /// Also writes the totals as a CSV that `tillstream import profiles` takes; `-` is stdout, and the comparison goes to
    /// stderr then.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// How to write the comparison.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command. Unequal is a failure.
pub fn run(config: &Config, args: &Args) -> Result<(), Stop> {
    let (books, differences) = read(config, args.workspace.as_deref())?;
    if let Some(path) = &args.csv {
        export(&books, args.workspace.as_deref(), path)?;
    }
    print(&books, &differences, args)?;
    if differences.is_empty() {
        Ok(())
    } else {
        Err(Stop::Failed(anyhow!("the live totals aren't those of the books")))
    }
}

/// Follows both topics until what differs, if anything, has differed for a while.
fn read(config: &Config, workspace: Option<&str>) -> Result<(Books, Vec<Difference>), Stop> {
    let mut reader = Reader::new(config)?;
    let what = Follow {
        client: service::kafka::client_config(config),
        topics: [Topic::Orders, Topic::Profiles].iter().map(|topic| topic.name().to_owned()).collect(),
    };
    let books = RefCell::new(Books::default());
    let done = Cell::new(false);
    let mut failed = None;
    let mut met: Option<(Instant, Instant, Vec<Difference>)> = None;
    follow(&what, &|| done.get(), &mut |followed| {
        let mut take = || -> anyhow::Result<()> {
            match followed {
                Followed::Record { topic, key, value, .. } => {
                    let mut books = books.borrow_mut();
                    if topic == Topic::Orders.name() {
                        let view = value.map(|value| reader.decode(value)).transpose()?;
                        books.order(key, view.as_ref());
                    } else {
                        books.profile(key, value.map(|value| reader.decode(value)).transpose()?);
                    }
                }
                Followed::CaughtUp | Followed::Idle => {
                    let now = Instant::now();
                    // Looked at again at once when caught up, then a few times a second.
                    let (began, since, before) = met.take().unwrap_or((now, now, vec![]));
                    let differences = books.borrow().differences(workspace)?;
                    let since = if differences == before { since } else { now };
                    done.set(differences.is_empty() || since + LASTS <= now || began + PATIENCE <= now);
                    met = Some((began, since, differences));
                }
            }
            Ok(())
        };
        if let Err(error) = take() {
            failed.get_or_insert(error);
            done.set(true);
        }
        Ok(())
    })?;
    if let Some(error) = failed {
        return Err(Stop::Failed(error.context("a record can't be read")));
    }
    let differences = met.map(|(_, _, differences)| differences).unwrap_or_default();
    Ok((books.into_inner(), differences))
}

fn print(books: &Books, differences: &[Difference], args: &Args) -> Result<(), Stop> {
    // Data has one place: where the file is written to stdout, the comparison is talk.
    let is_talk = args.csv.as_deref() == Some(Path::new("-"));
    let put = |line: &str| {
        if is_talk {
            eprintln!("{line}");
            return Ok(());
        }
        data(line)
    };
    let workspace = args.workspace.as_deref();
    let (people, orders) = (books.people(workspace), books.orders(workspace));
    if args.output == Output::Json {
        return put(&json!({"equal": differences.is_empty(), "compared": people, "orders": orders,
                "as_of": ReceivedTime(books.as_of).to_rfc3339(), "differences": differences})
        .to_string());
    }
    for difference in differences {
        put(&format!(
            "{}:{}  {}: {} instead of {}",
            difference.workspace,
            difference.person_id,
            difference.field,
            difference.live,
            difference.recomputed
        ))?;
    }
    let outcome = match differences.len() {
        0 => "all equal".to_owned(),
        n => format!("{n} figures differ"),
    };
    put(&format!("{people} people and {orders} paid orders compared: {outcome}"))
}

/// Writes the totals as the import takes them.
fn export(books: &Books, workspace: Option<&str>, path: &Path) -> Result<(), Stop> {
    let workspaces = books.workspaces();
    let workspace = match (workspace, workspaces.len()) {
        (Some(workspace), _) => workspace,
        (None, 0 | 1) => workspaces.first().copied().unwrap_or_default(),
        (None, _) => {
            let names = workspaces.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Stop::Usage(anyhow!("--csv is for one workspace: choose --workspace of {names}")));
        }
    };
    let rows = books.rows(workspace)?;
    let bytes = csv(&rows)?;
    if path == Path::new("-") {
        data(String::from_utf8_lossy(&bytes).trim_end())?;
    } else {
        std::fs::write(path, bytes).with_context(|| path.display().to_string())?;
    }
    eprintln!("{} people, as of {}", rows.rows.len(), ReceivedTime(books.as_of).to_rfc3339());
    for (n, why) in [
        (rows.without_email, "have no e-mail address of their own"),
        (rows.in_other_currencies, "have orders in another currency than the base"),
    ] {
        if n > 0 {
            eprintln!("{n} people with orders are left out: they {why}");
        }
    }
    Ok(())
}

fn csv(rows: &Rows) -> anyhow::Result<Vec<u8>> {
    let mut file = csv::Writer::from_writer(Vec::new());
    file.write_record([
        "email",
        "ltv",
        "order_count",
        "last_order_at",
        "paid_only_ltv",
        "paid_only_order_count",
        "paid_only_last_order_at",
    ])?;
    let time = |at: Option<EventTime>| at.map(EventTime::to_rfc3339).unwrap_or_default();
    for row in &rows.rows {
        file.write_record([
            row.email.clone(),
            row.ltv.to_major(),
            row.order_count.to_string(),
            time(row.last_order_at),
            row.paid_only_ltv.to_major(),
            row.paid_only_order_count.to_string(),
            time(row.paid_only_last_order_at),
        ])?;
    }
    Ok(file.into_inner()?)
}
