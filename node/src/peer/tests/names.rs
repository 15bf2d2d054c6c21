//! Candidates with names instead of addresses.

use super::*;

#[test]
fn a_name_is_looked_up_unless_only_relays_are_used() {
    for turn_only in [false, true] {
        let mut table = Table::new();
        table.drain(true);
        let now = table.now;
        let peer = &mut table.answerer().peer;
        peer.turn_only = turn_only;
        while !matches!(peer.poll_output(now), PeerOutput::Idle(_)) {}
        peer.handle_candidate(r#"{"candidate":"candidate:1 1 udp 1 ab-12.local 5 typ host"}"#);
        let told = peer.poll_output(now);
        if turn_only {
            let why = "multicast DNS name ab-12.local: this node uses relays only";
            assert!(matches!(&told, PeerOutput::Step(Step::CandidateSkipped(w)) if w == why), "{told:?}");
        } else {
            assert!(matches!(&told, PeerOutput::Resolve(name) if name == "ab-12.local"), "{told:?}");
        }
        assert_eq!(peer.awaits("AB-12.local"), !turn_only);
    }
}
