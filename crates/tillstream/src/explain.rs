//! `explain`: what a reason means and what to do, from the one list of reasons.

use anyhow::anyhow;
use commerce::Reason;
use serde_json::json;

use crate::{Output, Stop, data};

/// `explain`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A reason's code; all of them without.
    code: Option<String>,
    /// How to write it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Stop> {
    let chosen = match args.code.as_deref() {
        None => Reason::ALL.to_vec(),
        Some(code) => vec![Reason::parse(code).ok_or_else(|| {
            Stop::Usage(anyhow!("no reason '{code}'; `tillstream explain` lists all of them"))
        })?],
    };
    for reason in chosen {
        match args.output {
            Output::Json => data(
                &json!({"reason": reason.code(), "explanation": text(reason), "breaker": reason.may_be_ours(),
                    "redrive_helps": !reason.is_final()})
                .to_string(),
            )?,
            Output::Table => data(&format!("{}\n    {}", reason.code(), text(reason)))?,
        }
    }
    Ok(())
}

/// The documentation of a reason as one paragraph.
fn text(reason: Reason) -> String {
    reason.explanation().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_explained_and_no_other() {
        let args = |code: &str| Args { code: Some(code.to_owned()), output: Output::Json };
        for reason in Reason::ALL {
            assert!(run(&args(reason.code())).is_ok());
            assert!(!text(*reason).contains("  ") && text(*reason).len() > 30, "{reason}");
        }
        assert!(matches!(run(&args("nonsense")), Err(Stop::Usage(_))));
    }
}
