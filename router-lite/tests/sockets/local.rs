//! Programs in the same process.

use bytes::Bytes;
use clasp_wire::{Message, Value};
use router_lite::{CloseReason, Closed, Config, LocalSession};

use crate::{
    client::{Client, soon},
    messages::{encode, event, hello, set, short, subscribe},
    with_server,
};

async fn says(session: &LocalSession, message: &Message<'_>) {
    session.send(Bytes::from(encode(message))).unwrap();
}

async fn hears(session: &LocalSession) -> String {
    short(&soon(session.recv()).await.unwrap())
}

#[test]
fn an_attached_session_talks_to_clients_on_sockets() {
    with_server(Config::default(), async |server, to| {
        let local = server.attach();
        says(&local, &hello("")).await;
        assert_eq!((hears(&local).await, hears(&local).await), ("WELCOME".to_owned(), "SNAPSHOT".to_owned()));
        says(&local, &subscribe(1, "/a/**")).await;
        let (mut client, _) = Client::session(to).await;
        client.send(&subscribe(1, "/b/**")).await;
        client.settle().await;
        client.send(&event("/a/1", Value::Int(1))).await;
        assert_eq!(hears(&local).await, "EVENT /a/1=1");
        says(&local, &set("/b/1", Value::Int(2))).await;
        assert_eq!(hears(&local).await, "ACK /b/1 r1");
        assert_eq!(short(&client.frame().await), "SET /b/1=2 r1");
        drop(local);
        assert_eq!(server.counters().sessions, 2);
    });
}

#[test]
fn an_attached_session_that_never_reads_is_closed_and_says_why() {
    with_server(Config::default().with_rate(0).unwrap(), async |server, _| {
        let (deaf, sender) = (server.attach(), server.attach());
        for session in [&deaf, &sender] {
            says(session, &hello("")).await;
        }
        says(&deaf, &subscribe(1, "/**")).await;
        let text = "x".repeat(60_000);
        for _ in 0..5 {
            says(&sender, &event("/a", Value::Str(&text))).await;
        }
        assert_eq!(deaf.send(Bytes::from(encode(&Message::Ping))), Err(Closed(CloseReason::SlowConsumer)));
        assert_eq!(deaf.closed(), Some(Closed(CloseReason::SlowConsumer)));
        assert_eq!(soon(deaf.recv()).await, None);
    });
}

#[test]
fn an_attached_session_that_is_refused_can_read_why() {
    with_server(Config::default(), async |server, _| {
        let local = server.attach();
        says(&local, &Message::Ping).await;
        assert_eq!(hears(&local).await, "ERROR 101 the first message must be HELLO");
        assert_eq!(soon(local.recv()).await, None);
    });
}

#[test]
fn attaching_works_before_the_server_runs() {
    let executor = std::rc::Rc::new(smol::LocalExecutor::new());
    smol::block_on(executor.run(async {
        let config = Config::default().with_bind(&[std::net::SocketAddr::from(([127, 0, 0, 1], 0))]).unwrap();
        let server = router_lite::Server::bind(config, [1; 32], std::rc::Rc::clone(&executor)).await.unwrap();
        let local = server.attach();
        says(&local, &hello("")).await;
        assert_eq!(hears(&local).await, "WELCOME");
    }));
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    with_server(Config::default(), async |_, to| {
        let executor = std::rc::Rc::new(smol::LocalExecutor::new());
        let config = Config::default().with_bind(&[to]).unwrap();
        let error = router_lite::Server::bind(config, [1; 32], executor).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on {to}: Address already in use (os error 98)"));
    });
}

#[test]
fn one_server_listens_on_ipv4_and_ipv6_at_once() {
    let executor = std::rc::Rc::new(smol::LocalExecutor::new());
    smol::block_on(executor.run(async {
        let any = std::net::SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
        let config = Config::default().with_bind(&[any]).unwrap();
        let server = router_lite::Server::bind(config, [1; 32], std::rc::Rc::clone(&executor)).await.unwrap();
        let running = executor.spawn({
            let server = server.clone();
            async move { server.run().await }
        });
        let port = server.local_addr().port();
        let mut addresses = vec![std::net::SocketAddr::from(([127, 0, 0, 1], port))];
        // Where there is no IPv6 the server has fallen back, and there is no IPv6 loopback to try.
        if server.local_addr().is_ipv6() {
            addresses.push(std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port)));
        }
        for address in addresses {
            let (mut client, _) = Client::session(address).await;
            client.send(&set("/a", Value::Int(1))).await;
            assert_eq!(client.settle().await.len(), 1, "{address} counts as this machine");
        }
        server.shutdown().await;
        soon(running).await;
    }));
}
