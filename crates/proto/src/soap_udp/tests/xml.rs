use super::super::*;

fn parse(text: impl AsRef<[u8]>) -> Result<Element, String> {
    Element::parse(text.as_ref(), "Types").map_err(|error| error.to_string())
}

#[track_caller]
fn refused(text: impl AsRef<[u8]>, why: &str) {
    let error = parse(text).unwrap_err();
    assert!(error.contains(why), "{error}");
}

#[test]
fn names_are_those_of_their_uri_whatever_the_prefix() {
    let one = parse("<a:b xmlns:a='urn:x'><a:c/></a:b>").unwrap();
    let other = parse("<b xmlns='urn:x'><z:c xmlns:z='urn:x'/></b>").unwrap();
    assert_eq!(one, other);
    assert!(one.is("urn:x", "b") && one.child("urn:x", "c").is_some());
    // A prefix that has the name of another namespace is none of it.
    let inner = parse("<a:b xmlns:a='urn:x'><a:c xmlns:a='urn:y'/></a:b>").unwrap();
    assert!(inner.child("urn:y", "c").is_some());
}

#[test]
fn names_in_a_text_are_those_of_their_uri_where_they_stand() {
    let text = "<r xmlns='urn:d' xmlns:p='urn:p'>\
        <Types xmlns:q='urn:q'> p:A\n q:B C  gone:D </Types></r>";
    let read = parse(text).unwrap();
    let expected = [("urn:p", "A"), ("urn:q", "B"), ("urn:d", "C"), ("", "D")];
    let names = expected.map(|(namespace, local)| Name::new(namespace, local));
    assert_eq!(read.child("urn:d", "Types").unwrap().names, names);
}

#[test]
fn the_five_entities_and_characters_by_number_are_what_they_stand_for() {
    let read = parse("<a b='&lt;&#x41;'>&amp;&quot;&apos;&gt;&lt;&#66;<![CDATA[<&]]></a>").unwrap();
    assert_eq!(read.text, "&\"'><B<&");
    assert_eq!(read.attribute("b"), Some("<A"));
    refused("<a>&other;</a>", "entity");
    refused("<a b='&other;'/>", "entity");
}

#[test]
fn a_document_type_is_refused_whatever_it_declares() {
    let laughs = "<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY lol 'lol'>\
        <!ENTITY lol2 '&lol;&lol;&lol;&lol;&lol;'>]><lolz>&lol2;</lolz>";
    refused(laughs, "document type declaration");
    refused(
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "document type declaration",
    );
}

#[test]
fn what_is_too_deep_too_much_or_too_long_is_refused() {
    refused("<a>".repeat(17), "too deep");
    let deep = format!("{}{}", "<a>".repeat(16), "</a>".repeat(16));
    assert!(parse(deep).is_ok());
    refused(
        format!("<r>{}</r>", "<a/>".repeat(1_024)),
        "too many elements",
    );
    let attributes: String = (0..129).map(|n| format!(" a{n}=''")).collect();
    refused(format!("<a{attributes}/>"), "too many attributes");
    let namespaces: String = (0..129).map(|n| format!(" xmlns:a{n}='urn:{n}'")).collect();
    assert!(parse(format!("<a{namespaces}/>")).is_err());
    refused("<a>".to_owned() + &"x".repeat(MAX_READ), "too long");
}

/// Each name owns the URI of its namespace, so a message of 32 KiB could keep many megabytes.
#[test]
fn names_keep_little_more_than_was_sent() {
    let words = "a ".repeat(8_000);
    let of = |length: usize| {
        let uri = "u".repeat(length);
        let text = format!("<Types xmlns='{uri}'>{words}</Types>");
        let names = Element::parse(text.as_bytes(), "Types").unwrap().names;
        names.iter().map(|it| it.namespace.len()).sum::<usize>()
    };
    assert_eq!(of(256), 256 * 256);
    assert_eq!(of(257), 0);
    assert_eq!(of(16_000), 0);
}

#[test]
fn what_is_no_whole_document_is_refused() {
    for text in [
        "",
        "<a",
        "<a>",
        "<a></b>",
        "</a>",
        "a",
        "<a/><b/>",
        "<a/>text",
        "<a b='1' b='2'/>",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    // White space, comments and a declaration may stand around it, and a zero behind it.
    let text = "\u{feff}<?xml version='1.0' encoding='UTF-8'?>\n<!-- x --><a/>\r\n\0";
    assert!(parse(text).is_ok());
}

#[test]
fn other_encodings_are_refused_by_name() {
    let utf16: Vec<u8> = "<a/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused(&utf16, "UTF-16");
    refused([&[0xff, 0xfe], &*utf16].concat(), "UTF-16");
    refused([&[0xfe, 0xff], &*utf16].concat(), "UTF-16");
    refused(
        "<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
        "ISO-8859-1",
    );
    refused(b"<a>\xe4</a>", "not UTF-8");
}

#[test]
fn no_control_character_gets_in_however_it_is_written() {
    for text in [
        "<a>\u{1b}[2J</a>",
        "<a>&#x1b;[2J</a>",
        "<a>&#27;</a>",
        "<a b='&#x9b;'/>",
        "<a>\u{9b}</a>",
        "<a><![CDATA[\u{7f}]]></a>",
        "<a>x\0x</a>",
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
    // White space is one space each, also where it is written as a number.
    let read = parse("<a b='1&#10;2'>1\r\n2&#9;3&#10;4</a>").unwrap();
    assert!(!read.text.contains(char::is_control), "{:?}", read.text);
    assert_eq!(read.attribute("b"), Some("1 2"));
    // A namespace is a text too.
    let read = parse("<a xmlns='urn:&#27;'/>").unwrap();
    assert_eq!(read.name.namespace, "");
    // What an error says of it is shown to people too.
    let error = parse("<?xml version='1.0' encoding='\u{2028}x'?><a/>").unwrap_err();
    assert!(!error.contains(char::is_control), "{error:?}");
}

#[test]
fn what_is_emitted_is_read_as_the_same() {
    let mut element =
        Element::new("urn:x", "a").with(Element::new("urn:y", "b").with_text("<&>\"'"));
    element
        .attributes
        .push(("c".to_owned(), "'\"<&".to_owned()));
    let mut types = Element::new("urn:x", "Types");
    types.names = vec![Name::new("urn:z", "T"), Name::new("urn:y", "U")];
    let element = element.with(types);
    let text = element.emit(&[("urn:x", "x")]);
    let mut read = parse(&text).unwrap();
    assert!(text.contains("<x:a xmlns:x=\"urn:x\""), "{text}");
    read.children[1].text.clear();
    assert_eq!(read, element);
}
