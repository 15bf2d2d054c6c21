//! Owns: what the helper programs of the interoperability tests share. Does not own: any CLASP logic.

pub mod line;
