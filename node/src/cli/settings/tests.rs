use std::fmt::Write;
use std::path::Path;

use clasp_node::limits::{MAX_ICE_SERVERS, MAX_ROUTERS};

use super::docs::help;
use super::*;

const SHIPPED: &str = include_str!("../../../../cross/debian/config.toml");
const TABLE: &str = include_str!("../../../../docs/configuration.md");

/// Flags that say what a command does, not how a node is.
const NO_SETTINGS: [&str; 2] = ["json", "config"];

fn read(text: &str) -> ConfigFile {
    ConfigFile::read(Path::new("config.toml"), text)
}

fn faults(text: &str) -> Vec<String> {
    read(text).faults.iter().map(ToString::to_string).collect()
}

fn parsed(file: &ConfigFile, args: &[&str]) -> ArgMatches {
    with_file(command(), file, "").try_get_matches_from(args).unwrap()
}

#[test]
fn every_flag_of_run_and_router_is_a_setting_and_the_other_way_round() {
    let command = command();
    let of = |name| command.find_subcommand(name).unwrap().get_arguments();
    let mut flags: Vec<_> = of("run")
        .chain(of("router"))
        .chain(command.get_arguments())
        .filter_map(|arg| arg.get_long())
        .collect();
    flags.retain(|flag| !NO_SETTINGS.contains(flag));
    flags.sort_unstable();
    flags.dedup();
    let mut keys = SETTINGS.map(|setting| setting.key);
    keys.sort_unstable();
    assert_eq!(flags, keys);
    for arg in of("run").chain(of("router")).filter(|arg| !NO_SETTINGS.contains(&arg.get_long().unwrap())) {
        assert!(arg.get_env().is_some_and(|env| env.to_string_lossy().starts_with("CLASP_NODE_")), "{arg}");
    }
    assert_eq!((MAX_ROUTERS, MAX_ICE_SERVERS), (4, 4), "the lists' limits; one router is the node's own");
}

#[test]
fn the_shipped_file_is_the_example_and_says_exactly_the_defaults() {
    assert!(
        SHIPPED == example(),
        "`clasp-node config example` prints what cross/debian/config.toml is to be"
    );
    // What has no value by default has an example behind two marks: valid, too.
    for mark in ["#", "##"] {
        let text: String = SHIPPED
            .lines()
            .map(|line| match line.strip_prefix(mark).filter(|line| line.starts_with(char::is_lowercase)) {
                Some(line) => format!("{line}\n"),
                None => format!("{line}\n"),
            })
            .collect();
        let file = read(&text);
        assert_eq!(faults(&text), [""; 0]);
        let wanted = SETTINGS.iter().filter(|setting| setting.otherwise.is_some() == (mark == "##"));
        assert!(wanted.clone().all(|setting| file.entry(setting.key).is_some()), "{text}");
        if mark == "#" {
            let (with, without) = (parsed(&file, &["", "run"]), parsed(&read(""), &["", "run"]));
            let (with, without) = (effective(&with, &file), effective(&without, &read("")));
            for (with, without) in with.iter().zip(&without) {
                let default = without.values.clone().map(|values| values.join(", "));
                let default = default.unwrap_or_else(|| without.setting.default_text());
                let got = with.values.clone().map(|values| values.join(", "));
                let got = got.unwrap_or_else(|| with.setting.default_text());
                assert_eq!(
                    got.trim_matches(['[', ']']),
                    default.trim_matches(['[', ']']),
                    "{}",
                    with.setting.key
                );
            }
        }
    }
    let router = router_lite::Config::default();
    let numbers = [("max-sessions", router.max_sessions()), ("rate", router.rate() as usize)];
    for (key, number) in numbers {
        assert_eq!(SETTINGS.iter().find(|s| s.key == key).unwrap().default, number.to_string());
    }
}

#[test]
fn the_table_in_the_manual_is_that_of_the_settings() {
    let command = command();
    let mut table = String::new();
    for setting in &SETTINGS {
        let Setting { key, env, expected, .. } = setting;
        let (default, help) = (setting.default_text(), help(&command, setting));
        writeln!(table, "| `{key}` | `{env}` | {default} | {expected} | {help} |").unwrap();
    }
    assert!(TABLE.contains(&table), "docs/configuration.md is to have:\n{table}");
}

#[test]
fn every_value_out_of_range_is_told_with_line_field_value_and_range() {
    for (text, want) in [
        ("rate = -1", "rate: -1 is not allowed, expected 0 to 1000000"),
        ("rate = 1.5", "rate: 1.5 is not allowed, expected 0 to 1000000"),
        ("rate = \"5\"", "rate: \"5\" is not allowed, expected 0 to 1000000"),
        ("max-sessions = 0", "max-sessions: 0 is not allowed, expected 1 to 65536"),
        ("udp-port = 65536", "udp-port: 65536 is not allowed, expected 1 to 65535"),
        ("connect-timeout = 121", "connect-timeout: 121 is not allowed, expected 0.1 to 120 (seconds)"),
        ("connect-timeout = nan", "connect-timeout: nan is not allowed, expected 0.1 to 120 (seconds)"),
        ("name = \"\"", "name: \"\" is not allowed, expected text of 1 to 63 bytes"),
        ("trust = \"all\"", "trust: \"all\" is not allowed, expected \"paired\" or \"open\""),
        ("remote = \"no\"", "remote: \"no\" is not allowed, expected \"signaling\" or \"full\""),
        ("loopback = 1", "loopback: 1 is not allowed, expected true or false"),
        (
            "bind = [\"here\"]",
            "bind: [\"here\"] is not allowed, expected up to 8 addresses, \"ADDRESS:PORT\"",
        ),
        ("turn-only = true", "turn-only: true is not allowed, expected false without a TURN server (turn)"),
        ("turn = [\"a\"]", "turn: servers without a user is not allowed, expected turn-user"),
        ("max-session = 5", "\"max-session\": no such setting; is it max-sessions?"),
        ("xyzzy = 5", "\"xyzzy\": no such setting"),
    ] {
        assert_eq!(faults(&format!("# first\n{text}\n")), [format!("config.toml:2: {want}")]);
    }
    for share in [
        "\"/s/**\"",
        "{ pattern = \"/s/**\", with = \"*\", mode = \"publish\" }",
        "{ prefix = \"/peer/kitchen\", pattern = \"/s/*\", with = \"kitchen\" }, \"/t;mode=both\"",
    ] {
        assert_eq!(faults(&format!("share = [{share}]")), [""; 0], "{share}");
    }
    for share in [
        "\"s\"",
        "{ with = \"*\" }",
        "{ pattern = \"/s\", mode = \"push\" }",
        "{ pattern = \"/s;x=1\" }",
        "[]",
        "5",
    ] {
        let told = faults(&format!("share = [{share}]"));
        assert!(told.len() == 1 && told[0].starts_with("config.toml:1: share: "), "{share}: {told:?}");
    }
    for text in ["rate = 0", "connect-timeout = 0.1", "router = [\"ws://a:1\"]", "stun = [\"a\", \"b:1\"]"] {
        assert_eq!(faults(text), [""; 0]);
    }
}

#[test]
fn no_text_makes_the_reader_panic() {
    const PIECES: [&str; 16] = [
        "rate",
        " = ",
        "1",
        "\n",
        "[",
        "]",
        "\"",
        "'",
        "{",
        "}",
        ".",
        "é",
        "\0",
        "bind",
        "#",
        "turn = [\"a\", ",
    ];
    let mut state = 1_u64;
    for _ in 0..500 {
        let text: String = (0..20)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                PIECES[(state >> 60) as usize]
            })
            .collect();
        let file = read(&text);
        assert!(file.faults.iter().all(|fault| !fault.to_string().is_empty()), "{text}");
    }
    assert!(!faults(&"[".repeat(60_000)).is_empty(), "nested deeply");
    assert!(!faults(&format!("bind = {}", "[".repeat(60_000))).is_empty());
}
