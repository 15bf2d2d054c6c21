use super::receiving::{BUSY, NOBODY_RECEIVES};
use super::*;
use crate::event::{DisconnectReason, FailReason, Path, PathKind, Role};
use crate::limits::MAX_WAITING_TEXT_BYTES;
use crate::pipe::{CHUNK_BYTES, Outcome, PipeSender, WINDOW_BYTES, done};

const LINK: LinkId = LinkId(1);
const OTHER: LinkId = LinkId(2);

fn open(board: &mut Board, link: LinkId) {
    let address = "127.0.0.1:1".parse().unwrap();
    let path =
        Path { local: address, remote: address, local_kind: PathKind::Host, remote_kind: PathKind::Host };
    let peer = format!("session-{}", link.0);
    let role = Role::Offerer;
    assert_eq!(board.handle_event(&Event::Connecting { link, peer: peer.clone(), role }), []);
    let after = std::time::Duration::ZERO;
    assert_eq!(board.handle_event(&Event::Connected { link, peer, role, path, after }), []);
}

fn close(board: &mut Board, link: LinkId) {
    let (peer, why) = (format!("session-{}", link.0), DisconnectReason::Lost);
    assert_eq!(board.handle_event(&Event::Disconnected { link, peer, why }), []);
}

fn comes(board: &mut Board, link: LinkId, bytes: Bytes) -> Vec<Order> {
    board.handle_event(&Event::Data { link, channel: Channel::Reliable, bytes })
}

fn refusal(link: LinkId, why: &str) -> [Order; 1] {
    [Order::Tell(link, done(&Outcome::Failed(why.to_owned())))]
}

fn parting(link: LinkId) -> [Order; 2] {
    [Order::Tell(link, unused()), Order::HangupSoon(link)]
}

#[test]
fn a_transfer_nobody_takes_is_refused_once_and_the_next_one_can_be_taken() {
    let mut board = Board::default();
    open(&mut board, LINK);
    let mut sender = PipeSender::new();
    assert_eq!(comes(&mut board, LINK, sender.data(b"one")), refusal(LINK, NOBODY_RECEIVES));
    assert_eq!(comes(&mut board, LINK, sender.data(b"two")), [], "told already");
    let _wakes = board.begin_receiving(false).unwrap();
    assert_eq!(comes(&mut board, LINK, sender.data(b"three")), []);
    assert_eq!(board.sender(), None, "it began before anybody received: the rest alone is worth nothing");
    assert_eq!(comes(&mut board, LINK, PipeSender::called_off("understood")), []);

    let mut next = PipeSender::new();
    assert_eq!(comes(&mut board, LINK, next.data(b"whole")), []);
    assert_eq!(board.sender(), Some(LINK));
    assert_eq!(comes(&mut board, LINK, next.end()), []);
    let found = board.take_received(Vec::new());
    assert_eq!((found.data.as_slice(), found.end), (&b"whole"[..], Some(End::Said(Outcome::Complete))));
    let finished = board.finish_transfer(&Outcome::Complete);
    assert_eq!(finished, [Order::Tell(LINK, done(&Outcome::Complete))]);
}

#[test]
fn one_transfer_at_a_time_is_taken_and_others_are_told() {
    let mut board = Board::default();
    open(&mut board, LINK);
    open(&mut board, OTHER);
    let _wakes = board.begin_receiving(false).unwrap();
    assert!(board.begin_receiving(false).is_none(), "one command at a time");
    let (mut first, mut second) = (PipeSender::new(), PipeSender::new());
    assert_eq!(comes(&mut board, LINK, first.data(b"a")), []);
    assert_eq!(comes(&mut board, OTHER, second.data(b"b")), refusal(OTHER, BUSY));
    // The command goes in the middle of it.
    let orders = board.stop_receiving("interrupted");
    assert_eq!(orders, refusal(LINK, "interrupted"));
    assert_eq!(comes(&mut board, LINK, first.data(b"a")), [], "until the sender has heard of it");
    assert!(board.begin_receiving(false).is_some());
    assert_eq!(comes(&mut board, LINK, first.end()), []);
    assert_eq!(comes(&mut board, LINK, PipeSender::new().data(b"again")), []);
    assert_eq!(board.sender(), Some(LINK));
}

#[test]
fn a_sender_is_refused_that_does_not_wait_and_an_honest_one_never() {
    let mut board = Board::default();
    open(&mut board, LINK);
    let _wakes = board.begin_receiving(false).unwrap();
    let mut sender = PipeSender::new();
    let chunk = [7; CHUNK_BYTES];
    // As far as the window goes, in the smallest pieces too.
    while sender.has_room() {
        assert_eq!(comes(&mut board, LINK, sender.data(&chunk)), []);
    }
    while sender.sent() < WINDOW_BYTES {
        assert_eq!(comes(&mut board, LINK, sender.data(b"x")), []);
    }
    let why = "the sender does not wait for what it sent to be taken";
    assert_eq!(comes(&mut board, LINK, sender.data(b"x")), refusal(LINK, why));
    assert_eq!(comes(&mut board, LINK, sender.data(b"x")), []);
    let found = board.take_received(Vec::new());
    assert_eq!((found.data.len(), found.end), (0, Some(End::Lost(why.to_owned()))));
    assert!(board.finish_transfer(&Outcome::Failed(why.to_owned())).is_empty(), "it was told");
}

#[test]
fn what_is_taken_is_confirmed_and_a_lost_link_ends_the_transfer_with_its_reason() {
    let mut board = Board::default();
    open(&mut board, LINK);
    let wakes = board.begin_receiving(false).unwrap();
    let mut sender = PipeSender::new();
    while sender.has_room() {
        comes(&mut board, LINK, sender.data(&[7; CHUNK_BYTES]));
    }
    assert_eq!(wakes.len(), 1, "woken, once");
    let found = board.take_received(Vec::new());
    let (link, ack) = board.taken(found.data.len()).unwrap();
    assert_eq!((link, sender.handle_message(&ack)), (LINK, None));
    assert!(sender.has_room());
    assert_eq!(board.taken(1), None, "too little to tell");
    close(&mut board, LINK);
    let lost = End::Lost("connection lost, before the transfer was complete".to_owned());
    assert_eq!(board.take_received(found.data).end, Some(lost));
}

#[test]
fn a_transfer_to_a_peer_ends_with_the_receivers_word_and_frees_the_link_for_the_next() {
    let mut board = Board::default();
    open(&mut board, LINK);
    board.lease(LINK, false, true);
    let changed = board.begin_sending(LINK).unwrap();
    assert!(board.begin_sending(LINK).is_none(), "one at a time");
    let message = board.sending(LINK).unwrap().data(b"hello");
    assert_eq!(part(&message), Some(Part::Data));
    // Refused in the middle: it says that it knows, so that the receiver can tell the next one from this one.
    let order = comes(&mut board, LINK, done(&Outcome::Failed("disk full".into())));
    assert_eq!(order, [Order::Tell(LINK, PipeSender::called_off("understood"))]);
    assert_eq!(changed.len(), 1);
    assert_eq!(board.outcome(LINK), Some(&Outcome::Failed("disk full".into())));
    assert_eq!(board.stop_sending(LINK, "ended"), None, "nothing more to say");
    assert!(board.begin_sending(LINK).is_some());
}

#[test]
fn a_transfer_whose_command_goes_is_called_off_and_the_last_word_awaited() {
    let mut board = Board::default();
    open(&mut board, LINK);
    board.lease(LINK, true, true);
    let _changed = board.begin_sending(LINK).unwrap();
    let called_off = board.stop_sending(LINK, "interrupted");
    assert_eq!(called_off, Some(Order::Tell(LINK, PipeSender::called_off("interrupted"))));
    assert!(board.begin_sending(LINK).is_none(), "not before the receiver has heard of it");
    assert_eq!(board.release(LINK), [Order::HangupSoon(LINK)], "its last word first");
    let order = comes(&mut board, LINK, done(&Outcome::Failed("the sender says: interrupted".into())));
    assert_eq!(order, parting(LINK));
    assert_eq!(board.close_now(LINK), Some(Order::Hangup(LINK)));
}

#[test]
fn the_outcome_is_known_though_the_link_ends_right_after_it() {
    let mut board = Board::default();
    open(&mut board, LINK);
    board.lease(LINK, false, true);
    let changed = board.begin_sending(LINK).unwrap();
    assert!(board.end_sending(LINK).is_some());
    assert_eq!(comes(&mut board, LINK, done(&Outcome::Complete)), []);
    close(&mut board, LINK);
    assert_eq!(changed.len(), 1);
    assert_eq!(board.outcome(LINK), Some(&Outcome::Complete));
    assert_eq!(board.stop_sending(LINK, "done"), None);
    assert_eq!(board.release(LINK), []);
    assert!(board.links.is_empty(), "nothing is left of it");
}

#[test]
fn a_link_ends_with_the_last_command_that_used_it_and_only_if_it_was_opened_for_one() {
    let mut board = Board::default();
    open(&mut board, LINK);
    board.lease(LINK, false, true);
    assert_eq!(board.release(LINK), [], "it was there before");

    open(&mut board, OTHER);
    board.lease(OTHER, true, true);
    board.lease(OTHER, false, true);
    assert_eq!(board.release(OTHER), [], "somebody else uses it");
    let _wakes = board.begin_receiving(false).unwrap();
    comes(&mut board, OTHER, PipeSender::new().data(b"meanwhile"));
    assert_eq!(board.release(OTHER), [], "the peer uses it");
    let orders = board.finish_transfer(&Outcome::Complete);
    assert_eq!(orders.last(), Some(&Order::HangupSoon(OTHER)));
    assert_eq!(board.close_now(OTHER), Some(Order::Hangup(OTHER)));

    // Gone before anything was heard of it.
    board.lease(LinkId(3), true, true);
    assert_eq!(board.release(LinkId(3)), [Order::Hangup(LinkId(3))]);
    assert_eq!(board.links.len(), 2);
    close(&mut board, OTHER);
    close(&mut board, LINK);
    assert!(board.links.is_empty());
}

#[test]
fn a_link_that_both_ends_use_ends_with_the_last_use_at_either() {
    // Both have opened it, at the same time.
    let (mut here, mut there) = (Board::default(), Board::default());
    for board in [&mut here, &mut there] {
        open(board, LINK);
        board.lease(LINK, true, true);
    }
    assert_eq!(here.release(LINK), parting(LINK));
    assert_eq!(comes(&mut there, LINK, unused()), [Order::Tell(LINK, used())]);
    assert_eq!(comes(&mut here, LINK, used()), []);
    assert_eq!(here.close_now(LINK), None, "it has been left to the other end");
    assert_eq!(there.release(LINK), parting(LINK));
    assert_eq!(comes(&mut here, LINK, unused()), [Order::Hangup(LINK)]);
    assert_eq!(there.close_now(LINK), Some(Order::Hangup(LINK)), "if no answer comes");

    // Only one has; the other one goes on with it, and has to end it then.
    open(&mut here, OTHER);
    open(&mut there, OTHER);
    here.lease(OTHER, true, true);
    there.lease(OTHER, false, true);
    assert_eq!(here.release(OTHER), parting(OTHER));
    assert_eq!(comes(&mut there, OTHER, unused()), [Order::Tell(OTHER, used())]);
    assert_eq!(comes(&mut here, OTHER, used()), []);
    here.lease(OTHER, false, true);
    assert_eq!(there.release(OTHER), parting(OTHER));
    assert_eq!(comes(&mut here, OTHER, unused()), [Order::Tell(OTHER, used())]);
    assert_eq!(comes(&mut there, OTHER, used()), []);
    assert_eq!(here.release(OTHER), parting(OTHER));

    // A stock peer would not know what is meant.
    let stock = LinkId(4);
    open(&mut here, stock);
    here.lease(stock, true, false);
    assert_eq!(here.release(stock), [Order::Hangup(stock)]);
}

#[test]
fn who_watches_hears_of_its_own_link_or_session_and_does_not_hold_up_others() {
    let mut board = Board::default();
    let session = board.watch(About::Session("session-1".to_owned()));
    let link = board.watch(About::Link(OTHER));
    let peers = board.watch(About::Peers);
    open(&mut board, LINK);
    open(&mut board, OTHER);
    assert_eq!((session.len(), link.len(), peers.len()), (1, 1, 0));
    for token in 0..100 {
        let (channel, rtt) = (Channel::Stream, std::time::Duration::ZERO);
        board.handle_event(&Event::Pong { link: OTHER, channel, token, rtt });
    }
    assert_eq!(link.len(), LINK_NEWS);
    close(&mut board, OTHER);
    assert!(link.is_closed(), "there was no room to tell, so that it ends is told by its end");
    let why = FailReason::CalledOff;
    board.handle_event(&Event::Failed { link: LINK, peer: "session-1".to_owned(), why });
    assert_eq!(session.len(), 2);
    drop((session, peers));
    board.watch(About::Peers);
    assert_eq!(board.watches.len(), 1, "those that are gone are forgotten");
}

#[test]
fn messages_that_belong_to_no_transfer_wait_for_who_wants_them_within_bounds() {
    let mut board = Board::default();
    open(&mut board, LINK);
    assert_eq!(comes(&mut board, LINK, Bytes::from_static(b"nobody wants it")), []);
    let _wakes = board.begin_receiving(true).unwrap();
    let message = Bytes::from(vec![b'x'; 1000]);
    for _ in 0..100 {
        assert_eq!(comes(&mut board, LINK, message.clone()), []);
    }
    let found = board.take_received(Vec::new());
    assert!(found.text.len() <= MAX_WAITING_TEXT_BYTES && found.text.len() % 1001 == 0);
    assert_eq!(found.text_dropped, 100 - found.text.len() as u64 / 1001);
    assert!(found.data.is_empty() && found.end.is_none());
    board.handle_event(&Event::Data {
        link: LINK,
        channel: Channel::Stream,
        bytes: PipeSender::new().data(b"x"),
    });
    assert_eq!(board.sender(), None, "a transfer comes on the reliable channel");
}
