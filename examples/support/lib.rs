//! What the examples share.

use std::io::Write;

/// Prints a line; an example whose output nobody wants any more ends.
///
/// # Errors
/// When standard output is closed.
pub fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
