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
fn a_packet_that_is_sent_twice_arrives_once_even_if_the_first_is_lost() {
    let mut table = quiet();
    let until = table.now + Duration::from_millis(100);
    table.offerer.peer.send_twice(until);
    let message = Bytes::from_static(b"message");
    for lost in [false, true] {
        table.offerer.peer.send(Channel::Stream, message.clone()).unwrap();
        assert_eq!(packets(&mut table), 1);
        if lost {
            table.wire.clear();
        }
        table.run(Duration::from_millis(20), |_| false);
    }
    assert_eq!(table.answerer().data(Channel::Stream), [message.clone(), message]);
}
