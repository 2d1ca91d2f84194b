//! Whether the configuration says what the published policies say.

use service::Config;
use topics::{SchemaRegistry, Schemas};

use super::Check;

/// One line for all workspaces: which of them is counted by other rules than its configuration says.
pub(super) fn policies(config: &Config) -> Check {
    match differing(config) {
        Ok((published, found)) if found.is_empty() => {
            let plural = if published == 1 { "workspace" } else { "workspaces" };
            Check::ok("policies", format!("of {published} {plural} the configuration is what is published"))
        }
        Ok((_, found)) => {
            let detail =
                format!("the published policy counts, and the configuration differs\n{}", found.join("\n"));
            Check::warn(
                "policies",
                detail,
                "tillstream policy diff, then mend the configuration, or tillstream policy publish",
            )
        }
        Err(error) => Check::fail("policies", format!("{error:#}"), "tillstream topics apply"),
    }
}

fn differing(config: &Config) -> anyhow::Result<(usize, Vec<String>)> {
    let workspaces = config.workspaces().map_err(|mistakes| anyhow::anyhow!(mistakes.join("; ")))?;
    let registry = SchemaRegistry::new(&config.registry.url, std::time::Duration::from_secs(5))?;
    let published =
        service::policy::read(&service::kafka::client_config(config), &Schemas::lookup(&registry)?, &|| {
            false
        })?;
    let (mut with, mut found) = (0, Vec::new());
    for workspace in workspaces.iter() {
        let id = workspace.id.as_str();
        match published.of(id).last() {
            // The first start of a stage publishes it.
            None => continue,
            Some(last) => {
                with += 1;
                let differences = last.rules.differences(&workspace.rules);
                found.extend(
                    differences
                        .iter()
                        .map(|difference| format!("{id}, version {}: {difference}", last.version)),
                );
            }
        }
    }
    Ok((with, found))
}
