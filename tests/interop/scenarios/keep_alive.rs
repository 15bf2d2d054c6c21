//! The stock router forgets a session it has not pushed anything to for a while, whatever the session sends: an idle
//! stock client becomes unreachable without noticing. Our node stays reachable.

use std::time::Duration;

use crate::peer::Peer;
use crate::router::Router;

/// The router's session timeout. Its sweep runs every max(a quarter of that, 10 s), so whoever the first sweep takes
/// has been idle for three timeouts.
const SESSION_TIMEOUT_S: &str = "3";
/// Until the first sweep, with room for a slow machine.
const FIRST_SWEEP: Duration = Duration::from_secs(20);

#[test]
fn an_idle_stock_client_is_forgotten_by_the_stock_router() {
    let router = Router::stock_with(&["--session-timeout", SESSION_TIMEOUT_S]);
    let idle = Peer::stock("idle stock peer", &router);
    router.process.wait_for_log(&format!("Session {} timed out", idle.session), FIRST_SWEEP);
}
