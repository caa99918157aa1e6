//! Printers, cameras and Windows hosts on every interface of this host, as they come and go: `services [SECONDS]`.

use std::time::Duration;

use manycast::proto::ws_discovery::{Client, ClientConfig, ClientEvent};
use manycast::{Driver, Socket};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args()
        .nth(1)
        .map(|text| text.parse())
        .transpose()?;
    let config = ClientConfig {
        duration: seconds.map(Duration::from_secs),
        ..ClientConfig::default()
    };
    // Chance is for the times of the questions and their names, so that no two programs ask alike.
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&std::process::id().to_ne_bytes());
    Driver::new(Socket::bind(":0")?, Client::new(config, seed)).run(|_, event| match event {
        ClientEvent::Found(it) | ClientEvent::Changed { entry: it, .. } => {
            let types: Vec<&str> = it
                .service
                .types
                .iter()
                .map(|it| it.local.as_str())
                .collect();
            let (types, addresses) = (types.join(" "), it.service.addresses.join(" "));
            println!(
                "{} on {}: {types} {addresses}",
                it.source.ip(),
                it.interface
            );
        }
        ClientEvent::Gone { entry, .. } => println!("{} is gone", entry.source.ip()),
        ClientEvent::Malformed { source, error, .. } => eprintln!("{source}: {error}"),
        _ => {}
    })?;
    Ok(())
}
