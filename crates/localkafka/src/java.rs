//! Finds a Java that can run Kafka.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::Error;

/// Kafka 4 brokers and Apicurio 3 are compiled for it.
const NEEDED: u32 = 17;

/// The launcher to start children with: that of `JAVA_HOME`, else that of `PATH`, whichever is new enough.
///
/// The path is the one that Java gives for itself, because a shim (sdkman, jenv) may stay between us and the process
/// that signals are meant for.
pub(crate) fn find() -> Result<PathBuf, Error> {
    let mut too_old = None;
    for launcher in candidates() {
        let Some(java) = ask(&launcher) else { continue };
        if java.major >= NEEDED {
            let own = java.home.join("bin/java");
            return Ok(if own.is_file() { own } else { launcher });
        }
        too_old.get_or_insert(Error::JavaTooOld { path: launcher, found: java.major, needed: NEEDED });
    }
    Err(too_old.unwrap_or(Error::JavaMissing))
}

fn candidates() -> Vec<PathBuf> {
    let home = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    home.into_iter().chain(on_path("java")).filter(|path| path.is_file()).collect()
}

/// The first file of that name in `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

struct Java {
    major: u32,
    home: PathBuf,
}

fn ask(launcher: &Path) -> Option<Java> {
    let output = Command::new(launcher)
        .args(["-XshowSettings:properties", "-version"])
        .stdin(Stdio::null())
        .output()
        .inspect_err(|error| tracing::debug!(path = %launcher.display(), %error, "a java does not run"))
        .ok()?;
    parse(&String::from_utf8_lossy(&output.stderr))
}

/// Reads what `-XshowSettings:properties` prints: `    java.specification.version = 17`, up to 8 `= 1.8`.
fn parse(settings: &str) -> Option<Java> {
    let property = |name: &str| {
        settings
            .lines()
            .find_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('='))
            .map(str::trim)
    };
    let version = property("java.specification.version")?;
    let major = version.strip_prefix("1.").unwrap_or(version).parse().ok()?;
    Some(Java { major, home: PathBuf::from(property("java.home").unwrap_or_default()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn major(version: &str) -> Option<u32> {
        let text = format!(
            "Property settings:\n    java.home = /opt/jdk home\n    java.specification.name = x\n    \
             java.specification.version = {version}\n    java.version = 9.9.9\n\nopenjdk version \"9.9.9\"\n"
        );
        let java = parse(&text)?;
        assert_eq!(java.home, Path::new("/opt/jdk home"));
        Some(java.major)
    }

    #[test]
    fn the_major_version_is_read_from_old_and_new_numbering() {
        assert_eq!(major("1.8"), Some(8));
        assert_eq!(major("11"), Some(11));
        assert_eq!(major("17"), Some(17));
        assert_eq!(major("25"), Some(25));
    }

    #[test]
    fn a_launcher_that_prints_no_version_is_not_a_java() {
        assert!(parse("The operation couldn't be completed. Unable to locate a Java Runtime.").is_none());
        assert_eq!(major("seventeen"), None);
    }
}
