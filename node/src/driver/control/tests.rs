use std::io::{BufRead, BufReader as StdReader, Read, Write};

use super::*;
use crate::driver::{Loopback, NodeBuilder, RouterUrl};

/// A path of its own for each test.
fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("clasp-node-control-{}-{name}.sock", std::process::id()))
}

/// The lock stays behind on purpose, so that nobody can take it twice.
fn tidy(path: &Path) {
    std::fs::remove_file(format!("{}.lock", path.display())).unwrap();
}

/// Runs `talk` on a thread, against a node whose control socket is at the path it is given.
fn with_node<T: Send + 'static>(name: &str, talk: impl FnOnce(PathBuf) -> T + Send + 'static) -> T {
    let executor = Rc::new(LocalExecutor::new());
    let path = path(name);
    smol::block_on(executor.clone().run(async {
        let control = Control::bind(&Place::Given(path.clone())).unwrap();
        let at = path.clone();
        let nobody: RouterUrl = "ws://127.0.0.1:1".parse().unwrap();
        let builder = NodeBuilder::new().name("asked").router(nobody).loopback(Loopback::Only);
        let running = builder.start(&executor).await.unwrap();
        let serving = executor.spawn(control.serve(running.handle.clone(), executor.clone()));
        let talked = smol::unblock(move || talk(path)).await;
        serving.cancel().await;
        running.handle.shutdown().await;
        assert!(!at.exists(), "removed with the node");
        tidy(&at);
        talked
    }))
}

fn connect(path: &Path) -> StdReader<UnixStream> {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(CONTROL_DEADLINE * 4)).unwrap();
    StdReader::new(stream)
}

fn read(stream: &mut StdReader<UnixStream>) -> Value {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

#[test]
fn questions_are_answered_one_after_the_other_and_nonsense_is_told() {
    with_node("questions", |path| {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut stream = connect(&path);
        for (question, want) in [
            ("{\"cmd\":\"status\"}\n", ""),
            ("{\"cmd\":\"fly\"}\n", "unknown variant `fly`"),
            ("{}\n", "missing field `cmd`"),
            ("\n", "not a request"),
            ("[1,2\n", "not a request"),
            ("{\"cmd\":\"status\"}\n", ""),
        ] {
            stream.get_mut().write_all(question.as_bytes()).unwrap();
            let answer = read(&mut stream);
            if want.is_empty() {
                assert_eq!(answer["ok"]["name"], "asked", "{answer}");
                assert_eq!(answer["ok"]["routers"][0]["url"], "ws://127.0.0.1:1/");
                assert_eq!(answer["ok"]["pid"], std::process::id());
            } else {
                assert!(answer["error"].as_str().unwrap().contains(want), "{question}: {answer}");
            }
        }
    });
}

#[test]
fn an_endless_request_is_cut_off() {
    with_node("endless", |path| {
        let mut stream = connect(&path);
        stream.get_mut().write_all(&vec![b' '; MAX_CONTROL_REQUEST_BYTES]).unwrap();
        assert!(read(&mut stream)["error"].as_str().unwrap().contains("at most 4096 bytes"));
        let mut rest = Vec::new();
        assert_eq!(stream.read_to_end(&mut rest).unwrap(), 0, "and then closed");
    });
}

#[test]
fn who_asks_nothing_takes_a_place_only_for_a_while() {
    with_node("silent", |path| {
        let silent: Vec<_> = (0..MAX_CONTROL_CONNECTIONS).map(|_| connect(&path)).collect();
        let mut surplus = connect(&path);
        assert!(read(&mut surplus)["error"].as_str().unwrap().contains("already"));
        for mut stream in silent {
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed after the deadline");
        }
        let mut stream = connect(&path);
        stream.get_mut().write_all(b"{\"cmd\":\"status\"}\n").unwrap();
        assert!(read(&mut stream).get("ok").is_some());
    });
}

#[test]
fn a_living_nodes_socket_is_left_alone_and_a_dead_ones_is_replaced() {
    let path = path("stale");
    let place = Place::Given(path.clone());
    smol::block_on(async {
        let living = Control::bind(&place).unwrap();
        assert!(matches!(Control::bind(&place), Err(ControlError::InUse(at)) if at == path));
        drop(living);
        assert!(!path.exists());
        assert!(matches!(ask(&place, &json!({})).await, Err(AskError::NotRunning(_))));

        // What a process leaves that was killed: a socket nobody listens on.
        drop(UnixListener::bind(&path).unwrap());
        assert!(matches!(ask(&place, &json!({})).await, Err(AskError::NotRunning(_))));
        drop(Control::bind(&place).unwrap());

        // A program that knows nothing of our lock.
        let foreign = UnixListener::bind(&path).unwrap();
        assert!(matches!(Control::bind(&place), Err(ControlError::InUse(_))));
        drop(foreign);
        std::fs::remove_file(&path).unwrap();

        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(Control::bind(&place), Err(ControlError::NotASocket(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
        tidy(&path);
    });
}
