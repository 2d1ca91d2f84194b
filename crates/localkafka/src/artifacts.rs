//! The Java side, fetched once by Maven.

use std::{
    env,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sha2::{Digest as _, Sha256};

use crate::{Error, error::NEEDED_BYTES, java, process, sys};

/// Embedded, so that an installed binary works away from the checkout.
const POM: &str = include_str!("../../../deploy/pom.xml");
const CACHE_DIR: &str = "TILLSTREAM_CACHE_DIR";
/// Written last; a cache folder without it was cut short.
const MARKER: &str = "complete";

/// Where Java, Kafka and the registry are on this machine.
#[derive(Debug, Clone)]
pub struct Artifacts {
    pub(crate) java: PathBuf,
    /// A folder of jars.
    pub(crate) kafka: PathBuf,
    /// The registry's runner.
    pub(crate) registry: PathBuf,
}

impl Artifacts {
    /// Finds them, and has Maven fetch what is missing (170 MB, once per version of `deploy/pom.xml`).
    ///
    /// `progress` is given a line at a time, for people; nothing when the cache is complete. The cache is
    /// `TILLSTREAM_CACHE_DIR`, by default `tillstream` in the platform's cache folder. Any number of processes may
    /// call this at the same time.
    pub fn resolve(progress: &dyn Fn(&str)) -> Result<Self, Error> {
        let root = match env::var_os(CACHE_DIR) {
            Some(dir) if !dir.is_empty() => PathBuf::from(dir),
            _ => dirs::cache_dir().ok_or(Error::NoCacheDir)?.join("tillstream"),
        };
        Self::resolve_in(&root, progress)
    }

    fn resolve_in(root: &Path, progress: &dyn Fn(&str)) -> Result<Self, Error> {
        let java = java::find()?;
        let version = hex::encode(&Sha256::digest(POM)[..8]);
        let dir = root.join(&version);
        if !dir.join(MARKER).is_file() {
            fetch(root, &version, &dir, progress)?;
        }
        Ok(Self { java, kafka: dir.join("kafka"), registry: runner(&dir.join("registry"))? })
    }
}

fn fetch(root: &Path, version: &str, dir: &Path, progress: &dyn Fn(&str)) -> Result<(), Error> {
    fs::create_dir_all(root).map_err(|e| Error::io("create the folder", root, e))?;
    let path = root.join(format!("{version}.lock"));
    let lock = File::create(&path).map_err(|e| Error::io("create the lock file", &path, e))?;
    let locked = |e| Error::io("lock", &path, e);
    if !sys::try_lock(&lock).map_err(locked)? {
        progress("another process is fetching Kafka and the registry; waiting for it");
        sys::lock(&lock).map_err(locked)?;
    }
    if dir.join(MARKER).is_file() {
        return Ok(());
    }
    let maven = java::on_path("mvn").ok_or(Error::MavenMissing)?;
    let free = sys::free_bytes(root).map_err(|e| Error::io("ask for the free space of", root, e))?;
    if free < NEEDED_BYTES {
        return Err(Error::DiskFull { path: root.to_owned(), free, needed: NEEDED_BYTES });
    }

    progress("fetching Kafka and the registry with Maven, once");
    let partial = root.join(format!("{version}.partial"));
    for leftover in [&partial, &dir.to_owned()] {
        if leftover.exists() {
            fs::remove_dir_all(leftover)
                .map_err(|e| Error::io("remove the unfinished folder", leftover, e))?;
        }
    }
    fs::create_dir(&partial).map_err(|e| Error::io("create the folder", &partial, e))?;
    let pom = partial.join("pom.xml");
    fs::write(&pom, POM).map_err(|e| Error::io("write", &pom, e))?;
    run_maven(&maven, &pom, &partial, progress)?;
    if !partial.join("kafka").is_dir() {
        return Err(Error::ArtifactMissing { what: "kafka", dir: partial });
    }
    runner(&partial.join("registry"))?;
    let marker = partial.join(MARKER);
    fs::write(&marker, "").map_err(|e| Error::io("write", &marker, e))?;
    fs::rename(&partial, dir).map_err(|e| Error::io("move the finished cache to", dir, e))?;
    progress("fetched");
    Ok(())
}

fn run_maven(maven: &Path, pom: &Path, out: &Path, progress: &dyn Fn(&str)) -> Result<(), Error> {
    const KEPT: usize = 15;
    // Maven reports on stdout; its launcher and its JVM complain on stderr.
    let log = out.join("maven-errors.log");
    let errors = File::create(&log).map_err(|e| Error::io("write", &log, e))?;
    let mut command = Command::new(maven);
    command
        .arg("-B")
        .arg("-f")
        .arg(pom)
        .arg(format!("-Dtillstream.out={}", out.display()))
        .arg("process-resources")
        .current_dir(out)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors);
    let mut child =
        process::spawn(command, None, crate::sys::Signal::Kill).map_err(|e| Error::io("run", maven, e))?;
    let mut last = std::collections::VecDeque::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(|e| Error::io("read what was said by", maven, e))?;
            if let Some(file) = downloaded(&line) {
                progress(&format!("fetched {file}"));
            } else if line.starts_with("[ERROR]") || !line.starts_with('[') {
                if last.len() == KEPT {
                    last.pop_front();
                }
                last.push_back(line);
            }
        }
    }
    let status = child.wait().map_err(|e| Error::io("wait for", maven, e))?;
    if status.success() {
        return Ok(());
    }
    last.push_back(process::tail(&log));
    Err(Error::MavenFailed { tail: Vec::from(last).join("\n") })
}

/// `[INFO] Downloaded from central: …/kafka-server-4.3.1.jar (1.2 MB at 3 MB/s)`: the file and its size, poms left out.
fn downloaded(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("Downloaded from ")?;
    let (url, size) = rest.split_once(" (")?;
    let (_, name) = url.rsplit_once('/')?;
    let (size, _) = size.split_once(" at ")?;
    (name.ends_with(".jar") || name.ends_with(".gz")).then(|| format!("{name} ({size})"))
}

/// The one `*-runner.jar` in the registry's folder.
fn runner(dir: &Path) -> Result<PathBuf, Error> {
    let entries = fs::read_dir(dir).map_err(|e| Error::io("read the folder", dir, e))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with("-runner.jar"))
        .ok_or_else(|| Error::ArtifactMissing { what: "*-runner.jar", dir: dir.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_names_the_file_and_not_the_host() {
        let line =
            "[INFO] Downloaded from central: https://host/a/b/kafka-server-4.3.1.jar (1.2 MB at 3.4 MB/s)";
        assert_eq!(downloaded(line).as_deref(), Some("kafka-server-4.3.1.jar (1.2 MB)"));
        assert_eq!(downloaded("[INFO] Downloaded from central: https://host/a/b.pom (1 kB at 3 kB/s)"), None);
        assert_eq!(downloaded("[INFO] BUILD SUCCESS"), None);
    }
}
