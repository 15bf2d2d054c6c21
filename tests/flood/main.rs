//! Floods a node and its router from one process, as a stranger would who wants their memory: `flood ws://127.0.0.1:7330`.
//!
//! Prints one line for each attack, with what was sent and what was refused, and exits 1 if the victim no longer answers. How much it
//! has used is for whoever started it to see (`VmHWM` in `/proc/PID/status`).

use std::io::{self, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use async_tungstenite::tungstenite::protocol::Message as Carried;
use async_tungstenite::tungstenite::{self, Bytes, WebSocket};
use clasp_node::driver::now;
use clasp_wire::message::{Body, Features, Hello, Phase, Publish, Set, SignalType, Subscribe, TypeMask};
use clasp_wire::p2p::{P2pSignal, PeerAnnounce, SignalBody};
use clasp_wire::{Message, Value};

/// More than the router takes, so that its limit is met.
const SESSIONS: usize = 300;

/// How long each of the attacks that could go on for ever does.
const WHILE: Duration = Duration::from_secs(3);

/// A description as a peer writes it, but for its candidates.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendrecv\r\na=sctp-port:5000\r\n\
    a=max-message-size:262144\r\na=setup:actpass\r\na=ice-ufrag:abcdefgh\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
    a=ice-options:trickle\r\na=fingerprint:sha-256 \
    00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n";

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(1).and_then(|url| Some(url.strip_prefix("ws://")?.to_owned()))
    else {
        eprintln!("flood: give the router's ws://ADDRESS:PORT");
        return ExitCode::from(2);
    };
    match flood(&address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flood: {error}");
            ExitCode::FAILURE
        }
    }
}

fn flood(address: &str) -> Result {
    offers(address)?;
    params(address)?;
    stalled(address)?;
    silent(address)?;
    // Whatever was done to it, it serves the next one.
    Session::open(address, "afterwards").map(drop)
}

/// Offers without end, each a link of its own to set up, and candidates for them.
fn offers(address: &str) -> Result {
    let mut session = Session::open(address, "caller")?;
    session.send(&subscribe(1, "/clasp/p2p/announce"))?;
    let victim = session.announced()?;
    repeat(address, "offers", |session, number| {
        let link = format!("flood-{number}");
        let port = 1024 + number % 60_000;
        let candidate = format!("{{\"candidate\":\"candidate:1 1 udp {number} 192.0.2.9 {port} typ host\"}}");
        for body in [SignalBody::Offer { sdp: OFFER }, SignalBody::IceCandidate { candidate: &candidate }] {
            let mut frame = Vec::new();
            P2pSignal { from: "flood", correlation_id: &link, body, edge: false }
                .encode_publish(&victim, &mut frame)?;
            session.carry(frame)?;
        }
        Ok(())
    })
}

/// Values for ever new addresses, each as large as may be kept.
fn params(address: &str) -> Result {
    let text = "x".repeat(4096);
    repeat(address, "values of 4 KiB, each at an address of its own", |session, number| {
        let (address, value) = (format!("/flood/{number}"), Value::Str(&text));
        let set = Set { address: &address, value, revision: None, lock: false, unlock: false, ttl: None };
        session.send(&Message::Set(set))
    })
}

/// Does something again and again; who is thrown out for it comes back.
fn repeat(address: &str, what: &str, mut attack: impl FnMut(&mut Session, u32) -> Result) -> Result {
    let (end, mut sent, mut thrown_out) = (now() + WHILE, 0, 0);
    let mut session = Session::open(address, "attacker")?;
    while now() < end {
        match attack(&mut session, sent) {
            Ok(()) => sent += 1,
            Err(_) => {
                thrown_out += 1;
                session = Session::open(address, "attacker")?;
            }
        }
    }
    say(&format!("{sent} {what}; thrown out {thrown_out} times"))
}

/// As many sessions as there is room for, all of which want everything and read nothing.
fn stalled(address: &str) -> Result {
    let mut deaf = Vec::new();
    while deaf.len() < SESSIONS
        && let Ok(mut session) = Session::open(address, "deaf")
    {
        for id in 0..8 {
            session.send(&subscribe(id, "/**"))?;
        }
        deaf.push(session);
    }
    drop(deaf.split_off(deaf.len() - 2)); // places for who speaks
    while Session::open(address, "speaker").is_err() {}
    let what = format!("events of 1 KiB to {} sessions that read nothing", deaf.len());
    let text = "y".repeat(1024);
    repeat(address, &what, |session, _| {
        session.send(&Message::Publish(Publish {
            address: "/flood/said",
            signal: SignalType::Event,
            phase: Phase::Start,
            body: Body::Value(Value::Str(&text)),
            timestamp_us: None,
            id: None,
            rate: None,
        }))
    })
}

/// Connections on which nothing is said.
fn silent(address: &str) -> Result {
    let held: Vec<_> = (0..SESSIONS * 2).map_while(|_| TcpStream::connect(address).ok()).collect();
    say(&format!("{} silent connections", held.len()))
}

fn subscribe(id: u32, pattern: &str) -> Message<'_> {
    let (max_rate, epsilon, history, window) = (None, None, None, None);
    Message::Subscribe(Subscribe { id, pattern, types: TypeMask(0xFF), max_rate, epsilon, history, window })
}

fn say(text: &str) -> Result {
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// A session of the attacker.
struct Session(WebSocket<TcpStream>);

impl Session {
    fn open(address: &str, name: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let (socket, _) = tungstenite::client(format!("ws://{address}/"), stream)?;
        let mut session = Self(socket);
        session.send(&Message::Hello(Hello { version: 1, features: Features(0xE0), name, token: "" }))?;
        session.until(|message| matches!(message, Message::Welcome(_)).then_some(()))?;
        Ok(session)
    }

    fn send(&mut self, message: &Message<'_>) -> Result {
        let mut frame = Vec::new();
        message.encode_with_qos(message.default_qos(), &mut frame)?;
        self.carry(frame)
    }

    fn carry(&mut self, frame: Vec<u8>) -> Result {
        Ok(self.0.send(Carried::Binary(Bytes::from(frame)))?)
    }

    /// Reads until a message is what was waited for.
    fn until<T>(&mut self, mut wanted: impl FnMut(&Message<'_>) -> Option<T>) -> Result<T> {
        let mut scratch = Vec::new();
        loop {
            if let Carried::Binary(frame) = self.0.read()? {
                let (_, message) = Message::decode(&frame, &mut scratch)?;
                if let Message::Error(error) = message {
                    return Err(format!("ERROR {} {}", error.code, error.message).into());
                }
                if let Some(found) = wanted(&message) {
                    return Ok(found);
                }
            }
        }
    }

    /// The session of the node that announces itself.
    fn announced(&mut self) -> Result<String> {
        self.until(|message| match message {
            Message::Publish(publish) => match publish.body {
                Body::Value(value) => {
                    PeerAnnounce::from_value(value).ok().map(|announce| announce.session_id.to_owned())
                }
                _ => None,
            },
            _ => None,
        })
    }
}
