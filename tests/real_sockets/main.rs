//! End to end on this host's loopback interface: the one place in the tests where time is real.

use std::time::Duration;

use bytes::Bytes;
use clasp_node::driver::now;
use clasp_node::limits::{MAX_PARKED, RELIABLE_QUEUE_BYTES, SCTP_SEND_BUFFER_BYTES};
use clasp_node::{Channel, Event, NodeConfig};
use e2e::real::{self, RealNode, RealRouter, linked_pair};
use smol::future;

#[test]
fn links_open_quickly_again_and_again() {
    real::run(async |executor| {
        let router = RealRouter::start(&executor).await?;
        let mut times = Vec::new();
        for round in 0..20 {
            let a = RealNode::start(&executor, "a", router.url()).await?;
            let b = RealNode::start(&executor, "b", router.url()).await?;
            let begun = now();
            a.connect(&b).await?;
            a.connected().await?;
            b.connected().await?;
            times.push(now().saturating_duration_since(begun));
            a.handle.shutdown().await;
            let gone = |e: &Event| matches!(e, Event::Disconnected { .. });
            b.until(&format!("the goodbye of round {round}"), gone).await?;
            b.handle.shutdown().await;
        }
        times.sort_unstable();
        assert!(times[10] < Duration::from_millis(500), "median {:?}", times[10]);
        Ok::<_, String>(())
    })
    .unwrap();
}

#[test]
fn ten_megabytes_arrive_in_order_though_the_receiver_stands_still_for_a_while() {
    const CHUNK: usize = 16 * 1024;
    const CHUNKS: u32 = 640;
    /// What a node takes while nothing is acknowledged: its queue and its window.
    const MOST_WAITING: usize = (RELIABLE_QUEUE_BYTES + SCTP_SEND_BUFFER_BYTES) / CHUNK;
    let chunk = |n: u32| Bytes::from(n.to_be_bytes().repeat(CHUNK / 4));
    real::run(async |executor| {
        // The receiver has an executor of its own, and lives only while that one is run.
        let receivers = real::Executor::default();
        let pair = async {
            let router = RealRouter::start(&executor).await?;
            let a = RealNode::start(&executor, "a", router.url()).await?;
            let b = RealNode::start(&receivers, "b", router.url()).await?;
            a.connect(&b).await?;
            let (link, _) = (a.connected().await?, b.connected().await?);
            Ok::<_, String>((router, a, link, b))
        };
        let (_router, a, link, b) = receivers.run(pair).await?;

        let mut taken = 0;
        let held_back = loop {
            let mut send = Box::pin(a.handle.send(link, Channel::Reliable, chunk(taken)));
            // The node takes orders in turn: when it has answered the second, it has decided about the first.
            let mut done = future::poll_once(&mut send).await;
            a.handle.links().await.map_err(|error| error.to_string())?;
            if done.is_none() {
                done = future::poll_once(&mut send).await;
            }
            match done {
                Some(sent) => sent.map_err(|error| error.to_string())?,
                None => break send,
            }
            taken += 1;
            assert!(taken as usize <= MOST_WAITING, "{taken} messages taken, and nobody receives");
        };
        assert!(taken > 0, "not one message was taken");

        let rest = async {
            held_back.await.map_err(|error| error.to_string())?;
            for n in taken + 1..CHUNKS {
                a.handle.send(link, Channel::Reliable, chunk(n)).await.map_err(|error| error.to_string())?;
            }
            let data = |e: &Event| matches!(e, Event::Data { .. });
            b.wait("all data", |told| told.iter().filter(|(_, e)| data(e)).count() == CHUNKS as usize).await
        };
        receivers.run(rest).await?;
        for (n, bytes) in (0..CHUNKS).zip(b.told().iter().filter_map(|(_, e)| match e {
            Event::Data { bytes, .. } => Some(bytes),
            _ => None,
        })) {
            assert!(*bytes == chunk(n), "message {n}");
        }
        Ok::<_, String>(())
    })
    .unwrap();
}

#[test]
fn many_small_messages_arrive_each_once_in_order_and_share_their_packets() {
    const COUNT: u32 = 20_000;
    real::run(async |executor| {
        let (_router, (a, link), (b, _)) = linked_pair(&executor).await?;
        let frame = |number: u32| {
            let mut frame = vec![0x53, 0x41, 0, 60, 0x20]; // a frame with a payload of 60 bytes, whatever it says
            frame.extend(number.to_be_bytes());
            frame.resize(64, 7);
            Bytes::from(frame)
        };
        let numbers: Vec<_> = (0..COUNT).collect();
        for batch in numbers.chunks(250) {
            let messages = batch.iter().map(|number| frame(*number)).collect();
            let sent = a.handle.send_all(link, Channel::Reliable, messages).await;
            sent.map_err(|error| error.to_string())?;
        }
        let is_data = |e: &Event| matches!(e, Event::Data { channel: Channel::Reliable, .. });
        b.wait("all of them", |told| told.iter().filter(|(_, e)| is_data(e)).count() >= COUNT as usize)
            .await?;
        let got = b.told().into_iter().filter_map(|(_, event)| match event {
            Event::Data { bytes, .. } => Some(bytes),
            _ => None,
        });
        assert!(got.eq((0..COUNT).map(frame)));
        Ok::<_, String>(())
    })
    .unwrap();
}

#[test]
fn a_node_finds_its_router_again_after_a_restart_while_its_link_stays_open() {
    real::run(async |executor| {
        let (router, (a, link), (b, _)) = linked_pair(&executor).await?;
        let address = router.server().local_addr().to_string();
        router.stop().await;
        a.until("RouterLost", |e| matches!(e, Event::RouterLost { .. })).await?;
        let ready = |e: &Event| matches!(e, Event::RouterReady { .. });
        let _again = RealRouter::start_on(&executor, &address).await?;
        a.wait("a new session", |told| told.iter().filter(|(_, e)| ready(e)).count() == 2).await?;
        a.handle
            .send(link, Channel::Reliable, Bytes::from_static(b"the same link"))
            .await
            .map_err(|error| error.to_string())?;
        b.until("the data", |e| matches!(e, Event::Data { .. })).await?;
        assert_eq!(a.count(|e| matches!(e, Event::Disconnected { .. })), 0);
        Ok::<_, String>(())
    })
    .unwrap();
}

#[test]
fn an_application_that_does_not_read_loses_the_link_and_the_node_lives_on() {
    real::run(async |executor| {
        let router = RealRouter::start(&executor).await?;
        let a = RealNode::start(&executor, "a", router.url()).await?;
        let deaf = clasp_node::NodeBuilder::new()
            .config(NodeConfig { name: "deaf".into(), ..NodeConfig::open() })
            .router(router.url())
            .loopback(clasp_node::driver::Loopback::Only)
            .start(&executor)
            .await
            .map_err(|error| error.to_string())?;
        let is_deaf = |e: &Event| matches!(e, Event::PeerSeen(peer) if peer.name.as_deref() == Some("deaf"));
        let Event::PeerSeen(peer) = a.until("the deaf node", is_deaf).await? else { unreachable!() };
        let link = a.handle.connect(peer.router, &peer.session).await.map_err(|error| error.to_string())?;
        a.connected().await?;
        let message = Bytes::from(vec![1; 16 * 1024]);
        let mut sent = 0;
        while a.handle.send(link, Channel::Reliable, message.clone()).await.is_ok() {
            sent += 1;
            assert!(sent < 1_000, "a megabyte is the limit, with what is on its way");
        }
        a.until("Disconnected", |e| matches!(e, Event::Disconnected { .. })).await?;
        // Now it reads: what fitted is there, and so is the reason of the end.
        loop {
            match deaf.events.next().await {
                Some(Event::Disconnected { why, .. }) => {
                    assert_eq!(why, clasp_node::DisconnectReason::ApplicationTooSlow);
                    break;
                }
                Some(_) => {}
                None => panic!("the node stopped"),
            }
        }
        // Its goodbye may take half a second.
        let deadline = now() + Duration::from_secs(5);
        while !deaf.handle.links().await.map_err(|error| error.to_string())?.is_empty() {
            assert!(now() < deadline, "the link is still there");
            future::yield_now().await;
        }
        Ok::<_, String>(())
    })
    .unwrap();
}

#[test]
fn round_trips_wait_for_nothing_but_the_other_side() {
    real::run(async |executor| {
        let (_router, (a, link), (_b, _)) = linked_pair(&executor).await?;
        let begun = now();
        for _ in 0..250 {
            for channel in [Channel::Reliable, Channel::Stream] {
                let sent = a.handle.ping(link, channel).await.map_err(|error| error.to_string())?;
                let pong = |e: &Event| matches!(e, Event::Pong { token, channel: c, .. } if (*token, *c) == (sent, channel));
                a.until("Pong", pong).await?;
            }
        }
        // A wake-up lost now and then would show as some retransmission timer of 200 ms to 1 s.
        let took = now().saturating_duration_since(begun);
        assert!(took < Duration::from_secs(5), "500 round trips took {took:?}");
        Ok::<_, String>(())
    })
    .unwrap();
}

#[test]
fn senders_that_give_up_do_not_make_the_node_deaf() {
    real::run(async |executor| {
        let (_router, (a, link), (b, _)) = linked_pair(&executor).await?;
        // The receiver vanishes without a word, so nothing is acknowledged any more.
        drop(b);
        let message = Bytes::from(vec![1; 64 * 1024 - 1]);
        for _ in 0..MAX_PARKED * 2 {
            let send = a.handle.send(link, Channel::Reliable, message.clone());
            let patience = async {
                smol::Timer::after(Duration::from_millis(2)).await;
                Err(clasp_node::driver::CallError::Stopped(clasp_node::driver::Stopped))
            };
            drop(future::or(send, patience).await);
        }
        let begun = now();
        a.handle.peers().await.map_err(|error| error.to_string())?;
        a.handle.shutdown().await;
        let took = now().saturating_duration_since(begun);
        assert!(took < Duration::from_secs(2), "{took:?}");
        Ok::<_, String>(())
    })
    .unwrap();
}

#[test]
fn a_node_that_dials_into_nowhere_stops_within_a_second() {
    real::run(async |executor| {
        // It takes the connection and says nothing: the WebSocket is never answered.
        let silent = smol::net::TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        let address = silent.local_addr().map_err(|error| error.to_string())?;
        let running = clasp_node::NodeBuilder::new()
            .router(address.into())
            .loopback(clasp_node::driver::Loopback::Only)
            .start(&executor)
            .await
            .map_err(|error| error.to_string())?;
        let _connection = silent.accept().await.map_err(|error| error.to_string())?;
        let begun = now();
        running.handle.shutdown().await;
        let took = now().saturating_duration_since(begun);
        assert!(took <= Duration::from_secs(1), "{took:?}");
        Ok::<_, String>(())
    })
    .unwrap();
}
