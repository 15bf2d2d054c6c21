use super::*;

fn frame(len: usize) -> Bytes {
    Bytes::from(vec![0x53; len])
}

fn outbox() -> Outbox {
    Outbox::new(false)
}

#[test]
fn frames_leave_in_the_order_they_came() {
    let mut outbox = outbox();
    for i in 0..100u8 {
        let class = if i % 3 == 0 { Class::Stream } else { Class::Reliable };
        assert_eq!(outbox.push(Bytes::from(vec![i]), class), Ok(Dropped(0)));
    }
    let order: Vec<u8> = std::iter::from_fn(|| outbox.pop(usize::MAX)).map(|f| f[0]).collect();
    assert_eq!(order, (0..100).collect::<Vec<u8>>());
    assert_eq!((outbox.len(), outbox.bytes(), outbox.streams), (0, 0, 0));
}

#[test]
fn the_257th_frame_finds_no_room() {
    let mut outbox = outbox();
    for _ in 0..OUTBOX_FRAMES {
        assert_eq!(outbox.push(frame(1), Class::Reliable), Ok(Dropped(0)));
    }
    assert_eq!(outbox.push(frame(1), Class::Reliable), Err(Full(frame(1))));
    assert!(outbox.pop(1).is_some());
    assert_eq!(outbox.push(frame(1), Class::Reliable), Ok(Dropped(0)));
}

#[test]
fn more_than_256_kib_find_no_room_however_few_frames() {
    let mut outbox = outbox();
    for _ in 0..4 {
        assert_eq!(outbox.push(frame(OUTBOX_BYTES / 4), Class::Reliable), Ok(Dropped(0)));
    }
    assert_eq!(outbox.push(frame(1), Class::Reliable), Err(Full(frame(1))));
}

#[test]
fn old_stream_frames_give_way_and_nothing_else_does() {
    let mut outbox = outbox();
    for i in 0..OUTBOX_FRAMES {
        let (len, class) = if i % 2 == 0 { (2, Class::Stream) } else { (1, Class::Reliable) };
        assert_eq!(outbox.push(frame(len), class), Ok(Dropped(0)));
    }
    // 128 stream frames make room for 128 frames of any kind, the oldest first.
    assert_eq!(outbox.push(frame(3), Class::Stream), Ok(Dropped(1)));
    assert_eq!(outbox.frames[0].0.len(), 1, "the very first stream frame is gone");
    for _ in 0..128 {
        assert_eq!(outbox.push(frame(1), Class::Reliable), Ok(Dropped(1)));
    }
    assert_eq!(outbox.push(frame(1), Class::Reliable), Err(Full(frame(1))));
    assert_eq!(outbox.streams, 0, "the newest stream frame went last, but it went");
}

#[test]
fn a_stream_frame_that_finds_only_reliable_ones_is_dropped_itself() {
    let mut outbox = outbox();
    for _ in 0..OUTBOX_FRAMES {
        assert_eq!(outbox.push(frame(1), Class::Reliable), Ok(Dropped(0)));
    }
    assert_eq!(outbox.push(frame(1), Class::Stream), Ok(Dropped(1)));
    assert_eq!(outbox.len(), OUTBOX_FRAMES);
}

#[test]
fn the_driver_is_told_once_and_once_more_when_it_gets_urgent() {
    let mut outbox = outbox();
    assert_eq!(outbox.tell(), None);
    let mut told = vec![];
    for i in 0..OUTBOX_FRAMES {
        assert_eq!(outbox.push(frame(1), Class::Reliable), Ok(Dropped(0)));
        told.extend(outbox.tell().map(|urgent| (i + 1, urgent)));
    }
    assert_eq!(told, [(1, false), (OUTBOX_HIGH_WATER_FRAMES, true)]);
    while outbox.pop(usize::MAX).is_some() {}
    assert_eq!(outbox.push(frame(OUTBOX_HIGH_WATER_BYTES), Class::Reliable), Ok(Dropped(0)));
    assert_eq!(outbox.tell(), Some(true));
}

#[test]
fn a_drained_outbox_keeps_no_memory_of_a_burst() {
    let mut outbox = outbox();
    for _ in 0..OUTBOX_FRAMES {
        assert_eq!(outbox.push(frame(1), Class::Reliable), Ok(Dropped(0)));
    }
    while outbox.pop(usize::MAX).is_some() {}
    assert!(outbox.frames.capacity() <= OUTBOX_IDLE_FRAMES);
    outbox.shrink();
    assert_eq!(outbox.frames.capacity(), 0);
}

#[test]
fn a_frame_larger_than_asked_for_stays() {
    let mut outbox = outbox();
    assert_eq!(outbox.push(frame(10), Class::Reliable), Ok(Dropped(0)));
    assert_eq!(outbox.pop(9), None);
    assert_eq!(outbox.pop(10), Some(frame(10)));
}
