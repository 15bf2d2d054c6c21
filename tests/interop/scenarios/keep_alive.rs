//! The stock router forgets a session it has not pushed anything to for a while, whatever the session sends: an idle
//! stock client becomes unreachable without noticing. Our node stays reachable.

use std::time::{Duration, Instant};

use interop::line::Channel;

use crate::peer::Peer;
use crate::router::Router;

/// The router's session timeout. Its sweep runs every max(a quarter of that, 10 s), so whoever the first sweep takes
/// has been idle for more than three timeouts.
const SESSION_TIMEOUT: Duration = Duration::from_secs(2);
/// Until the first sweep, with room for a slow machine.
const FIRST_SWEEP: Duration = Duration::from_secs(20);

#[test]
fn an_idle_node_stays_reachable_where_the_stock_router_forgets_an_idle_stock_client() {
    let router = Router::stock_with(&["--session-timeout", &SESSION_TIMEOUT.as_secs().to_string()]);
    let mut node = Peer::edge_with("our node", &router, &["--keep-alive-ms", "500"]);
    let idle = Peer::stock("idle stock peer", &router);
    let idle_since = Instant::now();

    router.process.wait_for_log(&forgotten(&idle), FIRST_SWEEP);
    assert!(idle_since.elapsed() > 3 * SESSION_TIMEOUT, "the sweep came too early to prove anything");
    assert!(!router.process.has_logged(&forgotten(&node)), "our node was forgotten as well");

    let reason = node.connect_and_fail(&idle.session);
    assert!(reason.contains(&idle.session), "the reason names the session: {reason}");

    let mut newcomer = Peer::stock("newcomer", &router);
    newcomer.connect(&node.session.clone());
    newcomer.wait_until_connected(&node);
    node.wait_until_connected(&newcomer);
    newcomer.send_and_check(&node, Channel::Reliable, b"still there?");
    node.send_and_check(&newcomer, Channel::Reliable, b"of course");
}

/// What the stock router logs when it forgets this peer's session.
fn forgotten(peer: &Peer) -> String {
    format!("Session {} timed out", peer.session)
}
