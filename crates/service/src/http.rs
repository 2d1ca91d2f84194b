//! Serves a router: heads and connections are bounded, the end is graceful.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use crate::Shutdown;

/// What a client may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// For the head of a request; an idle connection is closed after it too.
    pub header_timeout: Duration,
    /// Connections held open at once; further ones wait in the listen queue.
    pub max_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_timeout: Duration::from_secs(5), max_connections: 1_024 }
    }
}

/// The most bytes of a request's head, and the most headers in it.
const HEAD_BYTES: usize = 64 << 10;
const HEADERS: usize = 128;
/// After accept() failed for want of file handles.
const BREATH: Duration = Duration::from_millis(50);

/// An address that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address} ({key}): {advice}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The key of the configuration that it came from.
    pub key: String,
    /// What happened, and what to do.
    pub advice: String,
    #[source]
    source: io::Error,
}

/// Takes the address of `key` (`gateway.listen`). Port 0 takes a free one: ask the listener which.
pub async fn bind(address: SocketAddr, key: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| {
        let variable = format!("TILLSTREAM_{}", key.replace('.', "__").to_uppercase());
        let advice = match source.kind() {
            io::ErrorKind::AddrInUse => {
                format!("another process has this port; stop it, or choose another with {variable}=<address>:<port>")
            }
            io::ErrorKind::PermissionDenied => {
                format!("not permitted; ports below 1024 need a privilege, choose another with {variable}")
            }
            io::ErrorKind::AddrNotAvailable => {
                format!("this machine doesn't have that address; choose another with {variable}")
            }
            _ => format!("choose another with {variable}"),
        };
        BindError { address, key: key.to_owned(), advice, source }
    })
}

/// The address at the other end of a request's connection; an extension of every request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(pub SocketAddr);

/// Answers requests until `shutdown`, then lets those that have begun end within what is left of the drain budget.
pub async fn serve(listener: TcpListener, router: Router, shutdown: Shutdown, limits: Limits) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(HEADERS)
        .max_header_size(HEAD_BYTES)
        .pipeline_flush(true);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.wait() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { break };
        let named = router.clone().map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            request
        });
        let service = TowerToHyperService::new(named);
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // Clients hang up and send rubbish: nothing that anybody could act upon.
            if let Err(error) = connection.await {
                tracing::trace!(%error, "connection ended early");
            }
            drop(permit);
        });
    }
    // No new connections while the old ones end.
    drop(listener);
    let left = shutdown.remaining();
    if tokio::time::timeout(left, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were cut off: the drain budget is used up");
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // Never closed, so never `None`.
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // An answer is one small packet.
                let _ = stream.set_nodelay(true);
                return Some((stream, peer, permit));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection couldn't be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn start(limits: Limits) -> (SocketAddr, Shutdown, tokio::task::JoinHandle<()>) {
        let router = Router::new().route("/", get(|| async { "ok" })).route(
            "/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                "slow"
            }),
        );
        let listener = bind(([127, 0, 0, 1], 0).into(), "test.listen").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let server = tokio::spawn(serve(listener, router, shutdown.clone(), limits));
        (address, shutdown, server)
    }

    async fn all(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_head_that_comes_too_slowly_is_cut() {
        let limits = Limits { header_timeout: Duration::from_millis(200), ..Limits::default() };
        let (address, _shutdown, _server) = start(limits).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let began = Instant::now();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-").await.unwrap();
        assert_eq!(all(&mut stream).await, "");
        assert!(began.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test]
    async fn a_request_that_has_begun_is_answered_during_the_end() {
        let (address, shutdown, server) = start(Limits::default()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        shutdown.trigger();
        assert!(all(&mut stream).await.ends_with("slow"));
        tokio::time::timeout(Duration::from_secs(2), server).await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_delay_the_end() {
        let (address, shutdown, server) = start(Limits::default()).await;
        let _idle = TcpStream::connect(address).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        shutdown.trigger();
        tokio::time::timeout(Duration::from_secs(1), server).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_key() {
        let (address, _shutdown, _server) = start(Limits::default()).await;
        let text = bind(address, "gateway.listen").await.unwrap_err().to_string();
        assert!(text.contains(&address.to_string()), "{text}");
        assert!(text.contains("TILLSTREAM_GATEWAY__LISTEN="), "{text}");
    }
}
