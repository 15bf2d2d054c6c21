//! Any bytes as the payload of a frame in either form; the seeds are MessagePack.
#![no_main]

use clasp_fuzz::{frame, reads_the_same_again};
use clasp_wire::{Message, limits::MAX_PAYLOAD_BYTES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(frame) = frame(data) else { return };
    let mut scratch = Vec::new();
    let read = Message::decode(&frame, &mut scratch).map(|(_, message)| reads_the_same_again(&message));
    if let Err(error) = read {
        assert!(error.offset <= frame.len(), "{error}");
    }
    assert!(scratch.len() <= 2 * MAX_PAYLOAD_BYTES, "{} bytes of scratch", scratch.len());
});
