//! One body to the gateway: again until it has an answer that a repetition wouldn't change.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use reqwest::StatusCode;
use reqwest::blocking::Client;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use serde::Deserialize;
use sources::records::import;

/// How a code of the records API begins.
pub(super) const CODES: &str = "CDP_ETL.";

/// A gateway that comes back within this time is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const ATTEMPT: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A gateway, and what opens it.
pub(super) struct Door {
    client: Client,
    url: String,
    key: String,
    label: String,
    patience: Duration,
}

/// What the gateway says of a body that it took.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) accepted: usize,
    pub(super) refused: Vec<Refused>,
    /// The gateway knew the body.
    pub(super) repeated: bool,
}

/// A record that it didn't take.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Refused {
    pub(super) index: usize,
    pub(super) code: String,
    pub(super) path: String,
    pub(super) message: String,
}

#[derive(Deserialize)]
struct Success {
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    accepted_records: usize,
    #[serde(default)]
    errors: Vec<Refused>,
}

impl Door {
    pub(super) fn open(gateway: String, key: String, label: String) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().timeout(ATTEMPT).build()?;
        let url = format!("{}{}", gateway.trim_end_matches('/'), import::PATH);
        Ok(Self { client, url, key, label, patience: PATIENCE })
    }

    /// Sends a body until it is taken or refused for good. Its key makes a repetition harmless.
    pub(super) fn upsert(&self, body: &str, key: &str) -> anyhow::Result<Taken> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let (failure, asked) = match self.attempt(body, key) {
                Ok(answer) if answer.status == StatusCode::OK => return answer.taken(),
                Ok(Answer { status, text, .. }) if !is_passing(status) => {
                    return Err(anyhow!("the gateway answers {status}: {text}"));
                }
                Ok(answer) => (anyhow!("the gateway answers {}", answer.status), answer.retry_after),
                Err(error) => {
                    let error = anyhow::Error::new(error.without_url());
                    (error.context("no answer from the gateway: is `tillstream up` running?"), None)
                }
            };
            let wait = asked.unwrap_or(pause).min(LONGEST_PAUSE);
            if began.elapsed() + wait > self.patience {
                return Err(failure.context(format!("tried for {} s", self.patience.as_secs())));
            }
            std::thread::sleep(wait);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn attempt(&self, body: &str, key: &str) -> reqwest::Result<Answer> {
        let answer = self
            .client
            .post(&self.url)
            .header(AUTHORIZATION, format!("Bearer {}", self.key))
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", key)
            .header(import::LABEL, &self.label)
            .body(body.to_owned())
            .send()?;
        let header = |name: &str| answer.headers().get(name)?.to_str().ok();
        Ok(Answer {
            status: answer.status(),
            retry_after: header(RETRY_AFTER.as_str())
                .and_then(|text| text.parse().ok())
                .map(Duration::from_secs),
            repeated: header("idempotency-replayed") == Some("true"),
            text: answer.text()?,
        })
    }
}

/// A whole answer.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    repeated: bool,
    text: String,
}

impl Answer {
    fn taken(self) -> anyhow::Result<Taken> {
        let Success { data } = serde_json::from_str(&self.text)
            .with_context(|| format!("the gateway answers 200 with {}", self.text))?;
        Ok(Taken { accepted: data.accepted_records, refused: data.errors, repeated: self.repeated })
    }
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || [StatusCode::TOO_MANY_REQUESTS, StatusCode::CONFLICT, StatusCode::REQUEST_TIMEOUT]
            .contains(&status)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    const TAKEN: &str = r#"{"success":true,"data":{"acceptedRecords":2,"rejectedRecords":0,"errors":[]}}"#;

    /// A gateway that gives these answers one after the other, each on a connection of its own.
    fn gateway(answers: Vec<String>) -> (Door, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let mut seen = vec![];
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = vec![];
                while !request.ends_with(b"{}") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                seen.push(String::from_utf8(request).unwrap());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            seen
        });
        let mut door = Door::open(url, "secret".to_owned(), "nightly".to_owned()).unwrap();
        door.patience = Duration::from_secs(20);
        (door, served)
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
    }

    #[test]
    fn a_body_is_sent_again_under_its_key_until_it_has_a_whole_answer() {
        let (door, served) = gateway(vec![
            String::new(),
            answer("503 Service Unavailable", "retry-after: 0\r\n", "{}"),
            answer("200 OK", "", TAKEN)[..70].to_owned(),
            answer("200 OK", "idempotency-replayed: true\r\n", TAKEN),
        ]);
        let taken = door.upsert("{}", "key-1").unwrap();
        assert_eq!(taken, Taken { accepted: 2, refused: vec![], repeated: true });
        let seen = served.join().unwrap();
        assert!(seen.len() == 4 && seen.iter().all(|request| request == &seen[0]));
        for part in ["authorization: Bearer secret", "idempotency-key: key-1", "tillstream-import: nightly"] {
            assert!(seen[0].contains(part), "{}", seen[0]);
        }
    }

    #[test]
    fn a_refusal_for_good_is_told_and_not_tried_again() {
        let (door, served) = gateway(vec![answer("401 Unauthorized", "", "{\"error\":1}")]);
        let error = door.upsert("{}", "k").unwrap_err().to_string();
        assert!(error.contains("401") && error.contains("{\"error\":1}"), "{error}");
        assert_eq!(served.join().unwrap().len(), 1);
    }
}
