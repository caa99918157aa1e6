//! Discovery proxies: whom to ask beside the group (§2.2).

use std::net::SocketAddr;

use manycast_types::{Received, Transmit};

use super::{Client, Due, Proxy};
use crate::ws_discovery::ClientEvent;

/// How often a proxy in one place may fail before none is believed there any more.
const MAX_LOST: u32 = 3;

impl Client {
    /// Takes note of a proxy, if it may be one that is to be asked too.
    pub(super) fn heed(&mut self, datagram: &Received<'_>, endpoint: &str) -> bool {
        let place = self.place_of(datagram.source, datagram.interface.index);
        let Some((number, place)) =
            place.and_then(|number| Some((number, self.places.get_mut(number)?)))
        else {
            return false;
        };
        let is_host = place.destination.ip().is_multicast() && datagram.source.port() != 0;
        if !self.config.proxies || !is_host || place.lost >= MAX_LOST {
            return false;
        }
        if place.proxy.is_some() {
            return true;
        }
        place.proxy = Some(Proxy {
            source: datagram.source,
            endpoint: endpoint.to_owned(),
        });
        self.questions.extend(self.round(number, true));
        self.tell(ClientEvent::Proxy {
            source: datagram.source,
            interface: datagram.interface.clone(),
        });
        true
    }

    /// Whether something was said by the proxy of a place.
    pub(super) fn is_proxy(&self, place: usize, source: SocketAddr) -> bool {
        let proxy = self.places.get(place).and_then(|it| it.proxy.as_ref());
        proxy.is_some_and(|proxy| proxy.source == source)
    }

    /// Takes note that an endpoint goes: it may be the proxy of a place.
    pub(super) fn miss(&mut self, datagram: &Received<'_>, endpoint: &str) {
        let place = self.place_of(datagram.source, datagram.interface.index);
        if let Some(number) = place
            && let Some(proxy) = self.places.get(number).and_then(|it| it.proxy.as_ref())
            && proxy.source.ip() == datagram.source.ip()
            && proxy.endpoint == endpoint
        {
            self.lose_proxy(number);
        }
    }

    /// The proxy of a place does not answer, or is gone.
    pub(super) fn lose_proxy(&mut self, number: usize) {
        let Some(place) = self.places.get_mut(number) else {
            return;
        };
        let (Some(proxy), Some(interface)) = (place.proxy.take(), place.interface.clone()) else {
            return;
        };
        place.lost += 1;
        self.deadlines.set(Due::Proxy(number), None);
        let source = proxy.source;
        let to_proxy =
            |it: &Transmit| it.destination == source && it.interface == Some(interface.index);
        self.transmissions.retain(|transmit| !to_proxy(transmit));
        self.tell(ClientEvent::ProxyLost { source, interface });
    }
}
