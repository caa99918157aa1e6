//! WS-Discovery messages: what is understood holds nothing that a terminal obeys, and is understood again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_proto::ws_discovery::{Body, parse};

fuzz_target!(|datagram: &[u8]| {
    let message = match parse(datagram) {
        Ok((message, _)) => message,
        Err(error) => {
            assert!(!error.to_string().contains(char::is_control));
            return;
        }
    };
    let services = match &message.body {
        Body::Hello(it) | Body::Bye(it) => vec![it],
        Body::ProbeMatches(all) => all.iter().collect(),
        Body::ResolveMatches(one) => one.iter().collect(),
        Body::Probe(_) | Body::Resolve(_) => Vec::new(),
    };
    for service in services {
        let names = service.types.iter().flat_map(|it| [&it.namespace, &it.local]);
        let texts = names.chain(&service.scopes).chain(&service.addresses);
        let mut texts = texts.chain([&service.endpoint]);
        assert!(!texts.any(|text| text.contains(char::is_control)));
    }
});
