use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::demo::Credentials;

/// A gateway that answers what `answer` says for the nth request; `None`: hangs up without an answer.
async fn gateway(
    answer: impl Fn(usize) -> Option<u16> + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (answer, bodies, count) = (Arc::new(answer), Arc::clone(&seen), Arc::new(AtomicUsize::new(0)));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (answer, bodies, count) = (Arc::clone(&answer), Arc::clone(&bodies), Arc::clone(&count));
            tokio::spawn(async move {
                let mut request = Vec::new();
                loop {
                    let mut buffer = [0_u8; 4096];
                    let n = socket.read(&mut buffer).await.unwrap();
                    request.extend_from_slice(&buffer[..n]);
                    if n == 0 || request.ends_with(b"!") {
                        break;
                    }
                }
                let body = String::from_utf8_lossy(&request);
                let body = body.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned();
                let n = count.fetch_add(1, Ordering::SeqCst);
                bodies.lock().unwrap().push(body);
                if let Some(status) = answer(n) {
                    let text =
                        format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
                    socket.write_all(text.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (url, seen)
}

fn deliveries(n: usize) -> Vec<Delivery> {
    let make = |at| Delivery {
        at,
        ..Credentials::default().backend("orders_create", format!("{at}!").into_bytes())
    };
    (0..n).map(make).collect()
}

fn options(url: String) -> Options {
    Options { rate: None, concurrency: 1, ..Options::to(url) }
}

#[tokio::test]
async fn everything_is_sent_in_order() {
    let (url, seen) = gateway(|_| Some(200)).await;
    let report = send(&deliveries(20), &options(url), |_| {}).await.unwrap();
    assert_eq!((report.sent, report.retries, report.uncertain), (20, 0, 0));
    assert_eq!(*seen.lock().unwrap(), (0..20).map(|i| format!("{i}!")).collect::<Vec<_>>());
}

#[tokio::test]
async fn it_tries_again_until_it_is_taken_and_counts_what_nobody_knows() {
    let (url, seen) = gateway(|n| match n {
        0 => Some(503),
        1 => None,
        2 => Some(429),
        _ => Some(200),
    })
    .await;
    let report = send(&deliveries(1), &options(url), |_| {}).await.unwrap();
    assert_eq!((report.sent, report.retries, report.uncertain), (1, 3, 2));
    assert_eq!(seen.lock().unwrap().len(), 4);
    assert!(report.unexpected.is_empty());
}

#[tokio::test]
async fn a_refused_connection_is_no_uncertainty_and_patience_ends() {
    let options =
        Options { patience: Duration::from_millis(150), ..options("http://127.0.0.1:1".to_owned()) };
    let error = send(&deliveries(1), &options, |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::GaveUp { at: 0, .. }), "{error}");
    assert!(!error.to_string().contains("dev-backend-key"), "{error}");
}

#[tokio::test]
async fn another_status_is_reported() {
    let (url, _) = gateway(|n| Some(if n == 1 { 400 } else { 200 })).await;
    let report = send(&deliveries(3), &options(url), |_| {}).await.unwrap();
    assert_eq!(report.unexpected_count, 1);
    assert_eq!((report.unexpected[0].at, report.unexpected[0].got), (1, 400));
}

#[tokio::test]
async fn a_killed_run_goes_on_where_it_was_and_a_finished_one_sends_nothing() {
    let (url, seen) = gateway(|_| Some(200)).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("progress.json");
    let plan = Plan { seed: 1, orders: 2, now: 3 };
    let options = Options { progress: Some((path.clone(), plan)), ..options(url) };
    let killed = Progress { plan, done: 6, of: 10, uncertain: 2, resumed: false, unexpected: 0 };
    killed.save(&path).await.unwrap();
    let report = send(&deliveries(10), &options, |_| {}).await.unwrap();
    assert_eq!((report.began_at, report.sent, report.uncertain, report.resumed), (6, 4, 2, true));
    let report = send(&deliveries(10), &options, |_| {}).await.unwrap();
    assert_eq!((report.sent, report.resumed), (0, true));
    assert_eq!(seen.lock().unwrap().len(), 4);
    let other = Options { progress: Some((path, Plan { seed: 9, ..plan })), ..options };
    assert!(matches!(send(&deliveries(10), &other, |_| {}).await, Err(Error::AnotherPlan { .. })));
}

#[tokio::test]
async fn the_rate_is_kept() {
    let (url, _) = gateway(|_| Some(200)).await;
    let options = Options { rate: NonZeroU32::new(100), ..options(url) };
    let began = Instant::now();
    let _ = send(&deliveries(11), &options, |_| {}).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(95));
}
