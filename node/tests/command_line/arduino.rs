//! The bytes in `examples/arduino.md`, sent to a router as they stand there.

use std::net::TcpStream;

use async_tungstenite::tungstenite::client::{IntoClientRequest, client};
use async_tungstenite::tungstenite::{Message, WebSocket};
use data_encoding::HEXUPPER_PERMISSIVE;

use super::{DEADLINE, Running, program, run, socket, text, until};

const NOTE: &str = include_str!("../../../examples/arduino.md");

/// What the note shows after this heading.
fn shown(heading: &str) -> Vec<u8> {
    let after = NOTE.split_once(heading).unwrap_or_else(|| panic!("{heading} is in the note")).1;
    let block = after.split_once("```text\n").unwrap().1.split_once("```").unwrap().0;
    let digits: String = block.split_whitespace().collect();
    HEXUPPER_PERMISSIVE.decode(digits.as_bytes()).unwrap()
}

/// The next message of this kind, the fifth byte.
fn next(socket: &mut WebSocket<TcpStream>, kind: u8) -> Vec<u8> {
    loop {
        match socket.read().unwrap() {
            Message::Binary(frame) if frame.get(4) == Some(&kind) => return frame.to_vec(),
            Message::Close(why) => panic!("no {kind:02X} before the end: {why:?}"),
            _ => {}
        }
    }
}

#[test]
fn a_router_understands_the_bytes_of_the_note_and_answers_with_those_it_shows() {
    let state = format!("{}/arduino-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let scopes = ["--scope", "write:/sensors/outdoor", "--scope", "read:/actuators/*"];
    for scope in [scopes[1], scopes[3]] {
        assert!(NOTE.contains(&format!("--scope '{scope}'")), "{scope} is in the note");
    }
    let mut add = program();
    // Not to a node that another test runs.
    let nowhere = socket("arduino-nowhere");
    add.args(["token", "add", "esp32", "--state-dir", &state, "--control", &nowhere]).args(scopes);
    let added = add.output().unwrap();
    assert!(added.status.success(), "{}", text(&added.stderr));
    let token = text(&added.stdout).trim().as_bytes().to_vec();

    let router = Running::start(&["router", "--bind", "127.0.0.1:0", "--state-dir", &state]);
    let line = router.line();
    let url = line.strip_prefix("listening on ").unwrap();
    let stream = TcpStream::connect(url.strip_prefix("ws://").unwrap()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "clasp".parse().unwrap());
    let (mut socket, _) = client(request, stream).unwrap();

    let mut hello = shown("**HELLO**");
    let at = hello.windows(5).position(|bytes| bytes == b"cpsk_").unwrap();
    assert_eq!(hello.len() - at, token.len(), "as long as a token is");
    hello.splice(at.., token);
    socket.send(Message::Binary(hello.into())).unwrap();
    next(&mut socket, 0x02);

    socket.send(Message::Binary(shown("**SUBSCRIBE**").into())).unwrap();
    socket.send(Message::Binary(shown("**SET**").into())).unwrap();
    until(|| {
        let got = run(&["get", "/sensors/outdoor", "--router", url]);
        (text(&got.stdout) == "21.5\n").then_some(())
    });
    let set = run(&["set", "/actuators/fan", "true", "--router", url]);
    assert!(set.status.success(), "{}", text(&set.stderr));
    let came = next(&mut socket, 0x21);
    assert_eq!(came, shown("**arrives**"));
    assert_eq!(came.get(22), Some(&1), "the value is where the sketch reads it");
    std::fs::remove_dir_all(state).unwrap();
}
