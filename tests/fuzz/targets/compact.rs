//! Any bytes as a frame, and any bytes as a compact payload.
#![no_main]

use clasp_fuzz::reads_the_same_again;
use clasp_wire::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok((header, message)) = Message::decode_compact(data) {
        assert!(usize::from(header.payload_len) <= data.len());
        reads_the_same_again(&message);
    }
    match Message::decode_payload(data) {
        Ok(message) => reads_the_same_again(&message),
        Err(error) => assert!(error.offset <= data.len(), "{error}"),
    }
});
