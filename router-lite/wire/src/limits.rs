//! Every bound of the wire format, with its reason.

/// Largest payload of one frame: the header's length field is a `u16`.
pub const MAX_PAYLOAD_BYTES: usize = u16::MAX as usize;

/// Largest header: magic, flags, length, and the optional 8-byte timestamp.
pub const MAX_HEADER_BYTES: usize = 12;

/// Largest frame.
pub const MAX_FRAME_BYTES: usize = MAX_HEADER_BYTES + MAX_PAYLOAD_BYTES;

/// How deep arrays, maps and bundles may nest.
///
/// The deepest stock message (a P2P announce) needs 2. A decoder without a limit can be killed by one small
/// frame of nested arrays.
pub const MAX_DEPTH: usize = 32;

/// Longest address or pattern we route. The format itself allows any string that fits the frame; stock
/// addresses stay below 100 bytes.
pub const MAX_ADDRESS_BYTES: usize = 1024;

/// Most segments in an address or pattern, so that `**` matching stays cheap.
pub const MAX_SEGMENTS: usize = 32;

const _: () = assert!(MAX_ADDRESS_BYTES < MAX_PAYLOAD_BYTES && MAX_DEPTH < 256);
