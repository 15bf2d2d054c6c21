//! What becomes of messages in packets.

use super::*;
use crate::peer::coalescing::PACKET_BYTES;

/// How many DTLS packets the offerer wants sent now.
fn packets(table: &mut Table) -> usize {
    table.drain(true);
    let packets: Vec<_> = table.wire.iter().filter(|(_, t)| is_dtls(&t.contents)).collect();
    assert!(packets.iter().all(|(from_offerer, _)| *from_offerer));
    packets.len()
}

/// A link on which nothing is in flight.
fn quiet() -> Table {
    let mut table = Table::open();
    table.run(Duration::from_secs(1), |_| false);
    assert_eq!(packets(&mut table), 0);
    table
}

#[test]
fn what_is_said_to_fit_a_packet_does_and_no_byte_more() {
    for (len, want) in [(PACKET_BYTES, 1), (PACKET_BYTES + 1, 2)] {
        let mut table = quiet();
        table.offerer.peer.send(Channel::Stream, vec![1; len].into()).unwrap();
        assert_eq!(packets(&mut table), want, "{len} bytes");
    }
}

#[test]
fn a_packet_that_is_sent_three_times_arrives_once_even_if_two_are_lost() {
    let mut table = quiet();
    table.offerer.peer.repeat_packets(table.now + Duration::from_secs(1));
    for (losing_for, arrived) in [(0, 1), (4, 2), (10, 3), (25, 3)] {
        table.offerer.peer.send(Channel::Stream, Bytes::from_static(b"message")).unwrap();
        table.passes = |_, _| false;
        table.run(Duration::from_millis(losing_for), |_| false);
        table.passes = |_, _| true;
        table.run(Duration::from_millis(50), |_| false);
        assert_eq!(table.answerer().data(Channel::Stream).len(), arrived, "all lost for {losing_for} ms");
    }
}
