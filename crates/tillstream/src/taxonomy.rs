//! `taxonomy`: every canonical name with its meaning, who says it, the fields it needs, and a sample.
//!
//! `schemas/taxonomy.json` is what this makes, checked in so that the services can serve it and a change of a name or a
//! required field is seen in its diff.

use anyhow::anyhow;
use sources::{WorkspaceConfig, Workspaces};

use crate::Stop;
use crate::openapi::{Args, keep};

/// Where the document is kept, from the root of the repository.
const FILE: &str = "schemas/taxonomy.json";

/// Prints, writes or checks the document.
pub fn run(args: &Args) -> Result<(), Stop> {
    keep(args, FILE, "tillstream taxonomy --write", &text()?)
}

/// The document as it is kept.
fn text() -> Result<String, Stop> {
    let workspaces = Workspaces::from_configs([WorkspaceConfig::development()]);
    let workspaces = workspaces.map_err(|mistakes| anyhow!("the development workspace: {mistakes:?}"))?;
    Ok(serde_json::to_string_pretty(&sources::taxonomy::taxonomy(&workspaces))? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cio_26_the_published_taxonomy_is_what_the_code_says() {
        assert!(
            text().is_ok_and(|text| text == service::docs::TAXONOMY),
            "run `tillstream taxonomy --write`"
        );
    }
}
