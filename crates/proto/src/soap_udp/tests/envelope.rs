use super::super::*;

fn envelope(soap: &str, addressing: &str, header: &str) -> String {
    format!(
        "<s:Envelope xmlns:s='{soap}' xmlns:a='{addressing}'><s:Header>{header}</s:Header>\
         <s:Body><x xmlns='urn:x'/></s:Body></s:Envelope>"
    )
}

const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
const WSA: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";

#[test]
fn both_versions_of_soap_and_of_addressing_are_read() {
    for soap in [Soap::V1_1, Soap::V1_2] {
        for addressing in [Addressing::V2004_08, Addressing::V2005_08] {
            let header = "<a:Action>urn:do</a:Action><a:MessageID>urn:uuid:1</a:MessageID>\
                <a:RelatesTo>urn:uuid:2</a:RelatesTo><a:To>urn:to</a:To>\
                <a:ReplyTo><a:Address>urn:there</a:Address></a:ReplyTo><y xmlns='urn:y'/>";
            let text = envelope(soap.namespace(), addressing.namespace(), header);
            let read = Envelope::parse(text.as_bytes(), "").unwrap();
            assert_eq!((read.soap, read.addressing), (soap, addressing));
            assert_eq!(read.action.as_deref(), Some("urn:do"));
            assert_eq!(read.message_id.as_deref(), Some("urn:uuid:1"));
            assert_eq!(read.relates_to.as_deref(), Some("urn:uuid:2"));
            assert_eq!(read.to.as_deref(), Some("urn:to"));
            assert_eq!(read.reply_to.as_deref(), Some("urn:there"));
            assert!(read.headers.len() == 1 && read.body.is("urn:x", "x"));
        }
    }
}

#[test]
fn a_relationship_that_is_no_answer_is_told() {
    let text = |value: &str| {
        let header = format!("<a:RelatesTo RelationshipType='{value}'>urn:uuid:2</a:RelatesTo>");
        envelope(SOAP, WSA, &header)
    };
    let relationship = |value: &str| {
        let read = Envelope::parse(text(value).as_bytes(), "").unwrap();
        read.relationship.map(|it| it.local)
    };
    assert_eq!(
        relationship("d:Suppression").as_deref(),
        Some("Suppression")
    );
    let uri = "http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01/Suppression";
    assert_eq!(relationship(uri).as_deref(), Some("Suppression"));
    assert_eq!(relationship("a:Reply"), None);
    assert_eq!(
        relationship("http://www.w3.org/2005/08/addressing/reply"),
        None
    );
}

#[test]
fn what_is_no_envelope_is_refused() {
    let strange = envelope("urn:other", WSA, "");
    for text in ["<a/>", &strange, &format!("<s:Envelope xmlns:s='{SOAP}'/>")] {
        assert!(Envelope::parse(text.as_bytes(), "").is_err(), "{text}");
    }
}

#[test]
fn identifiers_are_the_same_in_any_spelling_of_a_uuid() {
    assert!(same_id("urn:uuid:AB", "uuid:ab"));
    assert!(same_id("uuid:ab", "URN:UUID:ab"));
    assert!(!same_id("urn:uuid:ab", "urn:uuid:ac"));
    assert!(!same_id("", "urn:uuid:ac"));
    assert!(same_id("ürn:x", "ürn:x"));
}
