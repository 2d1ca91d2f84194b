//! One HTTP request, by hand: a blocking client library panics when it is used under an async runtime.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// The status that `GET http://127.0.0.1:<port><path>` is answered with.
pub(crate) fn status(port: u16, path: &str, timeout: Duration) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
    // `HTTP/1.1 200`
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    parse(&start).ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

fn parse(start: &[u8; 12]) -> Option<u16> {
    std::str::from_utf8(start).ok()?.strip_prefix("HTTP/1.")?.split_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_the_first_bytes() {
        assert_eq!(parse(b"HTTP/1.1 200"), Some(200));
        assert_eq!(parse(b"HTTP/1.0 503"), Some(503));
        assert_eq!(parse(b"SSH-2.0-Open"), None);
    }
}
