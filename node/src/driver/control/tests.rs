use std::io::{BufRead, BufReader as StdReader, Read, Write};

use serde_json::{Value, json};

use super::*;
use crate::driver::logs::{LogLine, LogRing};
use crate::driver::{Loopback, NodeBuilder, RouterUrl};
use crate::limits::{CONTROL_DEADLINE, MAX_CONTROL_REQUEST_BYTES, MAX_CONTROL_STREAMS};

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
        let ring = std::sync::Arc::new(LogRing::default());
        ring.push(LogLine { unix_ms: 1, level: "INFO", target: "t".to_owned(), text: "up".to_owned() });
        let service = Service::new(running.handle.clone(), executor.clone()).with_logs(ring.clone());
        let serving = executor.spawn(control.serve(service.clone(), executor.clone()));
        let pumping = executor.spawn(async move {
            while let Some(event) = running.events.next().await {
                service.handle_event(&event);
            }
        });
        let talked = smol::unblock(move || talk(path)).await;
        serving.cancel().await;
        pumping.cancel().await;
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

/// Asks, and reads what is told until the last line.
fn told(stream: &mut StdReader<UnixStream>, request: &Value) -> Vec<Value> {
    stream.get_mut().write_all(format!("{request}\n").as_bytes()).unwrap();
    let mut told = Vec::new();
    loop {
        told.push(read(stream));
        if told.last().unwrap().get("event").is_none() {
            return told;
        }
    }
}

#[test]
fn peers_are_listed_and_one_that_is_not_there_is_waited_for_no_longer_than_asked() {
    with_node("peers", |path| {
        assert_eq!(told(&mut connect(&path), &json!({"cmd": "peers"})), [json!({"ok": []})]);
        for cmd in ["ping", "send"] {
            let request = json!({"cmd": cmd, "peer": "nobody", "count": 1, "wait_ms": 50});
            let told = told(&mut connect(&path), &request);
            assert!(told[0]["error"].as_str().unwrap().contains("no peer called \"nobody\" within 50ms"));
        }
    });
}

#[test]
fn one_command_receives_and_its_place_is_free_when_it_is_gone() {
    with_node("receives", |path| {
        let receive = |stream: &mut StdReader<UnixStream>| {
            stream.get_mut().write_all(b"{\"cmd\":\"recv\"}\n").unwrap();
            read(stream)
        };
        let mut first = connect(&path);
        assert_eq!(receive(&mut first)["event"], "waiting");
        let second = receive(&mut connect(&path));
        assert!(second["error"].as_str().unwrap().contains("another `clasp-node recv`"), "{second}");
        drop(first);
        // Its end is noticed in its turn.
        let again = (0..1000).map(|_| receive(&mut connect(&path))).find(|told| told.get("event").is_some());
        assert_eq!(again.unwrap()["event"], "waiting");
    });
}

#[test]
fn commands_that_last_leave_room_for_others() {
    with_node("lasting", |path| {
        let follow = json!({"cmd": "logs", "follow": true});
        let follows: Vec<_> = (0..MAX_CONTROL_STREAMS)
            .map(|_| {
                let mut stream = connect(&path);
                stream.get_mut().write_all(format!("{follow}\n").as_bytes()).unwrap();
                assert_eq!(read(&mut stream)["line"]["text"], "up");
                stream
            })
            .collect();
        let surplus = told(&mut connect(&path), &follow);
        assert!(surplus[0]["error"].as_str().unwrap().contains("8 commands are at work"), "{surplus:?}");
        let status = told(&mut connect(&path), &json!({"cmd": "status"}));
        assert_eq!(status[0]["ok"]["name"], "asked");
        drop(follows);
    });
}

#[test]
fn the_log_is_told_and_then_the_end_of_it() {
    with_node("log", |path| {
        let told = told(&mut connect(&path), &json!({"cmd": "logs"}));
        assert_eq!(told[0]["line"], json!({"unix_ms": 1, "level": "INFO", "target": "t", "text": "up"}));
        assert_eq!(told[1], json!({"ok": {}}));
    });
}
