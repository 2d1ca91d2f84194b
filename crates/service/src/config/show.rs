//! A configuration as text.

use toml::{Table, Value};

use crate::Config;
use crate::config::Origin;

const HIDDEN: &str = "***";

impl Config {
    /// The configuration as a file that [`Config::load`] reads back, secrets included: for `<data dir>/config.toml`.
    pub fn to_toml(&self) -> String {
        // Every key is a string and every value a TOML value, so there is nothing that could fail.
        toml::to_string(self).unwrap_or_default()
    }

    /// The configuration for a person: secrets hidden, and after each key where its value came from.
    pub fn to_toml_redacted(&self) -> String {
        let mut shown = self.clone();
        shown.workspaces = self.workspaces.iter().map(sources::WorkspaceConfig::redacted).collect();
        for (name, value) in &mut shown.kafka.properties {
            let name = name.to_lowercase();
            let secret =
                ["password", "secret", "jaas", "token", "key"].iter().any(|part| name.contains(part));
            if secret && !name.ends_with(".location") && !name.ends_with(".type") {
                HIDDEN.clone_into(value);
            }
        }
        if let Some(key) = &mut shown.state.person_id_key {
            HIDDEN.clone_into(key);
        }
        if let Some(id) = &mut shown.fx.app_id {
            HIDDEN.clone_into(id);
        }
        shown.fx.url.iter_mut().for_each(hide_user);
        hide_user(&mut shown.registry.url);
        shown.gateway.reports_url.iter_mut().for_each(hide_user);

        let mut out = String::new();
        let Ok(table) = Table::try_from(&shown) else { return out };
        self.write("", &table, &mut out);
        if !shown.workspaces.is_empty() {
            let origin = self.origins.get("workspaces").cloned().unwrap_or(Origin::CommandLine);
            out.push_str(&format!("\n# workspaces: {origin}\n"));
            let mut workspaces = Table::new();
            workspaces.extend(table.into_iter().filter(|(key, _)| key == "workspaces"));
            out.push_str(&toml::to_string(&workspaces).unwrap_or_default());
        }
        out
    }

    fn write(&self, path: &str, table: &Table, out: &mut String) {
        for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
            let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if full != "workspaces" {
                let origin = self.origins.get(&full).cloned().unwrap_or(Origin::CommandLine);
                out.push_str(&format!("{} = {value}  # {origin}\n", quoted(key)));
            }
        }
        for (key, value) in table {
            if let Value::Table(inner) = value {
                let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                out.push_str(&format!("\n[{full}]\n"));
                self.write(&full, inner, out);
            }
        }
    }
}

fn quoted(key: &str) -> String {
    if key.contains('.') { format!("{key:?}") } else { key.to_owned() }
}

/// `http://user:password@host` hides what stands before the `@`.
fn hide_user(url: &mut String) {
    let Some((scheme, rest)) = url.split_once("://") else { return };
    let authority = rest.split('/').next().unwrap_or_default();
    if let Some((user, _)) = authority.rsplit_once('@') {
        *url = format!("{scheme}://{HIDDEN}{}", &rest[user.len()..]);
    }
}
