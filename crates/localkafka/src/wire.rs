//! Asks a broker, in Kafka's own protocol, which brokers clients are told of.
//!
//! A broker accepts connections well before it has joined its cluster; until then its answer lists no live broker.
//! One request needs no client library: Metadata version 1, which every broker up to and including Kafka 4 speaks.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

const METADATA: i16 = 3;
const VERSION: i16 = 1;
const CORRELATION: i32 = 0x7469_6C6C;
const CLIENT: &[u8] = b"localkafka";
/// An answer without topics has some 30 bytes per broker.
const MAX_ANSWER: usize = 64 << 10;

/// What one broker tells its clients.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// The live brokers' node ids.
    pub(crate) brokers: Vec<i32>,
    /// The controller's node id; -1 while there is none.
    pub(crate) controller: i32,
}

/// Connects to `127.0.0.1:port` and asks once.
pub(crate) fn ask(port: u16, timeout: Duration) -> io::Result<Metadata> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(&request())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > MAX_ANSWER {
        return Err(io::Error::other("the answer is not that of a Kafka broker"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::other("the answer is not that of a Kafka broker"))
}

fn request() -> Vec<u8> {
    let mut body = Vec::with_capacity(32);
    body.extend(METADATA.to_be_bytes());
    body.extend(VERSION.to_be_bytes());
    body.extend(CORRELATION.to_be_bytes());
    body.extend((CLIENT.len() as i16).to_be_bytes());
    body.extend(CLIENT);
    body.extend(0_i32.to_be_bytes()); // no topics; null would mean all of them
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend((body.len() as i32).to_be_bytes());
    frame.extend(body);
    frame
}

fn parse(mut answer: &[u8]) -> Option<Metadata> {
    let input = &mut answer;
    if int32(input)? != CORRELATION {
        return None;
    }
    let count = int32(input)?;
    let mut brokers = Vec::new();
    for _ in 0..count {
        brokers.push(int32(input)?);
        string(input)?; // host
        int32(input)?; // port
        string(input)?; // rack
    }
    Some(Metadata { brokers, controller: int32(input)? })
}

fn int32(input: &mut &[u8]) -> Option<i32> {
    let (bytes, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(i32::from_be_bytes(*bytes))
}

/// Skips a string; a negative length is null.
fn string(input: &mut &[u8]) -> Option<()> {
    let (bytes, rest) = input.split_first_chunk()?;
    let length = usize::try_from(i16::from_be_bytes(*bytes)).unwrap_or(0);
    *input = rest.get(length..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Vec<u8> {
        let mut bytes = CORRELATION.to_be_bytes().to_vec();
        bytes.extend(2_i32.to_be_bytes());
        for id in [1_i32, 3] {
            bytes.extend(id.to_be_bytes());
            bytes.extend(9_i16.to_be_bytes());
            bytes.extend(b"127.0.0.1");
            bytes.extend(9092_i32.to_be_bytes());
            bytes.extend((-1_i16).to_be_bytes());
        }
        bytes.extend(3_i32.to_be_bytes());
        bytes.extend(0_i32.to_be_bytes());
        bytes
    }

    #[test]
    fn the_live_brokers_and_the_controller_are_read_from_an_answer() {
        assert_eq!(parse(&answer()), Some(Metadata { brokers: vec![1, 3], controller: 3 }));
    }

    #[test]
    fn an_answer_cut_short_anywhere_is_refused() {
        let whole = answer();
        let needed = whole.len() - 4; // the topics are not read
        for length in 0..needed {
            assert_eq!(parse(&whole[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn a_request_says_its_own_length() {
        let frame = request();
        assert_eq!(frame[..4], ((frame.len() - 4) as i32).to_be_bytes());
    }
}
