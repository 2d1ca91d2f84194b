//! Requests over kept connections: as little client as possible, because it runs on the cores that are measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::demo::Delivery;

/// A request, ready to be written.
pub type Bytes = Arc<[u8]>;

/// The bytes of a delivery.
pub fn post(delivery: &Delivery) -> Bytes {
    let mut text = format!("{} {} HTTP/1.1\r\nHost: bench\r\n", delivery.method, delivery.path_and_query);
    for (name, value) in &delivery.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n", delivery.body.len()));
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&delivery.body);
    bytes.into()
}

/// The bytes of a question.
pub fn get(path_and_query: &str, key: &str) -> Bytes {
    format!("GET {path_and_query} HTTP/1.1\r\nHost: bench\r\nX-Api-Key: {key}\r\n\r\n").into_bytes().into()
}

/// A connection that is used again and again.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// One request and its answer: the status and the body.
    pub async fn ask(&mut self, request: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(anyhow!("the server closed the connection"));
            }
            let Some(head) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let (status, length) = read_head(&self.buffer[..head])?;
            let end = head + 4 + length;
            while self.buffer.len() < end {
                if self.stream.read_buf(&mut self.buffer).await? == 0 {
                    return Err(anyhow!("the server closed the connection within an answer"));
                }
            }
            return Ok((status, &self.buffer[head + 4..end]));
        }
    }
}

fn read_head(head: &[u8]) -> anyhow::Result<(u16, usize)> {
    let text = std::str::from_utf8(head)?;
    let mut lines = text.split("\r\n");
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).context("no status line")?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Ok((status, length.context("an answer without a length")?))
}

/// What a load came to.
#[derive(Debug, Default)]
pub struct Load {
    /// Milliseconds of each answer.
    pub millis: Vec<f64>,
    /// Answers that weren't 2xx.
    pub refused: u64,
    /// How long it lasted.
    pub seconds: f64,
}

/// As many requests as are answered, over so many connections, for so long after a second of warming up.
pub async fn flood(
    address: SocketAddr,
    requests: &Arc<[Bytes]>,
    connections: u16,
    span: Duration,
) -> anyhow::Result<Load> {
    let warm = Instant::now() + Duration::from_secs(1);
    let end = warm + span;
    let tasks: Vec<_> = (0..usize::from(connections))
        .map(|number| {
            let requests = Arc::clone(requests);
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await?;
                let mut load = Load::default();
                // Each begins somewhere else, so that they don't go through the partitions in step.
                for request in requests.iter().cycle().skip(number * 7) {
                    let began = Instant::now();
                    if began >= end {
                        break;
                    }
                    let (status, _) = connection.ask(request).await?;
                    if began >= warm {
                        load.millis.push(began.elapsed().as_secs_f64() * 1e3);
                        load.refused += u64::from(!(200..300).contains(&status));
                    }
                }
                anyhow::Ok(load)
            })
        })
        .collect();
    let mut all = Load { seconds: span.as_secs_f64(), ..Load::default() };
    for task in tasks {
        let load = task.await??;
        all.millis.extend(load.millis);
        all.refused += load.refused;
    }
    Ok(all)
}
