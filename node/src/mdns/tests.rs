use simple_dns::ResourceRecord;
use simple_dns::rdata::{A, AAAA, NSEC};

use super::*;
use crate::clock_for_tests::start;

const NAME: &str = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local";
const RESPONDER: &str = "192.0.2.9:5353";

fn secs(seconds: f32) -> Duration {
    Duration::from_secs_f32(seconds)
}

fn drain(resolver: &mut Resolver) -> Vec<ResolverOutput> {
    std::iter::from_fn(|| resolver.poll_output()).collect()
}

/// One that has asked for the name.
fn asking() -> Resolver {
    let mut resolver = Resolver::new(start());
    resolver.ask(start(), NAME);
    assert_eq!(drain(&mut resolver).len(), 2);
    resolver
}

fn hear(resolver: &mut Resolver, message: &[u8]) -> Vec<ResolverOutput> {
    resolver.handle_answer(RESPONDER.parse().unwrap(), message);
    drain(resolver)
}

fn record<'a>(name: &'a str, ip: &str) -> ResourceRecord<'a> {
    let rdata = match ip.parse().unwrap() {
        IpAddr::V4(ip) => RData::A(A { address: ip.into() }),
        IpAddr::V6(ip) => RData::AAAA(AAAA { address: ip.into() }),
    };
    ResourceRecord::new(Name::new(name).unwrap(), CLASS::IN, 120, rdata)
}

fn answer(records: &[ResourceRecord<'_>]) -> Vec<u8> {
    let mut packet = Packet::new_reply(0);
    packet.answers = records.to_vec();
    packet.build_bytes_vec_compressed().unwrap()
}

fn found(name: &str, ips: &[&str]) -> Vec<ResolverOutput> {
    let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
    vec![ResolverOutput::Resolved(name.to_owned(), Ok(ips)), ResolverOutput::Done]
}

#[test]
fn a_name_is_asked_for_three_times_and_then_given_up() {
    let now = start();
    let mut resolver = Resolver::new(now);
    assert_eq!((resolver.wake(), drain(&mut resolver)), (None, vec![]));
    resolver.ask(now, NAME);
    for (after, why) in [(1.0, "again"), (3.0, "again"), (5.0, "given up")] {
        let queries = drain(&mut resolver);
        assert_eq!(queries.len(), 2, "before {after} s");
        for (query, kind) in queries.iter().zip([1, 28]) {
            // One question, of class IN without the unicast bit, to responders that understand nothing else; id 0.
            let ResolverOutput::Query(query) = query else { panic!("{query:?}") };
            let want = [
                &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 36],
                &NAME.as_bytes()[..36],
                b"\x05local\0",
                &[0, kind, 0, 1],
            ];
            assert_eq!(query, &want.concat());
        }
        let at = now + secs(after);
        assert_eq!(resolver.wake().map(|wake| wake.at), Some(at), "{why}");
        resolver.handle_timeout(at - secs(0.001));
        assert_eq!(drain(&mut resolver), [], "before {after} s");
        resolver.handle_timeout(at);
    }
    let unresolved = ResolverOutput::Resolved(NAME.to_owned(), Err(Unresolved::NoAnswer));
    assert_eq!(drain(&mut resolver), [unresolved, ResolverOutput::Done]);
    assert_eq!(resolver.wake(), None);
}

#[test]
fn an_answer_tells_every_address_of_the_name_and_ends_the_asking() {
    let other = record("printer.local", "192.0.2.77");
    let nsec = RData::NSEC(NSEC { next_name: Name::new(NAME).unwrap(), type_bit_maps: vec![] });
    let nsec = ResourceRecord::new(Name::new(NAME).unwrap(), CLASS::IN, 120, nsec);
    let upper = NAME.to_ascii_uppercase();
    let flushing = record(NAME, "192.0.2.9").with_cache_flush(true);
    let twice = [record(NAME, "192.0.2.9"), record(&upper, "2001:db8::9"), record(NAME, "192.0.2.9")];
    let cases: [(&[ResourceRecord<'_>], &[&str]); 4] = [
        (&[record(NAME, "192.0.2.9")], &["192.0.2.9"]),
        (&[flushing, nsec], &["192.0.2.9"]),
        (&twice, &["192.0.2.9", "2001:db8::9"]),
        (&[other, record(NAME, "fe80::9")], &["fe80::9"]),
    ];
    for (records, want) in cases {
        let mut resolver = asking();
        assert_eq!(hear(&mut resolver, &answer(records)), found(NAME, want));
        assert_eq!((resolver.wake(), hear(&mut resolver, &answer(records))), (None, vec![]), "once");
    }
    let mut resolver = asking();
    let mut packet = Packet::new_reply(7); // as a legacy answer has it: the question again, and perhaps not our id
    packet.questions.push(Question::new(Name::new(NAME).unwrap(), TYPE::A.into(), CLASS::IN.into(), false));
    packet.additional_records.push(record(NAME, "192.0.2.9"));
    assert_eq!(hear(&mut resolver, &packet.build_bytes_vec().unwrap()), found(NAME, &["192.0.2.9"]));
}

#[test]
fn what_answers_no_question_of_ours_changes_nothing() {
    let good = record(NAME, "192.0.2.9");
    let mut query = Packet::new_query(0);
    query.answers.push(good.clone()); // known answers of somebody who asks
    let gone = ResourceRecord { ttl: 0, ..good.clone() };
    let chaos = ResourceRecord { class: CLASS::CH, ..good.clone() };
    let longer = format!("x.{NAME}");
    let escaped = NAME.replace('.', "\\.");
    let cases = [
        query.build_bytes_vec().unwrap(),
        answer(&[]),
        answer(&[gone]),
        answer(&[chaos]),
        answer(&[record("2f4712db-ea17-4bcf-a596-105139dfd8bf.local", "192.0.2.9")]),
        answer(&[record(&longer, "192.0.2.9")]),
        answer(&[record(&escaped, "192.0.2.9")]),
        answer(&[record("local", "192.0.2.9")]),
    ];
    let mut resolver = asking();
    for message in cases {
        assert_eq!(hear(&mut resolver, &message), [], "{message:?}");
    }
    for source in ["192.0.2.9:5354", "[2001:db8::1]:53"] {
        resolver.handle_answer(source.parse().unwrap(), &answer(std::slice::from_ref(&good)));
        assert_eq!(drain(&mut resolver), [], "{source}");
    }
    assert_eq!(hear(&mut resolver, &answer(&[good])), found(NAME, &["192.0.2.9"]), "still asking");
}

#[test]
fn no_message_does_harm() {
    let good = answer(&[record(NAME, "192.0.2.9"), record(NAME, "2001:db8::9")]);
    for len in 0..good.len() {
        assert_eq!(hear(&mut asking(), &good[..len]), [], "cut after {len}");
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut broken = good.clone();
            broken[at] ^= 1 << bit;
            let told = hear(&mut asking(), &broken);
            assert!(told.len() <= 2, "{told:?}");
        }
    }
    let head = |answers: u16| [&[0, 0, 0x84, 0, 0, 0][..], &answers.to_be_bytes(), &[0; 4]].concat();
    let loops = [head(1), vec![0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]].concat();
    let forward = [head(1), vec![0xc0, 200, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]].concat();
    let counted = [head(u16::MAX), vec![0; 100]].concat();
    let mut padded = good.clone();
    padded.resize(MAX_MDNS_MESSAGE_BYTES + 1, 0);
    for message in [loops, forward, counted, padded, vec![0xff; 1500], vec![0; 65_535]] {
        assert_eq!(hear(&mut asking(), &message), []);
    }
    // As many addresses as fit into a message.
    let ips: Vec<_> = (0..90).map(|n| format!("192.0.2.{n}")).collect();
    let many: Vec<_> = ips.iter().map(|ip| record(NAME, ip)).collect();
    let message = answer(&many);
    assert!(message.len() <= MAX_MDNS_MESSAGE_BYTES);
    let want: Vec<_> = ips.iter().map(String::as_str).take(MAX_ADDRESSES_PER_NAME).collect();
    assert_eq!(hear(&mut asking(), &message), found(NAME, &want));
}

#[test]
fn names_are_asked_for_a_few_at_once_and_a_few_per_second() {
    let mut now = start();
    let mut resolver = Resolver::new(now);
    let name = |n: usize| format!("n{n}.local");
    for n in 0..MAX_NAMES_ASKED {
        resolver.ask(now, &name(n));
        resolver.ask(now, &name(n).to_uppercase()); // asked already
    }
    assert_eq!(drain(&mut resolver).len(), 2 * MAX_NAMES_ASKED);
    let refused = |n| ResolverOutput::Resolved(name(n), Err(Unresolved::TooMany));
    now += secs(1.0);
    resolver.ask(now, &name(16));
    assert_eq!(drain(&mut resolver), [refused(16)], "no more at once");
    resolver.retain(|_| false);
    assert_eq!(drain(&mut resolver), [ResolverOutput::Done]);
    let asked = (17..100)
        .filter(|n| {
            resolver.ask(now, &name(*n));
            drain(&mut resolver).len() == 2
        })
        .count();
    assert_eq!(asked, NAMES_PER_SECOND as usize, "no more per second");
}

#[test]
fn only_what_browsers_make_up_is_a_name() {
    let longest = format!("{}.local", "x".repeat(63));
    for name in [NAME, "a.local", "A_b-9.LOCAL", &longest] {
        assert!(is_name(name), "{name}");
    }
    let longer = format!("{}.local", "x".repeat(64));
    let dots = "local.".repeat(100) + "local";
    for no in [
        "",
        "local",
        ".local",
        "a.locale",
        "a.b.local",
        "_http._tcp.local",
        "a.local.",
        "a b.local",
        "a\\.b.local",
        "ä.local",
        "ä",
        "192.0.2.1",
        "alocal",
        &longer,
        &dots,
    ] {
        assert!(!is_name(no), "{no}");
        let mut resolver = Resolver::new(start());
        resolver.ask(start(), no);
        assert!(!drain(&mut resolver).iter().any(|out| matches!(out, ResolverOutput::Query(_))), "{no}");
    }
}
