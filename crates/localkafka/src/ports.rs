//! Chooses ports and finds out which are taken.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use crate::Error;

/// Below what kernels give to outgoing connections (32768 on Linux, 49152 elsewhere), so that no client of anything
/// takes the port between our choice and the child's bind.
const FREE: Range<u16> = 20_000..32_000;
/// A child of a parent that was just killed may still be giving its port back.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ports that are held until the children are about to bind them.
#[derive(Default)]
pub(crate) struct Ports {
    held: Vec<TcpListener>,
}

impl Ports {
    /// The port asked for, or a free one.
    pub(crate) fn take(&mut self, asked: Option<u16>, what: &'static str) -> Result<u16, Error> {
        match asked {
            Some(port) => self.take_fixed(port, what),
            None => self.take_free(),
        }
    }

    /// A port that nobody listens on.
    pub(crate) fn take_free(&mut self) -> Result<u16, Error> {
        let span = FREE.end - FREE.start;
        // Starts anywhere, so that two processes that choose at the same time rarely meet.
        let [a, b, ..] = *uuid::Uuid::new_v4().as_bytes();
        let first = u16::from_le_bytes([a, b]) % span;
        for step in 0..span {
            let port = FREE.start + (first + step) % span;
            if let Ok(listener) = bind(port) {
                self.held.push(listener);
                return Ok(port);
            }
        }
        Err(Error::NoFreePort { from: FREE.start, to: FREE.end })
    }

    /// The listener of a port that was taken, for a server of our own.
    pub(crate) fn into_listener(mut self) -> Option<TcpListener> {
        self.held.pop()
    }

    fn take_fixed(&mut self, port: u16, what: &'static str) -> Result<u16, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match bind(port) {
                Ok(listener) => {
                    self.held.push(listener);
                    return Ok(port);
                }
                Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(100)),
                Err(_) => return Err(Error::PortBusy { port, what }),
            }
        }
    }
}

fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ_while_they_are_held() {
        let mut ports = Ports::default();
        let mut taken: Vec<u16> = (0..50).map(|_| ports.take_free().unwrap()).collect();
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), 50);
        assert!(taken.iter().all(|port| FREE.contains(port)));
    }
}
