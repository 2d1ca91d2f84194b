//! `fx fetch|put|ls`: rates of exchange (R5.7).
//!
//! | file | what it is |
//! |---|---|
//! | [`provider`] | who gives rates, and what they look like; pure |
//! | [`book`] | what is published, and what may be added; pure |
//! | [`publish`] | the transactions |
//! | [`fetch`] | asking a provider, once or every hour |
//!
//! A rate is published once for its pair and hour, and never changes.

pub mod book;
pub mod fetch;
pub mod provider;
pub mod publish;

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use commerce::Currency;
use commerce::fx::Hour;
use serde_json::json;
use service::{Config, clock};

use crate::{Output, Stop, data};
use book::Tally;
use publish::Publisher;

/// `fx …`
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Asks the configured provider once and publishes its rates for this hour.
    #[command(after_help = "Example:\n  tillstream fx fetch")]
    Fetch {
        /// How to write what was done.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Publishes the rates of a file: of Open Exchange Rates (JSON), of the European Central Bank (XML), or a CSV with
    /// currency, base, rate and hour.
    #[command(
        after_help = "Examples:\n  tillstream fx put eurofxref-hist-90d.xml\n  tillstream fx put rates.csv --hour 2026-01-31T10"
    )]
    Put {
        /// The file.
        file: PathBuf,
        /// The hour (UTC) of rows that don't name one. Default: this one.
        #[arg(long, value_name = "HOUR")]
        hour: Option<String>,
        /// How to write what was done.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Lists published rates, oldest first.
    #[command(after_help = "Example:\n  tillstream fx ls --currency EUR --limit 24")]
    Ls {
        /// Only of this currency.
        #[arg(long)]
        currency: Option<String>,
        /// Only into this one.
        #[arg(long)]
        base: Option<String>,
        /// The newest so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// How to write the list.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
}

/// Does what was asked for.
pub fn run(config: &Config, command: &Command) -> Result<(), Stop> {
    let now = clock::now();
    match command {
        Command::Fetch { output } => {
            let Some(provider) = provider::configured(config.fx.provider) else {
                return Err(Stop::Usage(anyhow!(
                    "fx.provider is off: set it, or use `tillstream fx put FILE`"
                )));
            };
            let publisher = Publisher::new(config, &|| false)?;
            tell(fetch::once(config, &publisher, provider)?, *output)
        }
        Command::Put { file, hour, output } => {
            let named = hour.as_deref().map(|text| {
                Hour::parse(text)
                    .ok_or_else(|| Stop::Usage(anyhow!("'{text}' is not an hour like 2026-01-31T10")))
            });
            let hour = named.transpose()?.unwrap_or_else(|| Hour::of(now.as_event()));
            let path = || file.display().to_string();
            let bytes = fetch::read_file(file)?;
            let provider = provider::of_file(&bytes);
            let quotes = provider.read(&bytes, hour).with_context(path)?;
            let bases = fetch::bases(config)?;
            let publisher = Publisher::new(config, &|| false)?;
            tell(publisher.publish(provider.name(), now, &|book| book.add(&quotes, &bases))?, *output)
        }
        Command::Ls { currency, base, limit, output } => {
            let code = |text: &Option<String>| {
                text.as_deref().map(Currency::parse).transpose().map_err(|e| Stop::Usage(e.into()))
            };
            let (currency, base) = (code(currency)?, code(base)?);
            let book = Publisher::new(config, &|| false)?.book()?;
            let wanted = |pair: &commerce::fx::Pair| {
                currency.is_none_or(|code| code == pair.currency) && base.is_none_or(|code| code == pair.base)
            };
            let all: Vec<_> = book.all().filter(|(_, pair, _)| wanted(pair)).collect();
            for (hour, pair, rate) in &all[all.len().saturating_sub(*limit)..] {
                data(&match output {
                    Output::Table => format!("{hour}  {} {}  {rate}", pair.currency, pair.base),
                    Output::Json => {
                        json!({"hour": hour.to_string(), "currency": pair.currency, "base": pair.base,
                        "rate": rate.to_string()})
                        .to_string()
                    }
                })?;
            }
            Ok(())
        }
    }
}

/// Says what became of the rates. One that is published differently stays as it is, and that is a failure to be seen.
fn tell(Tally { published, known, refused }: Tally, output: Output) -> Result<(), Stop> {
    data(&match output {
        Output::Table => format!("{published} published, {known} known, {refused} refused"),
        Output::Json => json!({"published": published, "known": known, "refused": refused}).to_string(),
    })?;
    if refused > 0 {
        let sentence = "a rate that is published for a pair and an hour never changes: the refused ones are left as they were";
        return Err(Stop::Failed(anyhow!(sentence)));
    }
    Ok(())
}
