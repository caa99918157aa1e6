//! Devices of UPnP on every interface of this host, as they come and go: `devices [SECONDS]`.

use std::time::Duration;

use manycast::proto::ssdp::{Client, ClientConfig, ClientEvent};
use manycast::{Driver, Socket};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args()
        .nth(1)
        .map(|text| text.parse())
        .transpose()?;
    let config = ClientConfig {
        targets: vec!["upnp:rootdevice".to_owned()],
        duration: seconds.map(Duration::from_secs),
        ..ClientConfig::default()
    };
    // Chance is for the times of the questions alone, so that many who ask do not ask at once.
    let seed = [std::process::id().to_ne_bytes()[0]; 32];
    Driver::new(Socket::bind(":0")?, Client::new(config, seed)).run(|_, event| match event {
        ClientEvent::Found(it) | ClientEvent::Changed { entry: it, .. } => {
            let (said, interface) = (it.advertisement, it.interface);
            let location = said.location.unwrap_or_default();
            let server = said.server.unwrap_or_default();
            println!("{} on {interface}: {server} {location}", it.source.ip());
        }
        ClientEvent::Gone { entry, .. } => println!("{} is gone", entry.source.ip()),
        ClientEvent::Malformed { source, error, .. } => eprintln!("{source}: {error}"),
        _ => {}
    })?;
    Ok(())
}
