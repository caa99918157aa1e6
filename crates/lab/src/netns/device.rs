//! A host's network interfaces: made, changed, taken away and brought back.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv6Addr;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::namespace::Namespace;
use super::wait::wait_until;
use super::wire::RunningWire;
use super::{Host, Switch, Wire};

/// What it takes to make an interface once more as it was.
#[derive(Debug)]
pub(super) struct Device {
    switch: Arc<Namespace>,
    /// The name of the other end, at the switch.
    port: String,
    port_index: u32,
    hardware_address: String,
    addresses: Vec<String>,
    /// What joins it to the switch: a wire in user space, or a veth pair.
    wire: Option<Wire>,
    running: Option<RunningWire>,
}

impl Host {
    /// Makes an interface on the host and joins it to the switch, with these addresses and a
    /// link-local one, unless IPv6 is switched off on the host; all is of use on return.
    ///
    /// ```no_run
    /// # let lab = manycast_lab::netns::Lab::new();
    /// let (host, switch) = (lab.host("a"), lab.switch("sw"));
    /// host.connect(&switch, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    /// ```
    #[track_caller]
    pub fn connect(&self, switch: &Switch, device: &str, addresses: &[&str]) {
        self.attach(switch, device, addresses, None);
    }

    #[track_caller]
    pub(super) fn attach(
        &self,
        switch: &Switch,
        device: &str,
        addresses: &[&str],
        wire: Option<Wire>,
    ) {
        let number = {
            let devices = self.devices();
            assert!(
                !devices.contains_key(device),
                "{} has a device {device} already",
                self.name
            );
            u32::try_from(devices.len()).expect("a host has few interfaces") + 1
        };
        let port_index = 1000 + 100 * self.number + number;
        let mut made = Device {
            switch: Arc::clone(&switch.namespace),
            port: format!("port{port_index}"),
            port_index,
            hardware_address: format!("02:00:00:00:{:02x}:{number:02x}", self.number),
            addresses: addresses.iter().map(ToString::to_string).collect(),
            wire,
            running: None,
        };
        self.make(device, &mut made);
        self.devices().insert(device.to_owned(), made);
    }

    /// Takes an interface down, as `ip link set DEVICE down` does.
    #[track_caller]
    pub fn link_down(&self, device: &str) {
        let known = self.devices();
        let known = self.known(&known, device);
        self.namespace.ip(&format!("link set {device} down"));
        if known.wire.is_some() {
            return;
        }
        wait_until(
            &format!("{} to see {device} without carrier", known.port),
            || !known.is_forwarding(),
        );
    }

    /// Takes an interface up again, with its IPv6 addresses, which the kernel drops when it goes
    /// down. Routes by way of it are not restored.
    #[track_caller]
    pub fn link_up(&self, device: &str) {
        let known = self.devices();
        self.bring_up(device, self.known(&known, device));
    }

    /// Pulls the cable: the interface stays up, but has no carrier.
    #[track_caller]
    pub fn unplug(&self, device: &str) {
        let known = self.devices();
        let known = self.known(&known, device);
        assert!(known.wire.is_none(), "a wire passes no carrier on");
        known.switch.ip(&format!("link set {} down", known.port));
        wait_until(
            &format!("{device} of {} without carrier", self.name),
            || {
                self.namespace
                    .show(&format!("link show dev {device}"))
                    .contains("NO-CARRIER")
            },
        );
    }

    /// Plugs the cable in again.
    #[track_caller]
    pub fn plug(&self, device: &str) {
        let known = self.devices();
        let known = self.known(&known, device);
        known.switch.ip(&format!("link set {} up", known.port));
        self.wait_for_link(device, known);
    }

    /// Deletes an interface, as when an adapter is pulled out or a container's network goes.
    #[track_caller]
    pub fn delete_device(&self, device: &str) {
        let known = self.devices();
        self.known(&known, device);
        self.namespace.ip(&format!("link del {device}"));
    }

    /// Makes a deleted interface once more: the same name, addresses and switch, but another
    /// interface index. Whatever was set on it besides (an MTU, [faults](Self::lose), routes) is
    /// gone.
    #[track_caller]
    pub fn recreate_device(&self, device: &str) {
        let mut known = self.devices();
        self.known(&known, device);
        if let Some(known) = known.get_mut(device) {
            self.make(device, known);
        }
    }

    /// Sets the longest frame payload that an interface sends and accepts, in bytes.
    #[track_caller]
    pub fn set_mtu(&self, device: &str, bytes: u32) {
        self.namespace.ip(&format!("link set {device} mtu {bytes}"));
    }

    /// The index of an interface, as the kernel counts them now.
    #[track_caller]
    pub fn interface_index(&self, device: &str) -> u32 {
        let line = self.namespace.show(&format!("link show dev {device}"));
        let index = line.split(':').next().and_then(|index| index.parse().ok());
        index.unwrap_or_else(|| panic!("no index of {device} in {line:?}"))
    }

    /// The link-local IPv6 address of an interface.
    #[track_caller]
    pub fn link_local(&self, device: &str) -> Ipv6Addr {
        let line = self
            .namespace
            .show(&format!("-6 address show dev {device} scope link"));
        let address = line
            .split_whitespace()
            .find_map(|word| word.split_once('/')?.0.parse().ok());
        address.unwrap_or_else(|| panic!("no link-local address of {device} in {line:?}"))
    }

    /// The name of the switch's port where `device` is.
    #[track_caller]
    pub(super) fn port(&self, device: &str) -> String {
        let known = self.devices();
        self.known(&known, device).port.clone()
    }

    /// The switch where `device` is.
    #[track_caller]
    pub(super) fn switch_of(&self, device: &str) -> Arc<Namespace> {
        let known = self.devices();
        Arc::clone(&self.known(&known, device).switch)
    }

    /// What `ask` learns of the wire of `device`.
    #[track_caller]
    pub(super) fn wire_of<T>(&self, device: &str, ask: impl FnOnce(&RunningWire) -> T) -> T {
        let known = self.devices();
        match &self.known(&known, device).running {
            Some(wire) => ask(wire),
            None => panic!("{device} of {} is not connected over a wire", self.name),
        }
    }

    #[track_caller]
    fn make(&self, device: &str, made: &mut Device) {
        let Device {
            switch,
            port,
            port_index,
            hardware_address,
            ..
        } = made;
        if let Some(wire) = made.wire {
            // The end at the switch goes with the wire that was there before.
            made.running = None;
            let (host, switch_end) = ((&*self.namespace, device), (&**switch, &**port));
            made.running = Some(RunningWire::start(wire, host, switch_end));
            self.namespace
                .ip(&format!("link set {device} address {hardware_address}"));
            // The longest that a TAP device can carry.
            switch.ip(&format!("link set {port} mtu 65521 master br0 up"));
        } else {
            // Were the two ends' indices equal, as they may be by chance in two namespaces, the
            // kernel would take neither end for a virtual device and report carrier up to a second
            // late.
            switch.ip(&format!(
                "link add {port} index {port_index} mtu 65535 type veth \
                     peer name {device} address {hardware_address} netns {}
                 link set {port} master br0 up",
                self.namespace.name()
            ));
        }
        self.bring_up(device, made);
    }

    #[track_caller]
    fn bring_up(&self, device: &str, made: &Device) {
        let mut lines = format!("link set {device} up\n");
        for address in &made.addresses {
            let options = if address.contains(':') {
                "nodad"
            } else {
                "broadcast +"
            };
            lines += &format!("address replace {address} dev {device} {options}\n");
        }
        self.namespace.ip(&lines);
        self.wait_for_link(device, made);
    }

    #[track_caller]
    fn wait_for_link(&self, device: &str, made: &Device) {
        // The operational state of a TAP device is "unknown", whatever it is.
        let state = match made.wire {
            Some(_) => ",LOWER_UP",
            None => " state UP ",
        };
        let no_ipv6 = format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6");
        let no_ipv6 = self
            .run(|| fs::read(&no_ipv6))
            .is_ok_and(|set| set == b"1\n");
        wait_until(
            &format!("{device} of {} to be up with its addresses", self.name),
            || {
                let link = self.namespace.show(&format!("link show dev {device}"));
                let link_local = self.namespace.show(&format!(
                    "-6 address show dev {device} scope link -tentative"
                ));
                link.contains(state) && (no_ipv6 || !link_local.is_empty())
            },
        );
        wait_until(&format!("{} to forward", made.port), || {
            made.is_forwarding()
        });
    }

    pub(super) fn devices(&self) -> MutexGuard<'_, BTreeMap<String, Device>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    fn known<'a>(&self, devices: &'a BTreeMap<String, Device>, name: &str) -> &'a Device {
        devices
            .get(name)
            .unwrap_or_else(|| panic!("{} was never connected by {name}", self.name))
    }
}

impl Device {
    /// Whether the switch lets frames through its port.
    fn is_forwarding(&self) -> bool {
        self.switch
            .show(&format!("-details link show dev {}", self.port))
            .contains("bridge_slave state forwarding")
    }
}
