//! A proxy in front of a broker that can hold or cut one request: for tests of what clients do about it.
//!
//! The broker announces the proxy's port on a listener of its own ([`Options::proxy_port`](crate::Options)), so nothing
//! has to be rewritten: the proxy reads the headers of requests and passes bytes on. Rules are by client id, so that tests
//! that run side by side leave each other alone.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Error;
use crate::ports::Ports;

/// A larger frame is none of Kafka's.
const MAX_FRAME: usize = 128 << 20;

/// The kinds of requests that rules are about, by their number in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "Kafka's own names")]
pub enum ApiKey {
    Produce = 0,
    Fetch = 1,
    InitProducerId = 22,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    TxnOffsetCommit = 28,
}

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Answer,
}

/// The proxy. It runs until the process ends.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    target: OnceLock<u16>,
    rules: Mutex<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    /// The next request of that kind of that client is caught, once.
    armed: Vec<(String, ApiKey, Way, Arc<Caught>)>,
    /// Clients that get no connection.
    blocked: HashSet<String>,
    /// How often each was cut off.
    refused: HashMap<String, u64>,
    /// New connections are closed.
    shut: bool,
}

/// A request that is or will be held.
#[derive(Debug)]
pub struct Held {
    caught: Arc<Caught>,
}

#[derive(Debug, Default)]
struct Caught {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The client's side of the connection, once the request is here.
    client: Option<TcpStream>,
    decision: Option<Decision>,
    answer: Option<Vec<u8>>,
    /// What the client is told in its place.
    instead: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Release,
    Cut,
    Answer,
}

impl FaultProxy {
    /// Takes a free port and accepts connections; they wait until [`FaultProxy::forward_to`] says where to.
    pub fn bind() -> Result<Self, Error> {
        let mut ports = Ports::default();
        let port = ports.take_free()?;
        let Some(listener) = ports.into_listener() else {
            return Err(Error::PortBusy { port, what: "the proxy" });
        };
        let inner = Arc::<Inner>::default();
        let accepting = Arc::clone(&inner);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let inner = Arc::clone(&accepting);
                thread::spawn(move || {
                    // A connection that ends is the peers' business.
                    let _ = inner.serve(client);
                });
            }
        });
        Ok(Self { port, inner })
    }

    /// Sets the broker's port, once.
    pub fn forward_to(&self, port: u16) {
        self.inner.target.get_or_init(|| port);
    }

    /// The port that clients connect to.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Holds the next such request of a client before the broker gets it.
    #[must_use]
    pub fn hold(&self, client_id: &str, key: ApiKey) -> Held {
        self.arm(client_id, key, Way::Request)
    }

    /// Holds the answer to the next such request of a client: the broker has carried it out.
    #[must_use]
    pub fn hold_answer(&self, client_id: &str, key: ApiKey) -> Held {
        self.arm(client_id, key, Way::Answer)
    }

    fn arm(&self, client_id: &str, key: ApiKey, way: Way) -> Held {
        let caught = Arc::<Caught>::default();
        self.inner.rules().armed.push((client_id.to_owned(), key, way, Arc::clone(&caught)));
        Held { caught }
    }

    /// Closes every new connection, until [`FaultProxy::open`]: what a broker is to its clients while it is down.
    pub fn shut(&self) {
        self.inner.rules().shut = true;
    }

    /// Takes connections again.
    pub fn open(&self) {
        self.inner.rules().shut = false;
    }

    /// Cuts every connection of a client as soon as it is used, until [`FaultProxy::unblock`]: an outage for it alone.
    pub fn block(&self, client_id: &str) {
        self.inner.rules().blocked.insert(client_id.to_owned());
    }

    /// How often a client has been cut off so far.
    #[must_use]
    pub fn refused(&self, client_id: &str) -> u64 {
        self.inner.rules().refused.get(client_id).copied().unwrap_or(0)
    }

    /// Lets a client connect again.
    pub fn unblock(&self, client_id: &str) {
        self.inner.rules().blocked.remove(client_id);
    }
}

impl Held {
    /// Waits until the request is here; false when it didn't come in time.
    #[must_use]
    pub fn wait_until_held(&self, within: Duration) -> bool {
        self.caught.wait(within, |state| state.client.is_some())
    }

    /// Passes it on.
    pub fn release(&self) {
        self.caught.decide(Decision::Release);
    }

    /// Closes the connection on both sides: it never arrives.
    pub fn cut(&self) {
        self.caught.decide(Decision::Cut);
    }

    /// Tells the client something else than the broker does: what follows the correlation id. A request that is held
    /// never arrives; one whose answer is held was carried out.
    pub fn answer_with(&self, body: &[u8]) {
        body.clone_into(&mut self.caught.lock().instead);
        self.caught.decide(Decision::Answer);
    }

    /// Closes the client's side only. [`Held::release`] then brings the request to the broker long after the client has
    /// given it up, as a network does that delays a packet.
    pub fn abandon(&self) {
        if let Some(client) = &self.caught.lock().client {
            // An error means that it is closed already.
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// What the broker answered to it: the frame after its length, which begins with the correlation id.
    #[must_use]
    pub fn answer(&self, within: Duration) -> Option<Vec<u8>> {
        self.caught.wait(within, |state| state.answer.is_some());
        self.caught.lock().answer.clone()
    }
}

impl Caught {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, decision: Decision) {
        self.lock().decision.get_or_insert(decision);
        self.changed.notify_all();
    }

    fn wait(&self, within: Duration, until: impl Fn(&State) -> bool) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), within, |state| !until(state))
            .unwrap_or_else(PoisonError::into_inner);
        until(&waited.0)
    }

    /// The whole frame that the client is told.
    fn instead(&self, correlation: i32) -> Vec<u8> {
        [&correlation.to_be_bytes()[..], &self.lock().instead].concat()
    }

    /// Holds the thread until there is a decision.
    fn hold(&self, client: &TcpStream) -> io::Result<Decision> {
        self.lock().client = Some(client.try_clone()?);
        self.changed.notify_all();
        let mut state = self.lock();
        loop {
            if let Some(decision) = state.decision {
                return Ok(decision);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Requests whose answers somebody wants to hold or to see, by correlation id.
type Awaited = Arc<Mutex<HashMap<i32, (Way, Arc<Caught>)>>>;

impl Inner {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let port = *self.target.wait();
        if self.rules().shut {
            return Ok(());
        }
        let mut broker = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let awaited = Awaited::default();
        let answers = (broker.try_clone()?, client.try_clone()?, Arc::clone(&awaited));
        thread::spawn(move || {
            let (mut broker, mut client, awaited) = answers;
            let _ = pass_answers(&mut broker, &mut client, &awaited);
            let _ = client.shutdown(Shutdown::Both);
        });
        let passed = self.pass_requests(&mut client, &mut broker, &awaited);
        // The broker's side stays readable: the answer to an abandoned request may still come.
        let how = if passed.is_ok() { Shutdown::Write } else { Shutdown::Both };
        let _ = broker.shutdown(how);
        passed
    }

    /// Returns with an error when the connection has to be cut.
    fn pass_requests(
        &self,
        client: &mut TcpStream,
        broker: &mut TcpStream,
        awaited: &Awaited,
    ) -> io::Result<()> {
        while let Ok(frame) = read_frame(client) {
            let Some(header) = Header::of(&frame) else { return Err(io::ErrorKind::InvalidData.into()) };
            let rule = {
                let mut rules = self.rules();
                if rules.blocked.contains(header.client_id) {
                    *rules.refused.entry(header.client_id.to_owned()).or_default() += 1;
                    let _ = client.shutdown(Shutdown::Both);
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                let matches = |(id, key, ..): &(String, ApiKey, Way, Arc<Caught>)| {
                    id == header.client_id && *key as i16 == header.key
                };
                let found = rules.armed.iter().position(matches);
                found.map(|index| rules.armed.swap_remove(index))
            };
            if let Some((.., way, caught)) = rule {
                let mut awaiting = awaited.lock().unwrap_or_else(PoisonError::into_inner);
                awaiting.insert(header.correlation, (way, Arc::clone(&caught)));
                drop(awaiting);
                let decision = if way == Way::Request { caught.hold(client)? } else { Decision::Release };
                match decision {
                    Decision::Release => {}
                    Decision::Cut => {
                        let _ = client.shutdown(Shutdown::Both);
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                    Decision::Answer => {
                        write_frame(client, &caught.instead(header.correlation))?;
                        continue;
                    }
                }
            }
            write_frame(broker, &frame)?;
        }
        Ok(())
    }
}

fn pass_answers(broker: &mut TcpStream, client: &mut TcpStream, awaited: &Awaited) -> io::Result<()> {
    let mut gone = false;
    loop {
        let mut frame = read_frame(broker)?;
        let correlation = frame.first_chunk().map(|bytes| i32::from_be_bytes(*bytes)).unwrap_or(-1);
        let rule = awaited.lock().unwrap_or_else(PoisonError::into_inner).remove(&correlation);
        if let Some((way, caught)) = rule {
            caught.lock().answer = Some(frame.clone());
            caught.changed.notify_all();
            let decision = if way == Way::Answer { caught.hold(client)? } else { Decision::Release };
            match decision {
                Decision::Release => {}
                Decision::Cut => return broker.shutdown(Shutdown::Both),
                Decision::Answer => frame = caught.instead(correlation),
            }
        }
        // A client that has gone leaves the broker to itself, which may still have something to answer.
        gone = gone || write_frame(client, &frame).is_err();
    }
}

/// The parts of a request's header that rules look at.
struct Header<'a> {
    key: i16,
    correlation: i32,
    client_id: &'a str,
}

impl<'a> Header<'a> {
    /// Key, version, correlation id, client id: the same in every version of the header.
    fn of(frame: &'a [u8]) -> Option<Self> {
        let (key, rest) = frame.split_first_chunk()?;
        let (_version, rest) = rest.split_first_chunk::<2>()?;
        let (correlation, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        // -1 stands for none.
        let length = usize::try_from(i16::from_be_bytes(*length)).unwrap_or(0);
        Some(Self {
            key: i16::from_be_bytes(*key),
            correlation: i32::from_be_bytes(*correlation),
            client_id: std::str::from_utf8(rest.get(..length)?).ok()?,
        })
    }
}

fn read_frame(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

fn write_frame(to: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    let length = i32::try_from(frame.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(frame)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A frame of a kind, with a correlation id and a client id.
    fn request(key: ApiKey, correlation: i32, client: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        frame.extend((key as i16).to_be_bytes());
        frame.extend(1_i16.to_be_bytes());
        frame.extend(correlation.to_be_bytes());
        frame.extend(i16::try_from(client.len()).unwrap().to_be_bytes());
        frame.extend(client.as_bytes());
        frame
    }

    /// A broker that answers each request with its correlation id.
    fn broker() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    while let Ok(frame) = read_frame(&mut stream) {
                        if write_frame(&mut stream, &frame[4..8]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        port
    }

    fn proxy() -> (FaultProxy, TcpStream) {
        let proxy = FaultProxy::bind().unwrap();
        proxy.forward_to(broker());
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (proxy, client)
    }

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_held_request_passes_when_it_is_released_and_others_pass_before() {
        let (proxy, mut client) = proxy();
        let held = proxy.hold("me", ApiKey::EndTxn);
        for (n, key, id) in [(1, ApiKey::Fetch, "me"), (2, ApiKey::EndTxn, "other")] {
            write_frame(&mut client, &request(key, n, id)).unwrap();
            assert_eq!(read_frame(&mut client).unwrap(), n.to_be_bytes());
        }
        write_frame(&mut client, &request(ApiKey::EndTxn, 3, "me")).unwrap();
        assert!(held.wait_until_held(SOON));
        held.release();
        assert_eq!(read_frame(&mut client).unwrap(), 3_i32.to_be_bytes());
    }

    #[test]
    fn a_request_that_is_cut_takes_the_connection_with_it() {
        let (proxy, mut client) = proxy();
        let held = proxy.hold("me", ApiKey::EndTxn);
        write_frame(&mut client, &request(ApiKey::EndTxn, 1, "me")).unwrap();
        assert!(held.wait_until_held(SOON));
        held.cut();
        assert!(read_frame(&mut client).is_err());
        assert_eq!(held.answer(Duration::ZERO), None);
    }

    #[test]
    fn an_abandoned_request_reaches_the_broker_after_its_client_has_gone() {
        let (proxy, mut client) = proxy();
        let held = proxy.hold("me", ApiKey::EndTxn);
        write_frame(&mut client, &request(ApiKey::EndTxn, 7, "me")).unwrap();
        assert!(held.wait_until_held(SOON));
        held.abandon();
        assert!(read_frame(&mut client).is_err());
        held.release();
        assert_eq!(held.answer(SOON), Some(7_i32.to_be_bytes().to_vec()));
    }

    #[test]
    fn a_held_answer_was_carried_out() {
        let (proxy, mut client) = proxy();
        let held = proxy.hold_answer("me", ApiKey::EndTxn);
        write_frame(&mut client, &request(ApiKey::EndTxn, 1, "me")).unwrap();
        assert!(held.wait_until_held(SOON) && held.answer(SOON).is_some());
        held.cut();
        assert!(read_frame(&mut client).is_err());
    }

    #[test]
    fn a_client_is_told_something_else_whether_the_broker_was_asked_or_not() {
        let (proxy, mut client) = proxy();
        for (n, held) in
            [(1, proxy.hold("me", ApiKey::EndTxn)), (2, proxy.hold_answer("me", ApiKey::TxnOffsetCommit))]
        {
            let key = if n == 1 { ApiKey::EndTxn } else { ApiKey::TxnOffsetCommit };
            write_frame(&mut client, &request(key, n, "me")).unwrap();
            assert!(held.wait_until_held(SOON));
            held.answer_with(b"no");
            assert_eq!(read_frame(&mut client).unwrap(), [&n.to_be_bytes()[..], b"no"].concat());
            assert_eq!(held.answer(Duration::ZERO).is_some(), n == 2);
        }
        write_frame(&mut client, &request(ApiKey::Fetch, 3, "me")).unwrap();
        assert_eq!(read_frame(&mut client).unwrap(), 3_i32.to_be_bytes());
    }

    #[test]
    fn a_blocked_client_is_cut_off_and_comes_back() {
        let (proxy, mut client) = proxy();
        proxy.block("me");
        write_frame(&mut client, &request(ApiKey::Fetch, 1, "me")).unwrap();
        assert!(read_frame(&mut client).is_err());
        assert_eq!(proxy.refused("me"), 1);
        proxy.unblock("me");
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        write_frame(&mut client, &request(ApiKey::Fetch, 2, "me")).unwrap();
        assert_eq!(read_frame(&mut client).unwrap(), 2_i32.to_be_bytes());
    }
}
