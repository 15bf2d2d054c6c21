//! `clasp-node pub`, `set`, `get` and `sub`: an ordinary client of a router, for the shell.

use std::time::Duration;

use clap::Args;
use clasp_node::RouterUrl;
use clasp_node::driver::DialError;
use clasp_node::driver::client::RouterClient;
use clasp_node::driver::probe::RouterFault;
use clasp_wire::message::{Body, ErrorReply, Phase, Publish, Set, SignalType, Subscribe, Ttl, TypeMask};
use clasp_wire::{Address, Message, Pattern};
use router_lite::limits::MAX_SESSION_SUBSCRIPTIONS;
use serde_json::Value as Json;
use smol::Unblock;
use smol::future::FutureExt;
use smol::io::AsyncReadExt;

use super::client::{host_name, interruptible, token};
use super::values::{self, Arrived, Filter, LineCutter, Room};
use super::{DEFAULT_ROUTER, Failure, output, seconds};

/// Dialling, and every answer of the router.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// The router to be a client of. $CLASP_NODE_TOKEN is presented to it.
#[derive(Debug, Args)]
struct At {
    /// The router [default: that of the node that runs here]
    // Not what nodes call their routers: a list of those in the environment is not meant for this.
    #[arg(id = "at", long = "router", value_name = "URL", default_value = DEFAULT_ROUTER, hide_default_value = true)]
    url: RouterUrl,
}

/// What to send.
#[derive(Debug, Args)]
struct What {
    /// Where to, as in /sensors/temp
    address: String,
    /// The value: JSON, or else text; `-` sends each line of standard input
    #[arg(allow_negative_numbers = true)]
    value: String,
    /// Take the value as text even if it is JSON
    #[arg(long)]
    text: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
pub(super) struct PubArgs {
    #[command(flatten)]
    what: What,
    /// An event, which is not to get lost; the default
    #[arg(long, conflicts_with = "stream")]
    event: bool,
    /// A sample of a stream: a stale one is worthless
    #[arg(long)]
    stream: bool,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    #[command(flatten)]
    what: What,
    /// Only if the parameter has this revision; of several values this is about the first
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// The parameter is forgotten so long after it was written last
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=0x7FFF_FFFF))]
    ttl: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// The parameter's address
    address: String,
    /// How long to wait for a value
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    timeout: Duration,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
pub(super) struct SubArgs {
    /// What to print, as in '/sensors/**'
    #[arg(required = true, num_args = 1..)]
    pattern: Vec<String>,
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
    /// End after so many
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so long
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    #[command(flatten)]
    at: At,
}

impl At {
    async fn connect(&self) -> Result<RouterClient, Failure> {
        let client = RouterClient::connect(&self.url, &host_name(), &token()?, ANSWER_DEADLINE).await;
        client.map_err(|fault| match fault {
            RouterFault::Dial(DialError::Tcp { error, .. })
                if error.kind() == std::io::ErrorKind::ConnectionRefused =>
            {
                let there = if self.url.is_local() { ": is `clasp-node run` there?" } else { "" };
                Failure::Failed(format!("nothing listens on {}{there}", self.url))
            }
            other => other.into(),
        })
    }
}

/// The next message that is meant for a person, as `read` reads it.
async fn next<T>(
    client: &mut RouterClient,
    mut read: impl FnMut(&Message<'_>) -> Option<T>,
) -> Result<T, Failure> {
    loop {
        let frame = client.next().await?;
        let mut scratch = Vec::new();
        match Message::decode(&frame, &mut scratch) {
            Ok((_, Message::Error(error))) => return Err(refused(&error)),
            Ok((_, Message::Ping)) => client.send(&Message::Pong).await?,
            Ok((_, message)) => {
                if let Some(value) = read(&message) {
                    return Ok(value);
                }
            }
            Err(error) => log::warn!(error:% = error; "an undecodable frame from the router"),
        }
    }
}

fn refused(error: &ErrorReply<'_>) -> Failure {
    let about = error.address.map(|address| format!(" for {address}")).unwrap_or_default();
    let text = format!("{}{about} ({})", error.message, error.code);
    Failure::Failed(format!("the router refused it: {}", values::shown(&Json::String(text))))
}

/// Waits for an answer, but not for ever.
async fn in_time<T>(answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    answer
        .or(async {
            smol::Timer::after(ANSWER_DEADLINE).await;
            Err(Failure::Failed(format!("the router did not answer within {ANSWER_DEADLINE:?}")))
        })
        .await
}

/// Sends what is to be sent with `send`: the value, or one after the other from standard input.
async fn each(
    what: &What,
    client: &mut RouterClient,
    mut send: impl AsyncFnMut(&mut RouterClient, &Json) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if what.value != "-" {
        return send(client, &values::read(&what.value, what.text)?).await;
    }
    let mut stdin = Unblock::new(std::io::stdin());
    let mut cutter = LineCutter::default();
    let mut buffer = [0; 4096];
    loop {
        // While nothing is to be sent the router may still refuse something, or go.
        let read = async { Ok::<usize, Failure>(stdin.read(&mut buffer).await?) };
        let read = read.or(next(client, |_| None)).await?;
        cutter.feed(buffer.get(..read).unwrap_or_default())?;
        while let Some(line) = cutter.line(read == 0)? {
            send(client, &values::read(&line, what.text)?).await?;
        }
        if read == 0 {
            return Ok(());
        }
    }
}

pub(super) async fn publish(args: PubArgs) -> Result<(), Failure> {
    Address::parse(&args.what.address).map_err(|error| Failure::Usage(error.to_string()))?;
    let signal = if args.stream { SignalType::Stream } else { SignalType::Event };
    interruptible(async {
        let mut client = args.what.at.connect().await?;
        let send = async |client: &mut RouterClient, json: &Json| {
            let room = Room::of(json);
            let publish = Publish {
                address: &args.what.address,
                signal,
                phase: Phase::default(),
                body: Body::Value(room.value(json)),
                timestamp_us: None,
                id: None,
                rate: None,
            };
            Ok(client.send(&Message::Publish(publish)).await?)
        };
        each(&args.what, &mut client, send).await?;
        // Routers do not confirm PUBLISH. What they answer next, they answer after they have taken or refused it.
        client.send(&Message::Ping).await?;
        in_time(next(&mut client, |message| matches!(message, Message::Pong).then_some(()))).await?;
        client.close().await;
        Ok(())
    })
    .await
}

pub(super) async fn set(args: SetArgs) -> Result<(), Failure> {
    Address::parse(&args.what.address).map_err(|error| Failure::Usage(error.to_string()))?;
    interruptible(async {
        let mut client = args.what.at.connect().await?;
        let mut expected = args.revision;
        let send = async |client: &mut RouterClient, json: &Json| {
            let room = Room::of(json);
            let set = Set {
                address: &args.what.address,
                value: room.value(json),
                revision: expected.take(),
                lock: false,
                unlock: false,
                ttl: args.ttl.map(Ttl::Sliding),
            };
            client.send(&Message::Set(set)).await?;
            let taken = next(client, |message| match message {
                Message::Ack(ack) if ack.address == Some(&args.what.address) => Some(ack.revision),
                _ => None,
            });
            if let Some(revision) = in_time(taken).await? {
                print(&revision.to_string())?;
            }
            Ok(())
        };
        each(&args.what, &mut client, send).await?;
        client.close().await;
        Ok(())
    })
    .await
}

async fn subscribe_to(client: &mut RouterClient, id: u32, pattern: &str) -> Result<(), Failure> {
    let types = TypeMask::ANY;
    let subscribe =
        Subscribe { id, pattern, types, max_rate: None, epsilon: None, history: None, window: None };
    Ok(client.send(&Message::Subscribe(subscribe)).await?)
}

pub(super) async fn get(args: GetArgs) -> Result<(), Failure> {
    Address::parse(&args.address).map_err(|error| Failure::Usage(error.to_string()))?;
    interruptible(async {
        let mut client = args.at.connect().await?;
        // A device may share it only once somebody wants it.
        subscribe_to(&mut client, 1, &args.address).await?;
        client.send(&Message::Get { address: &args.address }).await?;
        let wanted = |one: &Arrived| one.address == args.address && one.signal == "set";
        let value = next(&mut client, |message| values::arrived(message).into_iter().find(wanted))
            .or(async {
                smol::Timer::after(args.timeout).await;
                Err(Failure::Failed(format!("{}: no value", args.address)))
            })
            .await?;
        print(&values::shown(&value.value))?;
        client.close().await;
        Ok(())
    })
    .await
}

pub(super) async fn subscribe(args: SubArgs) -> Result<(), Failure> {
    if args.pattern.len() > MAX_SESSION_SUBSCRIPTIONS {
        return Err(Failure::Usage(format!("at most {MAX_SESSION_SUBSCRIPTIONS} patterns")));
    }
    let patterns = args.pattern.iter().map(|pattern| Pattern::parse(pattern)).collect::<Result<_, _>>();
    let mut filter = Filter::new(patterns.map_err(|error| Failure::Usage(error.to_string()))?);
    let work = async {
        let mut client = args.at.connect().await?;
        for (id, pattern) in (1..).zip(&args.pattern) {
            subscribe_to(&mut client, id, pattern).await?;
        }
        let mut left = args.count;
        loop {
            let several = next(&mut client, |message| Some(values::arrived(message))).await?;
            for one in several.into_iter().filter(|one| filter.accepts(one)) {
                print(&if args.json { one.json().to_string() } else { one.line() })?;
                left = left.map(|left| left - 1);
                if left == Some(0) {
                    client.close().await;
                    return Ok(());
                }
            }
        }
    };
    let enough = async {
        match args.timeout {
            Some(timeout) => smol::Timer::after(timeout).await,
            None => std::future::pending().await,
        };
        Ok(())
    };
    match interruptible(work.or(enough)).await {
        Err(Failure::Interrupted) => Ok(()),
        result => result,
    }
}

/// Prints a line. Who does not want more of them has ended: so does this process, quietly.
fn print(line: &str) -> Result<(), Failure> {
    match output::line(line) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::Unread),
        result => Ok(result?),
    }
}
