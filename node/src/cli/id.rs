//! `clasp-node id`: who this device is.

use std::io::IsTerminal;

use clasp_node::Identity;
use clasp_node::driver::store::{Access, State};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::json;

use super::client::host_name;
use super::status::view::Storage;
use super::{Failure, IdArgs, output};

/// Black on white, whatever the terminal's own colours are: half of the readers take no code that is white on black.
const COLOURS: (&str, &str) = ("\x1b[30;107m", "\x1b[0m");

pub(super) fn run(args: IdArgs) -> Result<(), Failure> {
    let State { identity, store, .. } = args.state.open(Access::Read)?;
    let (id, fingerprint) = (identity.id(), colons(identity.fingerprint()));
    let name = args.name.unwrap_or_else(host_name);
    let storage = store.storage();
    if args.json {
        let public_key = hex(&identity.public_key());
        let (directory, stored, why) = (&storage.directory, storage.identity_stored, &storage.why);
        output::object(&json!({
            "id": id, "name": name, "fingerprint": fingerprint, "public_key": public_key,
            "state_dir": directory, "stored": stored, "why": why,
        }))?;
        return Ok(());
    }
    let state =
        Storage { directory: storage.directory, identity_stored: storage.identity_stored, why: storage.why };
    output::line(&format!("id           {id}"))?;
    output::line(&format!("fingerprint  {fingerprint}"))?;
    output::line(&format!("name         {name}"))?;
    output::line(&format!("state        {state}"))?;
    let is_terminal = std::io::stdout().is_terminal();
    if args.qr || is_terminal {
        output::line("")?;
        show(&text(&identity))?;
    }
    Ok(())
}

/// Draws a QR code on standard output.
pub(super) fn show(text: &str) -> Result<(), Failure> {
    let is_terminal = std::io::stdout().is_terminal();
    qr(text)?.iter().try_for_each(|row| match is_terminal {
        true => output::line(&format!("{}{row}{}", COLOURS.0, COLOURS.1)),
        false => output::line(row),
    })?;
    Ok(())
}

/// What tells another device who this one is. There is nothing secret in it.
fn text(identity: &Identity) -> String {
    format!("clasp:id?v=1&id={}&fp={}", identity.id(), hex(identity.fingerprint()))
}

fn qr(text: &str) -> Result<Vec<String>, Failure> {
    // A screen has no stains: the lowest level, for the smallest code.
    let code = QrCode::with_error_correction_level(text, EcLevel::L)?;
    let drawn = code.render::<Dense1x2>().quiet_zone(true).build();
    Ok(drawn.lines().map(str::to_owned).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As in SDP (RFC 8122 §5).
fn colons(bytes: &[u8]) -> String {
    let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn the_code_has_a_quiet_zone_and_three_corners_to_find_it_by() {
        let identity = Identity::generate(&mut StdRng::from_seed([1; 32])).unwrap();
        let rows: Vec<Vec<char>> =
            qr(&text(&identity)).unwrap().iter().map(|row| row.chars().collect()).collect();
        let width = rows[0].len();
        assert!((40..60).contains(&width) && rows.iter().all(|row| row.len() == width), "{width}");
        let is_dark = |x: usize, y: usize| match (rows[y / 2][x], y % 2) {
            ('█', _) | ('▀', 0) | ('▄', 1) => true,
            (' ' | '▀' | '▄', _) => false,
            (other, _) => panic!("{other:?}"),
        };
        let edge = (0..width).flat_map(|at| (0..4).map(move |near| (at, near)));
        assert!(edge.clone().all(|(at, near)| !is_dark(at, near) && !is_dark(near, at)));
        assert!(
            edge.clone().all(|(at, near)| !is_dark(at, width - 1 - near) && !is_dark(width - 1 - near, at))
        );
        let far = width - 4 - 7;
        for (x, y) in [(4, 4), (far, 4), (4, far)] {
            let middle: Vec<_> = (0..7).map(|step| is_dark(x + step, y + 3)).collect();
            assert_eq!(middle, [true, false, true, true, true, false, true], "at {x}, {y}");
        }
        let middle: Vec<_> = (0..7).map(|step| is_dark(far + step, far + 3)).collect();
        assert_ne!(middle, [true, false, true, true, true, false, true], "the fourth corner holds data");
    }

    #[test]
    fn a_fingerprint_is_written_as_in_sdp() {
        assert_eq!(colons(&[0x0A, 0xFF, 0]), "0A:FF:00");
    }
}
