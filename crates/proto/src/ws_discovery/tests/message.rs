use super::super::*;
use crate::soap_udp::Addressing;

fn service() -> Service {
    Service {
        endpoint: "urn:uuid:1".to_owned(),
        types: vec![device_type(), Name::new("urn:x", "Camera")],
        scopes: vec!["onvif://www.onvif.org/name/a&b".to_owned()],
        addresses: vec![
            "http://192.0.2.7/d".to_owned(),
            "http://[2001:db8::7]/d".to_owned(),
        ],
        metadata_version: Some(7),
    }
}

#[test]
fn every_message_is_read_as_it_was_emitted() {
    let probe = Probe {
        types: vec![device_type()],
        scopes: vec!["urn:uuid:7".to_owned()],
        rule: Rule::Uuid,
    };
    let bye = Service {
        endpoint: "urn:uuid:1".to_owned(),
        ..Service::default()
    };
    for version in Version::ALL {
        for body in [
            Body::Hello(service()),
            Body::Bye(bye.clone()),
            Body::Probe(Probe::default()),
            Body::Probe(probe.clone()),
            Body::ProbeMatches(vec![service(), service()]),
            Body::ProbeMatches(Vec::new()),
            Body::Resolve("urn:uuid:1".to_owned()),
            Body::ResolveMatches(Some(service())),
            Body::ResolveMatches(None),
        ] {
            let mut message = Message::new(version, "urn:uuid:5", body);
            message.relates_to = Some("urn:uuid:6".to_owned());
            message.suppression = true;
            message.sequence = Some(Sequence {
                instance: 3,
                id: Some("urn:uuid:9".to_owned()),
                number: 4,
            });
            let read = parse(&message.emit()).unwrap();
            assert_eq!(read, (message, Deviations::default()));
        }
    }
}

/// What a camera by gSOAP answers: namespaces by the dozen, and WS-Addressing of 2004/08.
const CAMERA: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope"
 xmlns:SOAP-ENC="http://www.w3.org/2003/05/soap-encoding" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:wsdd="http://schemas.xmlsoap.org/ws/2005/04/discovery"
 xmlns:tdn="http://www.onvif.org/ver10/network/wsdl"><SOAP-ENV:Header>
 <wsa:MessageID>uuid:fe2a1e02-1dd2-11b2-8000-4c11ae000000</wsa:MessageID>
 <wsa:RelatesTo>uuid:00112233</wsa:RelatesTo>
 <wsa:To SOAP-ENV:mustUnderstand="true">http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</wsa:To>
 <wsa:Action SOAP-ENV:mustUnderstand="true">http://schemas.xmlsoap.org/ws/2005/04/discovery/ProbeMatches</wsa:Action>
 </SOAP-ENV:Header><SOAP-ENV:Body><wsdd:ProbeMatches><wsdd:ProbeMatch>
 <wsa:EndpointReference><wsa:Address>urn:uuid:4c11ae00</wsa:Address>
 <wsa:ReferenceProperties></wsa:ReferenceProperties></wsa:EndpointReference>
 <wsdd:Types>tdn:NetworkVideoTransmitter tds:Device</wsdd:Types>
 <wsdd:Scopes>onvif://www.onvif.org/type/ptz
  onvif://www.onvif.org/name/IPC</wsdd:Scopes>
 <wsdd:XAddrs>http://192.0.2.64/onvif/device_service http://[fe80::1]/onvif/device_service</wsdd:XAddrs>
 <wsdd:MetadataVersion>many</wsdd:MetadataVersion></wsdd:ProbeMatch></wsdd:ProbeMatches>
</SOAP-ENV:Body></SOAP-ENV:Envelope>"#;

#[test]
fn a_camera_is_understood_and_its_deviations_are_told() {
    let (message, deviations) = parse(CAMERA.as_bytes()).unwrap();
    let Body::ProbeMatches(services) = message.body else {
        panic!("{message:?}")
    };
    let [service] = &services[..] else {
        panic!("{services:?}")
    };
    assert_eq!(service.endpoint, "urn:uuid:4c11ae00");
    let camera = Name::new(
        "http://www.onvif.org/ver10/network/wsdl",
        "NetworkVideoTransmitter",
    );
    assert_eq!(service.types, [camera, Name::new("", "Device")]);
    assert_eq!((service.scopes.len(), service.addresses.len()), (2, 2));
    assert_eq!(service.metadata_version, None);
    let all: Vec<Deviation> = deviations.iter().collect();
    let expected = [Deviation::NoSequence, Deviation::Number, Deviation::Prefix];
    assert_eq!(all, expected);
    assert_eq!(
        deviations.to_string(),
        "no AppSequence, a number is none, or out of range, the prefix of a type is not declared"
    );
}

#[test]
fn other_deviations_are_told_too() {
    let deviations = |text: &str| parse(text.as_bytes()).unwrap().1.iter().collect::<Vec<_>>();
    let plain = String::from_utf8(
        Message::new(
            Version::V2005_04,
            "urn:uuid:1",
            Body::Probe(Probe::default()),
        )
        .emit()
        .to_vec(),
    )
    .unwrap();
    assert_eq!(deviations(&plain), []);
    assert_eq!(deviations(&format!("{plain}\0")), [Deviation::Zero]);
    let soap = (
        "http://www.w3.org/2003/05/soap-envelope",
        "http://schemas.xmlsoap.org/soap/envelope/",
    );
    assert_eq!(
        deviations(&plain.replace(soap.0, soap.1)),
        [Deviation::Soap]
    );
    let [old, new] = [Addressing::V2004_08, Addressing::V2005_08].map(Addressing::namespace);
    let mixed = plain.replace(old, new);
    assert_eq!(deviations(&mixed), [Deviation::Addressing]);
    assert_eq!(
        parse(mixed.as_bytes()).unwrap().0.addressing,
        Addressing::V2005_08
    );
    assert_eq!(
        deviations(&plain.replace("/Probe<", "/Prob<")),
        [Deviation::Action]
    );
    let hello = Message {
        id: None,
        ..Message::new(
            Version::V1_1,
            "",
            Body::Hello(Service {
                metadata_version: None,
                ..service()
            }),
        )
    };
    let (_, told) = parse(&hello.emit()).unwrap();
    let expected = [
        Deviation::NoMessageId,
        Deviation::NoSequence,
        Deviation::NoMetadataVersion,
    ];
    assert_eq!(told.iter().collect::<Vec<_>>(), expected);
    assert_eq!(
        Deviation::ALL.len(),
        10,
        "one of them comes from a client: RelatesTo"
    );
}

#[test]
fn what_cannot_be_used_is_malformed() {
    let emit = |body| Message::new(Version::V2005_04, "urn:uuid:1", body).emit();
    let nameless = Service::default();
    assert!(parse(&emit(Body::Hello(nameless))).is_err());
    assert!(parse(&emit(Body::Resolve(String::new()))).is_err());
    // Who hears of it would ask for it by a datagram as long.
    assert!(parse(&emit(Body::Resolve("u".repeat(512)))).is_ok());
    assert!(parse(&emit(Body::Resolve("u".repeat(513)))).is_err());
    let question = Message {
        id: None,
        ..Message::new(Version::V1_1, "", Body::Probe(Probe::default()))
    };
    assert!(parse(&question.emit()).is_err());
    let text = String::from_utf8(emit(Body::Probe(Probe::default())).to_vec()).unwrap();
    assert!(parse(text.replace("d:Probe", "d:Prob").as_bytes()).is_err());
    assert!(
        parse(
            text.replace("2005/04/discovery", "2005/05/discovery")
                .as_bytes()
        )
        .is_err()
    );
    assert!(parse(b"NOTIFY * HTTP/1.1\r\n\r\n").is_err());
}
