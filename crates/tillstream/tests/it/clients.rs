//! Clients that others wrote, unmodified, against a running gateway; then a subscriber finds what they sent, each fact
//! once. The scripts, and what each of them shows, are in `tests/clients`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tillstream::home::Home;

use crate::running::{Up, diagnosis, folder, turn};

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients");

/// Runs a script that makes an environment, and gives the path that it prints.
fn prepared(script: &str) -> String {
    let output = Command::new("sh").arg(format!("{DIR}/{script}")).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{script} failed");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Clients, the gateway that they talk to, and what they claim to have sent.
struct Clients {
    python: String,
    dir: PathBuf,
    endpoints: String,
    claims: String,
}

impl Clients {
    /// To be made before the start of `up`, which needn't wait for downloads.
    fn new(dir: &Path) -> Self {
        let endpoints = Home::new(Some(dir)).unwrap().endpoints_file().display().to_string();
        Self { python: prepared("venv.sh"), dir: dir.to_owned(), endpoints, claims: String::new() }
    }

    /// Runs a script in Python.
    fn python(&mut self, script: &str) {
        let mut command = Command::new(&self.python);
        command.args([&format!("{DIR}/{script}"), &self.endpoints]);
        self.sends(script, command);
    }

    /// The same with a TLS address of the gateway.
    fn python_by_tls(&mut self, script: &str) {
        let mut command = Command::new(&self.python);
        command.args([&format!("{DIR}/tls.py"), &self.endpoints]);
        command.args([&self.python, &format!("{DIR}/{script}"), &self.endpoints]);
        self.sends(script, command);
    }

    /// Runs a script in Node, where there is one.
    fn node(&mut self, script: &str, otherwise: &str) {
        let packages = prepared("node.sh");
        if packages.is_empty() {
            eprintln!("{script} is skipped, there is no Node 20 with npm: {otherwise}");
            return;
        }
        let mut command = Command::new("node");
        command.args([&format!("{packages}/{script}"), &self.endpoints]);
        command.arg(env!("CARGO_BIN_EXE_tillstream"));
        self.sends(script, command);
    }

    /// Runs a program in Go, where there is one: it has no packages but Go's own.
    fn go(&mut self, program: &str, otherwise: &str) {
        let go = prepared("go.sh");
        if go.is_empty() {
            eprintln!("{program} is skipped, there is no Go 1.22: {otherwise}");
            return;
        }
        let mut command = Command::new(go);
        // No other release of Go, and no module, is fetched for it.
        command.envs([("GOTOOLCHAIN", "local"), ("GOPROXY", "off"), ("GO111MODULE", "off")]);
        command.args(["run", &format!("{DIR}/{program}"), &self.endpoints]);
        self.sends(program, command);
    }

    fn sends(&mut self, script: &str, mut command: Command) {
        let output = command.env("TILLSTREAM_DATA_DIR", &self.dir).output().unwrap();
        let (claims, said) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}\n{script} failed:\n{claims}\n{said}", diagnosis(&self.dir));
        self.claims.push_str(&claims);
    }

    /// Events and facts are as claimed.
    fn subscriber_agrees(self) {
        let mut subscriber = Command::new(&self.python)
            .args([&format!("{DIR}/subscriber.py"), &self.endpoints])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        subscriber.stdin.take().unwrap().write_all(self.claims.as_bytes()).unwrap();
        let output = subscriber.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\nsubscriber.py failed:\n{said}", diagnosis(&self.dir));
        eprint!("{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn cio_c04_unmodified_python_and_node_clients_complete_their_calls_and_each_fact_is_there_once() {
    let _turn = turn();
    let dir = folder();
    let mut clients = Clients::new(dir.path());
    let _up = Up::start(dir.path(), &[]);
    clients.python_by_tls("customerio_python.py");
    clients.python_by_tls("customerio_async.py");
    let recorded = "its calls are those recorded in crates/sources/tests/samples";
    clients.node("customerio.mjs", recorded);
    clients.go("customerio.go", recorded);
    clients.subscriber_agrees();
}

#[test]
fn str_c01_shop_c01_webhooks_signed_by_the_providers_libraries_are_accepted_and_tampered_ones_are_not() {
    let _turn = turn();
    let dir = folder();
    let mut clients = Clients::new(dir.path());
    let _up = Up::start(dir.path(), &[]);
    clients.python("stripe_webhook.py");
    clients.python("shopify_webhook.py");
    clients.node("shopify.mjs", "nobody else's code has checked what `trigger` signs");
    clients.subscriber_agrees();
}

#[test]
fn ana_c01_rec_c02_seq_c22_a_backends_own_calls_and_the_official_client_for_orders_are_each_a_fact_once() {
    let _turn = turn();
    let dir = folder();
    let mut clients = Clients::new(dir.path());
    let _up = Up::start(dir.path(), &[]);
    clients.python("plain_http.py");
    clients.python("sequenzy_orders.py");
    clients.subscriber_agrees();
}
