//! The one binary: every service and every tool as a subcommand.
//!
//! | file | what it is |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`home`] | the data folder of `up`: what is running, and where |
//! | [`up`] | Kafka, registry, topics, all services, the demo |
//! | [`serve`] | one service, or all, against an existing cluster |
//! | [`demo`], [`measure`] | the simulated shop, and what the product made of it |
//! | [`bench`] | how fast, with the totals checked |
//! | [`fx`] | rates of exchange: fetched, published, listed |
//! | [`policy`] | what changes the meaning of figures: shown, compared, published |
//! | [`import`] | profiles from a file |
//! | [`doctor`], [`lag`], [`reach`] | what is wrong, how far behind the stages are, whether a cluster is there |
//! | [`replay`] | figures computed anew beside the old ones, compared, switched to |
//! | [`recompute`], [`audit`] | the totals of people from the books; everything computed anew from the events |
//! | [`trigger`], [`identity`], [`tail`], [`dlq`], [`explain`], [`topic`], [`features`] | tools |
//! | [`openapi`], [`asyncapi`], [`taxonomy`] | the description of the HTTP API, of the topics, of the events |
//!
//! Data goes to stdout, talk to stderr. Exit codes: 0 ok, 1 failed or unequal, 64 usage or configuration.

pub mod asyncapi;
pub mod audit;
pub mod bench;
pub mod cli;
pub mod demo;
pub mod dlq;
pub mod doctor;
pub mod explain;
pub mod features;
pub mod fx;
pub mod home;
pub mod identity;
pub mod import;
pub mod lag;
pub mod measure;
pub mod openapi;
pub mod policy;
pub mod progress;
pub mod reach;
pub mod recompute;
pub mod replay;
pub mod serve;
pub mod tail;
pub mod taxonomy;
pub mod topic;
pub mod trigger;
pub mod up;

/// What a command ended with.
#[derive(Debug)]
pub enum Stop {
    /// Something failed, or figures are unequal: exit code 1.
    Failed(anyhow::Error),
    /// The command line or the configuration is wrong: exit code 64.
    Usage(anyhow::Error),
}

impl Stop {
    /// The sentence.
    pub const fn error(&self) -> &anyhow::Error {
        match self {
            Self::Failed(error) | Self::Usage(error) => error,
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// How a list or document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// One JSON document, or one object a line.
    Json,
}

/// Writes a line of data to stdout. A reader that went away (`| head`) is no fault.
pub fn data(line: &str) -> Result<(), Stop> {
    use std::io::Write;
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}
