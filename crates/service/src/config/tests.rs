use std::io::Write;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::*;

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, Errors> {
    Config::load_from(Some(file(text).path()), &environment(env), Vec::new())
}

fn mistakes(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    load(text, env).unwrap_err().0.into_iter().map(|m| format!("{}: {}", m.key, m.message)).collect()
}

const ACME: &str = r#"
[[workspaces]]
id = "acme"
[[workspaces.shopify]]
shop = "acme.myshopify.com"
secrets = ["shpss_verysecret"]
"#;

#[test]
fn the_defaults_are_a_configuration() {
    let config = Config::load_from(None, &[], Vec::new()).unwrap();
    assert_eq!(config.gateway.listen.port(), 8080);
    assert_eq!(config.gateway.commit_timeout.duration(), Duration::from_secs(3));
    assert_eq!(config.aggregator.grace.duration(), Duration::from_secs(3600));
    assert_eq!(config.normalizer.stage().max_transaction_bytes.0, 16 << 20);
    assert!(config.workspaces.is_empty() && config.instance.is_none());
}

#[test]
fn a_store_on_disk_needs_a_folder() {
    let found = mistakes("[state]\nstore = 'disk'\n[aggregator]\ncache = '1KiB'\nstore = 'tape'", &[]);
    assert!(found.iter().any(|m| m.starts_with("aggregator.store: ")), "{found:#?}");
    let found = mistakes("[state]\nstore = 'disk'\n[aggregator]\ncache = '1KiB'", &[]);
    assert_eq!(
        found,
        [
            "aggregator.cache: it is not between 8MiB and 64GiB",
            "state.folder: it is needed with state.store = \"disk\""
        ]
    );
    let env = [("TILLSTREAM_STATE__STORE", "disk"), ("TILLSTREAM_STATE__FOLDER", "/var/lib/x")];
    let config = load("[state]\ncache = '1GiB'", &env).unwrap();
    assert_eq!(config.state.store, Store::Disk);
    assert_eq!(config.state.cache.0, 1 << 30);
    let shown = config.to_toml_redacted();
    for line in [
        "store = \"disk\"  # environment TILLSTREAM_STATE__STORE",
        "folder = \"/var/lib/x\"",
        "write_buffer = \"64MiB\"  # default",
    ] {
        assert!(shown.contains(line), "{line} in\n{shown}");
    }
}

#[test]
fn what_a_workspace_is_counted_by_is_in_its_own_table_alone() {
    let own = format!("{ACME}[[workspaces]]\nid = 'quick'\nabandoned_after_s = 900\n");
    let rules = |config: &Config| -> Vec<_> {
        config.workspaces().unwrap().iter().map(|workspace| workspace.rules.clone()).collect()
    };
    // Two processes of one configuration, each with sections of its own: whichever publishes version 1, it is the same.
    let one = load(&own, &[]).unwrap();
    let sections = [
        ("TILLSTREAM_AGGREGATOR__GRACE", "5m"),
        ("TILLSTREAM_STATE__TICK", "1m"),
        ("TILLSTREAM_NORMALIZER__WORKERS", "7"),
    ];
    let other = load(&own, &sections).unwrap();
    assert_eq!(rules(&one), rules(&other));
    assert_eq!(rules(&one).iter().map(|rules| rules.abandoned_after_s).collect::<Vec<_>>(), [3_600, 900]);

    // What was a process's own once is refused with the place that it has now.
    let expected = "aggregator.abandoned_after: it is no setting of a process any more, but of each workspace: \
                    abandoned_after_s, in seconds, in its [[workspaces]]";
    assert_eq!(mistakes("[aggregator]\nabandoned_after = '10m'", &[]), [expected]);
    assert_eq!(mistakes("", &[("TILLSTREAM_AGGREGATOR__ABANDONED_AFTER", "10m")]), [expected]);
}

#[test]
fn a_quota_that_nobody_could_ask_for_is_a_mistake() {
    let limited = format!("{ACME}[workspaces.plan]\nmonthly_events = 1000\n");
    let found = mistakes(&limited, &[]);
    assert_eq!(
        found,
        [
            "workspaces.acme.plan.monthly_events: it needs analytics.secret_keys: the gateway asks by such a key what was counted"
        ]
    );
    let keyed = format!("{limited}[workspaces.analytics]\nsecret_keys = ['sk_acme_0123456789']\n");
    assert_eq!(load(&keyed, &[]).unwrap().workspaces[0].plan.monthly_events, Some(1000));
}

#[test]
fn other_services_are_named_by_their_addresses() {
    assert_eq!(mistakes("[query]\nservices = ['gateway:8080']", &[]).len(), 1);
    let config = load("[query]\nservices = ['http://gateway:8080', 'http://state:9464']", &[]).unwrap();
    assert_eq!(config.query.services.len(), 2);
}

#[test]
fn every_key_of_the_defaults_file_has_a_comment_above_it() {
    let lines: Vec<_> = DEFAULTS.lines().collect();
    for pair in lines.windows(2) {
        if pair[1].contains(" = ") && !pair[1].starts_with('#') {
            assert!(pair[0].starts_with('#'), "{}", pair[1]);
        }
    }
}

#[test]
fn a_later_layer_wins() {
    let text =
        "instance = 'file'\n[gateway]\nlisten = '127.0.0.1:1'\nbody_timeout = '1s'\ncommit_timeout = '1s'";
    let env = environment(&[
        ("TILLSTREAM_GATEWAY__BODY_TIMEOUT", "2s"),
        ("TILLSTREAM_GATEWAY__COMMIT_TIMEOUT", "2s"),
        ("TILLSTREAM_GATEWAY__THREADS", "3"),
        ("TILLSTREAM_INSTANCE", "007"),
        ("TILLSTREAM_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SSL"),
        ("TILLSTREAM_DATA_DIR", "/var/lib/x"),
        ("TILLSTREAM_GATEWAY_PORT", "tcp://10.0.0.1:80"),
        ("HOME", "/root"),
    ]);
    let overrides = vec![("gateway.commit_timeout".to_owned(), "3s".into())];
    let config = Config::load_from(Some(file(text).path()), &env, overrides).unwrap();
    assert_eq!(config.gateway.listen.port(), 1);
    assert_eq!(config.gateway.body_timeout.to_string(), "2s");
    assert_eq!(config.gateway.commit_timeout.to_string(), "3s");
    assert_eq!(config.gateway.threads, 3);
    assert_eq!(config.instance.as_deref(), Some("007"));
    assert_eq!(config.kafka.properties["security.protocol"], "SSL");
}

#[test]
fn properties_of_librdkafka_may_be_written_with_or_without_quotes() {
    let text = "[kafka.properties]\nsecurity.protocol = 'SASL_SSL'\n'sasl.mechanism' = 'PLAIN'\nsocket.timeout.ms = 5000\nenable.ssl.certificate.verification = false";
    let properties = load(text, &[]).unwrap().kafka.properties;
    let expected = [
        ("enable.ssl.certificate.verification", "false"),
        ("sasl.mechanism", "PLAIN"),
        ("security.protocol", "SASL_SSL"),
        ("socket.timeout.ms", "5000"),
    ];
    assert_eq!(properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
}

#[test]
fn all_mistakes_are_listed_with_their_place() {
    let text = r#"
surprise = 1
[gateway]
listn = "127.0.0.1:1"
body_timeout = "10"
max_connections = "many"
[kafka.properties]
acks = "1"
[log]
format = "xml"
[[workspaces]]
id = "acme"
base_curency = "USD"
base_currency = "ZZZ"
shopify = [{ shop = "acme.myshopify.com", secret = "topsecret" }]
[[workspaces]]
time_zone = "Mars/Base"
[[workspaces]]
id = "Upper"
"#;
    let env = [
        ("TILLSTREAM_GATEWAY__COMMIT_TIMEOUT", "9s"),
        ("TILLSTREAM_STATE__WORKERS", "x"),
        ("TILLSTREAM_GATEWAY_LISTEN", ":1"),
    ];
    let found = mistakes(text, &env);
    for expected in [
        "surprise: unknown key",
        "gateway.listn: unknown key, did you mean 'listen'?",
        "gateway.body_timeout: '10' is not a span",
        "gateway.max_connections: invalid type",
        "gateway.commit_timeout: it is not between",
        "gateway.listen: the name has one underscore, it is TILLSTREAM_GATEWAY__LISTEN",
        "kafka.properties.acks: is set by tillstream",
        "log.format: ",
        "state.workers: invalid type",
        "workspaces[0].base_curency: unknown key, did you mean 'base_currency'?",
        "workspaces[0].shopify",
        "workspaces[1].id: is missing",
        "workspaces.Upper.id: ",
    ] {
        assert!(found.iter().any(|mistake| mistake.starts_with(expected)), "{expected} in {found:#?}");
    }
    assert!(!format!("{found:?}").contains("topsecret"));
    let text = load(text, &env).unwrap_err().to_string();
    assert!(
        text.contains("gateway.commit_timeout (environment TILLSTREAM_GATEWAY__COMMIT_TIMEOUT): "),
        "{text}"
    );
}

#[test]
fn a_file_that_is_no_toml_is_named_with_its_line_and_without_its_text() {
    let text = load("[kafka.properties]\n'sasl.password' = hunter2\n", &[]).unwrap_err().to_string();
    assert!(text.contains("line 2") && !text.contains("hunter2"), "{text}");
    let missing =
        Config::load_from(Some("/nowhere/x.toml".as_ref()), &[], Vec::new()).unwrap_err().to_string();
    assert!(missing.contains("/nowhere/x.toml: can't be read"), "{missing}");
}

#[test]
fn workspaces_come_from_a_file_or_from_one_variable() {
    assert_eq!(load(ACME, &[]).unwrap().workspaces().unwrap().iter().count(), 1);
    let list = "[{id = 'a', lifesight = {keys = ['k-1']}}, {id = 'b'}]";
    let config = load(ACME, &[("TILLSTREAM_WORKSPACES", list)]).unwrap();
    assert_eq!(config.workspaces.iter().map(|w| w.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(mistakes("", &[("TILLSTREAM_WORKSPACES", "acme")])[0].contains("not a TOML list"));
}

#[test]
fn what_is_shown_has_no_secrets_and_names_where_values_came_from() {
    let text = format!(
        "[kafka.properties]\nsasl.password = 'hunter2'\nssl.key.location = '/etc/key'\n[registry]\nurl = 'http://me:hunter2@reg/apis'\n[state]\nperson_id_key = 'hunter2hunter2hunter2'\n{ACME}"
    );
    let config = load(&text, &[("TILLSTREAM_QUERY__DASHBOARD", "key")]).unwrap();
    let shown = config.to_toml_redacted();
    for secret in ["hunter2", "verysecret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    for line in [
        "\"sasl.password\" = \"***\"",
        "\"ssl.key.location\" = \"/etc/key\"",
        "url = \"http://***@reg/apis\"",
        "dashboard = \"key\"  # environment TILLSTREAM_QUERY__DASHBOARD",
        "commit_timeout = \"3s\"  # default",
        "id = \"acme\"",
    ] {
        assert!(shown.contains(line), "{line} in\n{shown}");
    }
    assert!(shown.parse::<toml::Table>().is_ok(), "{shown}");
}

#[test]
fn what_is_written_reads_back() {
    let mut config = load("instance = 'a'\n[kafka.properties]\nsocket.timeout.ms = 1", &[]).unwrap();
    config.workspaces.push(WorkspaceConfig::development());
    let again = load(&config.to_toml(), &[]).unwrap();
    assert_eq!(again.to_toml(), config.to_toml());
    assert_eq!(again.workspaces, config.workspaces);
}

#[test]
fn docker_compose_has_the_development_workspace_with_every_source() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/compose/tillstream.toml");
    let config = Config::load_from(Some(std::path::Path::new(path)), &[], Vec::new()).unwrap();
    assert!(config.workspaces == [WorkspaceConfig::development()], "{}", config.to_toml_redacted());
}
