//! What is shared between two paired devices, and what `status` and `/metrics` tell of it.

use super::pair::{Device, state};
use super::{Running, run, scraped, text, until};

const SHARE: [&str; 2] = ["--share", "/s/**"];

#[test]
fn a_value_reaches_the_other_device_and_status_and_metrics_tell_so() {
    let [kitchen_state, garden_state] = ["share-kitchen", "share-garden"].map(state);
    let kitchen = Device::start_with("share-kitchen", &kitchen_state, &[], &SHARE);
    let garden = Device::start_with("share-garden", &garden_state, &[&kitchen.url], &SHARE);
    assert!(table(&kitchen).contains("nothing is shared now"), "{}", table(&kitchen));
    kitchen.knows(&kitchen.url, "share-garden");
    let (_shows, code) = kitchen.show();
    until(|| garden.types("share-kitchen", &code).status.success().then_some(()));

    let display = Running::start(&["sub", "/s/temp", "-c", "1", "--router", &garden.url]);
    let shown = until(|| Some(table(&kitchen)).filter(|table| table.contains("/s/temp")));
    let row = shown.lines().skip_while(|line| !line.starts_with("SHARED WITH")).nth(1).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!((cells[0], &cells[2..]), ("share-garden", &["/s/temp", "-", "0", "B"][..]), "{shown}");

    let set = run(&["set", "/s/temp", "21.5", "--router", &kitchen.url]);
    assert!(set.status.success(), "{}", text(&set.stderr));
    assert_eq!(display.line(), "/s/temp\t21.5");
    assert!(table(&kitchen).contains("shared so far: 1 sent, 0 received\n"), "{}", table(&kitchen));
    assert!(table(&garden).contains("shared so far: 0 sent, 1 received\n"), "{}", table(&garden));
    assert_eq!(display.status(), Some(0));
    for (device, way, other) in [(&kitchen, "sent", "received"), (&garden, "received", "sent")] {
        let told = |name: &str| scraped(&device.url, &format!("clasp_node_shared_{name}"));
        assert_eq!(told("links"), Some(1.0));
        assert_eq!(told(&format!("{way}_messages_total")), Some(1.0));
        assert_eq!(told(&format!("{other}_messages_total")), Some(0.0));
        assert_eq!(told("waiting_messages"), Some(0.0));
    }
    garden.stop();
    kitchen.stop();
    for state in [kitchen_state, garden_state] {
        std::fs::remove_dir_all(state).unwrap();
    }
}

/// What `status` shows people.
fn table(device: &Device) -> String {
    let status = device.ask(&["status"]);
    assert!(status.status.success(), "{}", text(&status.stderr));
    text(&status.stdout).to_owned()
}
