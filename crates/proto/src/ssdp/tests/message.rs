use std::time::Duration;

use proptest::prelude::*;

use super::super::*;

fn read(payload: &[u8]) -> (Message, Vec<Deviation>) {
    let (message, deviations) = parse(payload).unwrap();
    (message, deviations.iter().collect())
}

/// As minidlna 1.3 answers.
#[test]
fn an_answer_of_a_real_device() {
    let (message, deviations) = read(
        b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1810\r\nDATE: Sat, 28 Nov 2026 10:00:00 GMT\r\n\
        ST: urn:schemas-upnp-org:device:MediaServer:1\r\n\
        USN: uuid:4d696e69-444c-164e-9d41-000000000001::urn:schemas-upnp-org:device:MediaServer:1\r\n\
        EXT:\r\nSERVER: Linux/6.1 DLNADOC/1.50 UPnP/1.0 MiniDLNA/1.3.0\r\n\
        LOCATION: http://10.77.0.2:8200/rootDesc.xml\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(deviations, []);
    let Message::Advertisement(said) = message else {
        panic!("{message:?}");
    };
    assert_eq!(said.kind, Kind::Response);
    assert_eq!(said.max_age, Some(Duration::from_secs(1_810)));
    assert_eq!(
        said.location.as_deref(),
        Some("http://10.77.0.2:8200/rootDesc.xml")
    );
    assert_eq!(said.boot_id, None);
}

#[test]
fn what_devices_do_otherwise_is_understood_and_named() {
    let (message, deviations) = read(
        b"m-search * http/1.0\nman:ssdp:discover\nmx : 3\nst:ssdp:all\nno header\nst: other\nx: \xff",
    );
    let search = Search {
        target: "ssdp:all".to_owned(),
        max_wait: Some(3),
        ..Search::default()
    };
    assert_eq!(message, Message::Search(search));
    use Deviation::*;
    let expected = [
        LineFeed, NoEnd, Case, StartLine, Space, Line, Twice, Encoding, NoHost, Unquoted,
    ];
    assert_eq!(deviations, expected);

    let (message, deviations) = read(
        b"NOTIFY * HTTP/1.1\r\nHost:239.255.255.250:1900\r\nNT:a:b\r\nNTS:SSDP:Alive\r\n\
        Cache-Control: no-cache=\"Ext\", Max-Age = \"60\"\r\nSERVER: one\r\n two\r\n\
        SEARCHPORT.UPNP.ORG: 70000\r\n\r\nbody",
    );
    let Message::Advertisement(said) = message else {
        panic!("{message:?}");
    };
    assert_eq!(
        (said.max_age, said.search_port),
        (Some(Duration::from_secs(60)), None)
    );
    assert_eq!(said.server.as_deref(), Some("one two"));
    assert_eq!(deviations, [Body, Case, Space, Number, NoUsn, NoLocation]);
}

#[test]
fn what_says_nothing_is_malformed() {
    let header = "M-SEARCH * HTTP/1.1\r\n".to_owned();
    let many: String = (0..100).map(|number| format!("x{number}: y\r\n")).collect();
    for (payload, what) in [
        (String::new(), "the message is empty"),
        (
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            "it is no message of SSDP",
        ),
        (
            "HTTP/1.1 404 No\r\n\r\n".to_owned(),
            "the answer is not 200 OK",
        ),
        (header.clone() + "\r\n", "the header ST is missing"),
        (
            header.clone() + "MAN: \"other\"\r\n\r\n",
            "ssdp:discover is not what it says",
        ),
        (
            header.clone() + "ST: \u{1b}[2J\r\n\r\n",
            "a control character stands in the message",
        ),
        (
            header.clone() + "ST: \u{9b}2J\r\n\r\n",
            "a control character stands in the message",
        ),
        (
            header.clone() + "ST: \rx\r\n\r\n",
            "a control character stands in the message",
        ),
        (header.clone() + &many, "there are too many headers"),
        (header + &"x".repeat(MAX_READ), "the message is too long"),
        (
            "NOTIFY * HTTP/1.1\r\nNT: a\r\nNTS: b\r\n\r\n".to_owned(),
            "NTS is none that is known",
        ),
    ] {
        assert_eq!(
            parse(payload.as_bytes()).unwrap_err().what,
            what,
            "{payload:?}"
        );
    }
}

#[test]
fn each_version_has_its_words() {
    let search = Search {
        target: ALL.to_owned(),
        max_wait: Some(2),
        user_agent: Some("a/1 UPnP/2.0 b/1".to_owned()),
        friendly_name: Some("me".to_owned()),
    };
    let group = "[ff02::c%2]:1900".parse().unwrap();
    assert_eq!(
        search.emit(group, Version::V1_0),
        "M-SEARCH * HTTP/1.1\r\nHOST: [FF02::C]:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\n\
        ST: ssdp:all\r\n\r\n"
    );
    let newest = search.emit(group, Version::V2_0);
    assert_eq!(read(&newest), (Message::Search(search), Vec::new()));
}

fn word() -> impl Strategy<Value = String> {
    "[!-~]([ -~]{0,30}[!-~])?"
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        kind in prop_oneof![Just(Kind::Response), Just(Kind::Alive), Just(Kind::Update), Just(Kind::Byebye)],
        texts in prop::array::uniform4(word()),
        age in 0..u64::MAX,
        boot_id in any::<Option<u32>>(),
        search_port in prop::option::of(1..u16::MAX),
    ) {
        let [target, usn, location, server] = texts;
        let said = Advertisement {
            kind,
            target,
            usn: Some(usn),
            location: Some(location),
            server: Some(server),
            max_age: Some(Duration::from_secs(age)),
            boot_id,
            search_port,
            ..Advertisement::default()
        };
        let payload = said.emit("239.255.255.250:1900".parse().unwrap(), Version::V2_0);
        prop_assert_eq!(read(&payload), (Message::Advertisement(said), Vec::new()));
    }

    #[test]
    fn no_bytes_are_too_strange(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&payload);
    }
}
