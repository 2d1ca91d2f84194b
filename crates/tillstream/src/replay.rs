//! `replay`: the figures computed anew beside the old ones, compared, then switched to.
//!
//! | file | what it is |
//! |---|---|
//! | [`list`] | which versions there are: read, and changed by one at a time |
//! | [`begin`] | `start`: the topics of a new version, and its place in the list |
//! | [`status`] | how far each version is |
//! | [`compare`] | two versions, cell by cell |
//! | [`end`] | `switch` and `drop` |
//!
//! A command only changes the list in `tillstream.aggregator.versions`. The aggregator keeps every version in it, exactly
//! once and under names of its own, from the first fact on and with whatever facts come, whether it is served or not; so a
//! replay goes on after a crash like everything else, and a version may be switched to, and back, at any time. The query
//! service answers from the served one.

pub mod begin;
pub mod compare;
pub mod end;
pub mod list;
pub mod status;

use service::Config;
use topics::Version;

use crate::{Output, Stop};

/// `replay …`
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Begins a new version of the figures beside the one that is served.
    #[command(
        disable_version_flag = true,
        after_help = "Examples:\n  tillstream replay start --version v2 --dry-run\n  tillstream replay start --version v2"
    )]
    Start(begin::Args),
    /// How far each version is.
    #[command(disable_version_flag = true, after_help = "Example:\n  tillstream replay status --wait")]
    Status(status::Args),
    /// Compares the figures of two versions, cell by cell. Exit code 1 when one differs.
    #[command(
        disable_version_flag = true,
        after_help = "Example:\n  tillstream replay compare -o json | jq '.differences[0]'"
    )]
    Compare(compare::Args),
    /// Has reports answered from another version.
    #[command(disable_version_flag = true, after_help = "Example:\n  tillstream replay switch v2")]
    Switch(end::SwitchArgs),
    /// Ends a version that isn't served, and deletes what is its own.
    #[command(disable_version_flag = true, after_help = "Example:\n  tillstream replay drop main --yes")]
    Drop(end::DropArgs),
}

/// Runs the command.
pub fn run(config: &Config, command: &Command) -> Result<(), Stop> {
    match command {
        Command::Start(args) => begin::run(config, args),
        Command::Status(args) => status::run(config, args),
        Command::Compare(args) => compare::run(config, args),
        Command::Switch(args) => end::switch(config, args),
        Command::Drop(args) => end::drop_version(config, args),
    }
}

/// Reads a name on the command line.
fn name(text: &str) -> Result<Version, String> {
    Version::try_new(text)
}

/// One document, or a sentence.
fn say(output: Output, document: &serde_json::Value, sentence: &str) -> Result<(), Stop> {
    match output {
        Output::Json => crate::data(&document.to_string()),
        Output::Table => crate::data(sentence),
    }
}
