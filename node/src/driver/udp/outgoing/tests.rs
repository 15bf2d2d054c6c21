//! What is sent together, and what becomes of it when the kernel has no room or does not know how.

use std::cell::RefCell;
use std::io::ErrorKind;

use super::*;

/// Notes what leaves, each call as its segments' sizes; `refusals` are answered first.
struct FakeWire {
    max_segments: usize,
    refusals: RefCell<Vec<ErrorKind>>,
    calls: RefCell<Vec<Vec<usize>>>,
}

impl FakeWire {
    fn new(max_segments: usize, refusals: &[ErrorKind]) -> Self {
        Self { max_segments, refusals: RefCell::new(refusals.to_vec()), calls: RefCell::default() }
    }

    fn call(&self, bytes: &[u8], segment: usize) -> io::Result<()> {
        if !self.refusals.borrow().is_empty() {
            return Err(self.refusals.borrow_mut().remove(0).into());
        }
        self.calls.borrow_mut().push(bytes.chunks(segment.max(1)).map(<[u8]>::len).collect());
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<usize>> {
        self.calls.take()
    }
}

impl Wire for FakeWire {
    fn max_segments(&self, _: SocketAddr) -> usize {
        self.max_segments
    }

    fn send(&self, _: SocketAddr, _: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        self.call(bytes, bytes.len())
    }

    fn send_batch(&self, _: SocketAddr, _: SocketAddr, bytes: &[u8], segment: usize) -> io::Result<()> {
        self.call(bytes, segment)
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn push_all(outgoing: &mut Outgoing, wire: &FakeWire, sizes: &[usize]) {
    for size in sizes {
        assert_eq!(outgoing.push(wire, address(1), address(2), vec![0; *size]), Sent::Done);
    }
}

fn batches(max_segments: usize, sizes: &[usize]) -> Vec<Vec<usize>> {
    let (mut outgoing, wire) = (Outgoing::new(), FakeWire::new(max_segments, &[]));
    push_all(&mut outgoing, &wire, sizes);
    assert_eq!(outgoing.flush(&wire), Sent::Done);
    let calls = wire.calls();
    assert_eq!(outgoing.flush(&wire), Sent::Done);
    assert!(wire.calls().is_empty(), "once is enough");
    calls
}

#[test]
fn equal_sizes_travel_together_and_a_shorter_one_is_the_last() {
    assert_eq!(batches(64, &[100, 100, 100]), [vec![100, 100, 100]]);
    assert_eq!(batches(64, &[100, 100, 40, 40, 100]), [vec![100, 100, 40], vec![40], vec![100]]);
    assert_eq!(batches(64, &[40, 100, 100]), [vec![40], vec![100, 100]]);
    assert_eq!(batches(64, &[100, 0, 100]), [vec![100], vec![], vec![100]], "none would vanish in a batch");
}

#[test]
fn a_batch_has_so_many_segments_and_bytes_at_most() {
    assert_eq!(batches(3, &[10; 7]), [vec![10; 3], vec![10; 3], vec![10]]);
    assert_eq!(batches(64, &[1200; 60]), [vec![1200; 54], vec![1200; 6]]);
    assert_eq!(batches(1, &[10; 3]), vec![vec![10]; 3], "without GSO each leaves by itself");
}

#[test]
fn another_address_at_either_end_is_another_batch() {
    let (mut outgoing, wire) = (Outgoing::new(), FakeWire::new(64, &[]));
    for (source, destination) in [(1, 2), (1, 2), (1, 3), (4, 3), (4, 3)] {
        let sent = outgoing.push(&wire, address(source), address(destination), vec![0; 10]);
        assert_eq!(sent, Sent::Done);
    }
    assert_eq!(outgoing.flush(&wire), Sent::Done);
    assert_eq!(wire.calls(), [vec![10, 10], vec![10], vec![10, 10]]);
}

#[test]
fn a_blocked_batch_waits_with_the_one_after_it_and_both_leave_once() {
    let (mut outgoing, wire) = (Outgoing::new(), FakeWire::new(64, &[ErrorKind::WouldBlock; 2]));
    push_all(&mut outgoing, &wire, &[10, 10]);
    assert_eq!(outgoing.blocked(), None);
    assert_eq!(outgoing.push(&wire, address(1), address(3), vec![0; 20]), Sent::Blocked);
    assert_eq!(outgoing.blocked(), Some(address(1)));
    assert_eq!(outgoing.flush(&wire), Sent::Blocked);
    assert_eq!(outgoing.flush(&wire), Sent::Done);
    assert_eq!((outgoing.blocked(), wire.calls()), (None, vec![vec![10, 10], vec![20]]));
    push_all(&mut outgoing, &wire, &[10, 10]);
    assert_eq!(outgoing.flush(&wire), Sent::Done);
    assert_eq!((outgoing.unsent, wire.calls()), (0, vec![vec![10, 10]]));
}

#[test]
fn a_batch_the_kernel_refuses_leaves_one_by_one_and_does_not_begin_again_when_blocked() {
    let refusals = [ErrorKind::InvalidInput, ErrorKind::WouldBlock];
    let (mut outgoing, wire) = (Outgoing::new(), FakeWire::new(64, &refusals));
    push_all(&mut outgoing, &wire, &[10, 10, 5]);
    assert_eq!(outgoing.flush(&wire), Sent::Blocked);
    wire.refusals.borrow_mut().clear();
    assert_eq!(outgoing.flush(&wire), Sent::Done);
    assert_eq!((outgoing.unsent, wire.calls()), (0, vec![vec![10], vec![10], vec![5]]));
    push_all(&mut outgoing, &wire, &[10, 10]);
    assert_eq!(outgoing.flush(&wire), Sent::Done);
    assert_eq!(wire.calls(), [vec![10, 10]], "the next one is tried as one again");
}

#[test]
fn in_the_middle_of_one_by_one_nothing_is_sent_twice() {
    /// Takes no batch, and every second datagram only when asked again.
    struct Hesitant(RefCell<(bool, Vec<u8>)>);
    impl Wire for Hesitant {
        fn max_segments(&self, _: SocketAddr) -> usize {
            64
        }
        fn send(&self, _: SocketAddr, _: SocketAddr, bytes: &[u8]) -> io::Result<()> {
            let (ready, sent) = &mut *self.0.borrow_mut();
            *ready = !*ready;
            if !*ready {
                return Err(ErrorKind::WouldBlock.into());
            }
            sent.push(bytes[0]);
            Ok(())
        }
        fn send_batch(&self, _: SocketAddr, _: SocketAddr, _: &[u8], _: usize) -> io::Result<()> {
            Err(ErrorKind::Unsupported.into())
        }
    }
    let (mut outgoing, wire) = (Outgoing::new(), Hesitant(RefCell::default()));
    for n in 0..4 {
        assert_eq!(outgoing.push(&wire, address(1), address(2), vec![n; 9]), Sent::Done);
    }
    let blocked = (0..10).take_while(|_| outgoing.flush(&wire) == Sent::Blocked).count();
    assert_eq!((blocked, wire.0.take().1), (3, vec![0, 1, 2, 3]));
}

#[test]
fn what_cannot_be_sent_is_counted_datagram_by_datagram() {
    let refusals = [ErrorKind::InvalidInput, ErrorKind::NetworkUnreachable, ErrorKind::NetworkUnreachable];
    let (mut outgoing, wire) = (Outgoing::new(), FakeWire::new(64, &refusals));
    push_all(&mut outgoing, &wire, &[10, 10, 10]);
    assert_eq!(outgoing.flush(&wire), Sent::Done);
    assert_eq!((outgoing.unsent, wire.calls()), (2, vec![vec![10]]));
}
