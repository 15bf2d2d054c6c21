//! The scenarios. Each returns what it measured, or what did not hold.

use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clasp_node::driver::now;
use clasp_node::limits::MAX_RELAYED_MESSAGE_BYTES;
use clasp_node::{Channel, Event, FailReason, LinkState, NodeConfig, Role, RouterId, RoutingMode, Step};
use e2e::real::{Executor, RealNode, RealRouter, linked_pair};

use crate::turn;

pub(crate) type Outcome = Result<String, String>;
/// Begins what a scenario says that cannot be played on this machine.
pub(crate) const SKIPPED: &str = "skipped: ";

type Scenario = fn(Executor) -> Pin<Box<dyn Future<Output = Outcome>>>;

/// Every scenario by name, in the order of the life of a link.
pub(crate) fn all() -> Vec<(&'static str, Scenario)> {
    vec![
        ("establishment", |e| Box::pin(establishment(e))),
        ("ICE candidate exchange", |e| Box::pin(candidate_exchange(e))),
        ("state transitions", |e| Box::pin(state_transitions(e))),
        ("several peers at once", |e| Box::pin(several_peers(e))),
        ("data on both channels", |e| Box::pin(data_both_ways(e))),
        ("routing mode p2p-only", |e| Box::pin(p2p_only(e))),
        ("routing mode relay-only", |e| Box::pin(relay_only(e))),
        ("a peer that does not exist", |e| Box::pin(no_such_peer(e))),
        ("relayed by a TURN server", |e| Box::pin(turn::relayed(e))),
        ("TURN with a wrong password", |e| Box::pin(turn::wrong_password(e))),
        ("goodbye", |e| Box::pin(goodbye(e))),
    ]
}

pub(crate) fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn is_connected(event: &Event) -> bool {
    matches!(event, Event::Connected { .. })
}

/// When the node told that it was connected.
fn connected_at(node: &RealNode) -> Option<Instant> {
    node.told().iter().find(|(_, event)| is_connected(event)).map(|(at, _)| *at)
}

/// Both sides are `Connected`, once, within 10 s.
async fn establishment(executor: Executor) -> Outcome {
    let router = RealRouter::start(&executor).await?;
    let a = RealNode::start(&executor, "a", router.url()).await?;
    let b = RealNode::start(&executor, "b", router.url()).await?;
    let begun = now();
    a.connect(&b).await?;
    a.connected().await?;
    b.connected().await?;
    let took = |node: &RealNode| connected_at(node).map(|at| at.saturating_duration_since(begun));
    let (at_a, at_b) = (took(&a), took(&b));
    for at in [at_a, at_b] {
        check(at.is_some_and(|at| at < Duration::from_secs(10)), || format!("connected after {at:?}"))?;
    }
    // A round trip over the link, so that anything still on its way has arrived.
    round_trip(&a, Channel::Reliable).await?;
    let (once_a, once_b) = (a.count(is_connected), b.count(is_connected));
    check((once_a, once_b) == (1, 1), || format!("Connected {once_a} and {once_b} times"))?;
    Ok(format!(
        "offerer after {:.1?}, answerer after {:.1?}",
        at_a.unwrap_or_default(),
        at_b.unwrap_or_default()
    ))
}

async fn round_trip(node: &RealNode, channel: Channel) -> Result<Duration, String> {
    let link = node.connected().await?;
    let sent = node.handle.ping(link, channel).await.map_err(|error| error.to_string())?;
    let is_pong =
        |e: &Event| matches!(e, Event::Pong { token, channel: c, .. } if (*token, *c) == (sent, channel));
    match node.until("Pong", is_pong).await? {
        Event::Pong { rtt, .. } => Ok(rtt),
        other => Err(format!("{other:?}")),
    }
}

/// Every candidate either side gathered arrived at the other.
async fn candidate_exchange(executor: Executor) -> Outcome {
    let (_router, (a, _), (b, _)) = linked_pair(&executor).await?;
    round_trip(&a, Channel::Reliable).await?;
    let candidates = |node: &RealNode, sent: bool| {
        let mut lines: Vec<String> = node
            .told()
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Step { step: Step::CandidateSent(line), .. } if sent => Some(line),
                Event::Step { step: Step::CandidateReceived(line), .. } if !sent => Some(line),
                _ => None,
            })
            .map(|line| line.split(" ufrag ").next().unwrap_or_default().to_owned())
            .collect();
        lines.sort();
        lines
    };
    let mut counts = Vec::new();
    for (from, to, role) in [(&a, &b, "offerer"), (&b, &a, "answerer")] {
        let gathered = candidates(from, true);
        let wanted = gathered.len();
        to.wait("every candidate", |_| candidates(to, false).len() >= wanted).await?;
        let arrived = candidates(to, false);
        check(wanted > 0, || format!("the {role} gathered no candidate"))?;
        check(gathered == arrived, || format!("{role}: gathered {gathered:?}, arrived {arrived:?}"))?;
        counts.push(format!("{wanted} of {wanted} of the {role}"));
    }
    Ok(counts.join(", "))
}

/// Each side goes through its states in order, and through none twice.
async fn state_transitions(executor: Executor) -> Outcome {
    let (_router, (a, link_a), (b, link_b)) = linked_pair(&executor).await?;
    a.handle.disconnect(link_a, "enough").await.map_err(|error| error.to_string())?;
    for node in [&a, &b] {
        node.until("Disconnected", |e| matches!(e, Event::Disconnected { .. })).await?;
    }
    let states = |node: &RealNode, of| -> Vec<LinkState> {
        let told = node.told();
        let state = |(_, event): &(Instant, Event)| match event {
            Event::State { link, state } if *link == of => Some(*state),
            _ => None,
        };
        told.iter().filter_map(state).collect()
    };
    use LinkState::{Checking, Closed, Offering, Open};
    let (of_a, of_b) = (states(&a, link_a), states(&b, link_b));
    check(of_a == [Offering, Checking, Open, Closed], || format!("offerer: {of_a:?}"))?;
    check(of_b == [Checking, Open, Closed], || format!("answerer: {of_b:?}"))?;
    Ok(format!("{of_a:?} and {of_b:?}"))
}

/// One node holds links to five others at once, and each gets its own data.
async fn several_peers(executor: Executor) -> Outcome {
    let router = RealRouter::start(&executor).await?;
    let hub = RealNode::start(&executor, "hub", router.url()).await?;
    let mut others = Vec::new();
    for n in 0..5 {
        others.push(RealNode::start(&executor, &format!("peer-{n}"), router.url()).await?);
    }
    let begun = now();
    let mut links = Vec::new();
    for other in &others {
        links.push(hub.connect(other).await?);
    }
    hub.wait("five links", |told| told.iter().filter(|(_, e)| is_connected(e)).count() == 5).await?;
    let took = now().saturating_duration_since(begun);
    for (n, (other, link)) in others.iter().zip(links).enumerate() {
        other.connected().await?;
        let message = Bytes::from(format!("for peer {n}"));
        hub.handle.send(link, Channel::Reliable, message.clone()).await.map_err(|error| error.to_string())?;
        other.until("its data", |e| matches!(e, Event::Data { bytes, .. } if *bytes == message)).await?;
        check(other.count(|e| matches!(e, Event::Data { .. })) == 1, || {
            format!("peer {n} got other data too")
        })?;
    }
    Ok(format!("5 links after {took:.1?}"))
}

/// Payloads of every size arrive unchanged on both channels in both directions.
async fn data_both_ways(executor: Executor) -> Outcome {
    let (_router, (a, link_a), (b, link_b)) = linked_pair(&executor).await?;
    let sizes = [1_usize, 100, 1_200, 16 * 1024, MAX_RELAYED_MESSAGE_BYTES];
    let mut messages = 0_usize;
    for size in sizes {
        for channel in [Channel::Reliable, Channel::Stream] {
            for (from, link, to) in [(&a, link_a, &b), (&b, link_b, &a)] {
                messages += 1;
                let payload: Vec<u8> = (0..size).map(|n| ((n * 31 + messages) % 256) as u8).collect();
                let payload = Bytes::from(payload);
                let sent = from.handle.send(link, channel, payload.clone()).await;
                sent.map_err(|error| format!("{size} bytes on {channel:?}: {error}"))?;
                let arrived = |e: &Event| matches!(e, Event::Data { channel: c, bytes, .. } if *c == channel && *bytes == payload);
                to.until(&format!("{size} bytes on {channel:?}"), arrived).await?;
            }
        }
    }
    let got = a.count(|e| matches!(e, Event::Data { .. })) + b.count(|e| matches!(e, Event::Data { .. }));
    check(got == messages, || format!("{got} of {messages} messages"))?;
    Ok(format!("{messages} messages of {sizes:?} bytes, each compared"))
}

/// No data goes through the router: data flows without it, and without a link there is no way.
async fn p2p_only(executor: Executor) -> Outcome {
    let (router, (a, link_a), (b, _)) = linked_pair(&executor).await?;
    round_trip(&a, Channel::Reliable).await?;
    router.stop().await;
    for node in [&a, &b] {
        node.until("RouterLost", |e| matches!(e, Event::RouterLost { .. })).await?;
    }
    let payload = Bytes::from_static(b"without any router");
    a.handle.send(link_a, Channel::Reliable, payload.clone()).await.map_err(|error| error.to_string())?;
    b.until("the data", |e| matches!(e, Event::Data { bytes, .. } if *bytes == payload)).await?;
    let rtt = round_trip(&a, Channel::Stream).await?;
    // And no link means no way: nothing is relayed behind the caller's back.
    a.handle.disconnect(link_a, "done").await.map_err(|error| error.to_string())?;
    a.until("Disconnected", |e| matches!(e, Event::Disconnected { .. })).await?;
    let refused = a.handle.send(link_a, Channel::Reliable, payload).await;
    check(refused.is_err(), || "a message was taken for a closed link".to_owned())?;
    Ok(format!("with the router gone, round trip {rtt:.1?}"))
}

/// Everything goes through the router, in order, and no offer is made.
async fn relay_only(executor: Executor) -> Outcome {
    const MESSAGES: u32 = 2_000;
    let router = RealRouter::start(&executor).await?;
    let config = |name: &str| NodeConfig {
        name: name.to_owned(),
        routing: RoutingMode::RelayOnly,
        ..NodeConfig::open()
    };
    let a = RealNode::start_with(&executor, config("a"), router.url()).await?;
    let b = RealNode::start_with(&executor, config("b"), router.url()).await?;
    let link = a.connect(&b).await?;
    let relayed = |e: &Event| matches!(e, Event::Relayed { .. });
    a.until("Relayed", relayed).await?;
    b.until("Relayed", relayed).await?;
    let begun = now();
    for number in 0..MESSAGES {
        let mut message = number.to_be_bytes().to_vec();
        message.resize(1_000, 0);
        a.handle.send(link, Channel::Reliable, message.into()).await.map_err(|error| error.to_string())?;
    }
    let numbers = || -> Vec<u32> {
        let told = b.told();
        let number = |(_, event): &(Instant, Event)| match event {
            Event::Data { bytes, .. } => Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?)),
            _ => None,
        };
        told.iter().filter_map(number).collect()
    };
    b.wait("all messages", |_| numbers().len() >= MESSAGES as usize).await?;
    let took = now().saturating_duration_since(begun);
    check(numbers().into_iter().eq(0..MESSAGES), || "not each once and in order".to_owned())?;
    for node in [&a, &b] {
        let direct = node.count(|e| is_connected(e) || matches!(e, Event::Step { .. }));
        check(direct == 0, || format!("{direct} steps towards a direct connection"))?;
    }
    let megabytes = f64::from(MESSAGES) / 1e3;
    Ok(format!("{MESSAGES} messages of 1 kB, {:.1} MB/s", megabytes / took.as_secs_f64()))
}

/// A peer that does not exist fails at once, with that reason.
async fn no_such_peer(executor: Executor) -> Outcome {
    let router = RealRouter::start(&executor).await?;
    let a = RealNode::start(&executor, "a", router.url()).await?;
    let nobody = "00000000-0000-4000-8000-000000000000";
    let begun = now();
    a.handle.connect(RouterId::FIRST, nobody).await.map_err(|error| error.to_string())?;
    let event = a.until("Failed", |e| matches!(e, Event::Failed { .. })).await?;
    let took = now().saturating_duration_since(begun);
    let Event::Failed { why, .. } = event else { return Err(format!("{event:?}")) };
    check(why == FailReason::NoSuchSession(nobody.to_owned()), || format!("{why:?}"))?;
    check(took < Duration::from_secs(1), || format!("only after {took:?}"))?;
    Ok(format!("{why}, after {took:.1?}"))
}

/// A goodbye of the answerer ends the link on both sides, once, and leaves nothing behind.
async fn goodbye(executor: Executor) -> Outcome {
    let (_router, (a, _), (b, link_b)) = linked_pair(&executor).await?;
    check(b.count(|e| matches!(e, Event::Connected { role: Role::Answerer, .. })) == 1, || {
        "no answerer".into()
    })?;
    let begun = now();
    b.handle.disconnect(link_b, "bye").await.map_err(|error| error.to_string())?;
    let ended = |e: &Event| matches!(e, Event::Disconnected { .. });
    a.until("Disconnected", ended).await?;
    b.until("Disconnected", ended).await?;
    let took = now().saturating_duration_since(begun);
    a.connect(&b).await?;
    a.wait("another link", |told| told.iter().filter(|(_, e)| is_connected(e)).count() == 2).await?;
    check((a.count(ended), b.count(ended)) == (1, 1), || "told more than once".to_owned())?;
    Ok(format!("both sides know after {took:.1?}, and connect again"))
}
