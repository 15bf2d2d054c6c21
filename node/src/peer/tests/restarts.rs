//! ICE that starts over.

use super::*;
use crate::limits::{MAX_RESTARTS, RESTART_LIMIT};

fn restarted(side: &Side) -> usize {
    side.told.windows(2).filter(|two| matches!(two, [_, PeerOutput::State(LinkState::Restarting)])).count()
}

fn is_open(side: &Side) -> bool {
    matches!(side.peer.state, State::Open { .. })
}

#[test]
fn ice_starts_over_with_other_credentials_and_the_data_go_on() {
    let mut table = Table::open();
    let descriptions = |side: &Side| {
        let text = |o: &PeerOutput| match o {
            PeerOutput::Signal(OutSignal::Offer(text) | OutSignal::Answer(text)) => Some(text.clone()),
            _ => None,
        };
        side.told.iter().filter_map(text).collect::<Vec<_>>()
    };
    let message = Bytes::from_static(b"before and after");
    for round in 1..=3_usize {
        let now = table.now;
        // Both sides take their turn.
        let side = if round == 2 { table.answerer() } else { &mut table.offerer };
        side.peer.restart(now, RESTART_LIMIT);
        assert!(table.run(Duration::from_secs(5), |t| is_open(&t.offerer)
            && t.answerer.as_ref().is_some_and(|answerer| is_open(answerer) && restarted(answerer) > 0)));
        table.offerer.peer.send(Channel::Reliable, message.clone()).unwrap();
        table.answerer().peer.send(Channel::Reliable, message.clone()).unwrap();
        let arrived = |side: &Side| side.data(Channel::Reliable).len() == round;
        assert!(
            table.run(Duration::from_secs(2), |t| arrived(&t.offerer)
                && arrived(t.answerer.as_ref().unwrap()))
        );
    }
    let (offerer, answerer) = (descriptions(&table.offerer), descriptions(table.answerer()));
    for side in [offerer, answerer] {
        let described: Vec<_> = side.iter().map(|text| Description::parse(text).unwrap()).collect();
        assert_eq!(described.len(), 4, "one for each negotiation");
        let fragments: BTreeSet<_> = described.iter().map(|d| d.credentials.ufrag.as_str()).collect();
        assert_eq!(fragments.len(), 4);
        assert!(described.iter().all(|d| d.fingerprint == described[0].fingerprint && d.mid == "0"));
        assert!(described.iter().all(|d| d.sctp_init == described[0].sctp_init && d.candidates.len() == 1));
    }
}

#[test]
fn a_connection_that_restarted_too_often_is_replaced() {
    let mut table = Table::open();
    let lost = |side: &Side| side.told.iter().any(|o| matches!(o, PeerOutput::Lost(_)));
    for _ in 0..MAX_RESTARTS {
        let now = table.now;
        table.offerer.peer.restart(now, RESTART_LIMIT);
        assert!(
            table.run(Duration::from_secs(5), |t| is_open(&t.offerer)
                && is_open(t.answerer.as_ref().unwrap()))
        );
    }
    assert!(!lost(&table.offerer) && !lost(table.answerer()));
    let now = table.now;
    table.offerer.peer.restart(now, RESTART_LIMIT);
    table.run(STEP, |_| false);
    assert!(lost(&table.offerer), "and whoever owns the link makes another connection");
    table.answerer().peer.restart(now, RESTART_LIMIT);
    table.run(STEP, |_| false);
    assert!(lost(table.answerer()));
}
