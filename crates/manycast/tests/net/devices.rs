//! Devices of UPnP and those who search for them, over real interfaces.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Instant, SystemTime};

use manycast::proto::ssdp::{
    Client, ClientConfig, ClientEvent, Device, DeviceConfig, DeviceEvent, Entry, Goodbye,
    LocalAddress, Location, ROOT_DEVICE, search_ports,
};
use manycast::{Driver, Next, Protocol, Socket};
use manycast_lab::netns::python::gssdp;
use manycast_lab::netns::{self, Host, Lab, Process};

use crate::hosts;

const UUID: &str = "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c11";
const KIND: &str = "urn:schemas-upnp-org:device:Basic:1";

/// What the host of the calling thread has.
pub(crate) fn addresses() -> Vec<LocalAddress> {
    let interfaces = manycast::interfaces().unwrap();
    let of = |interface: &manycast::Interface| {
        let index = interface.index;
        let addresses = interface.addresses.clone();
        addresses.into_iter().map(move |it| LocalAddress {
            interface: index,
            address: it.address,
            prefix: it.prefix,
        })
    };
    interfaces.iter().flat_map(of).collect()
}

/// A device whose description is at the address of the link where it is asked for.
fn device(host: &Host) -> Driver<Device> {
    host.run(|| {
        let bind = |port| Some((Socket::bind(format!(":{port}")).ok()?, port));
        let (socket, port) = search_ports([1; 32]).find_map(bind).unwrap();
        let config = DeviceConfig {
            location: Location::Here {
                port: 80,
                path: "/d.xml".to_owned(),
            },
            addresses: addresses(),
            search_port: Some(port),
            date: Some(SystemTime::now()),
            ..DeviceConfig::new(UUID, KIND)
        };
        Driver::new(socket, Device::new(config, [1; 32]).unwrap())
    })
}

fn client(host: &Host, target: &str) -> Driver<Client> {
    let config = ClientConfig {
        targets: vec![target.to_owned()],
        ..ClientConfig::default()
    };
    host.run(|| Driver::new(Socket::bind(":0").unwrap(), Client::new(config, [2; 32])))
}

/// Runs it until an event is the last that is wanted.
#[track_caller]
pub(crate) fn run_until<P>(
    host: &Host,
    driver: &mut Driver<P>,
    mut last: impl FnMut(P::Event) -> bool + Send,
) where
    P: Protocol + Send,
    P::Event: Send,
{
    let came = host.run(|| {
        let deadline = Instant::now() + crate::PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match driver.next_event(Some(left)).unwrap() {
                Next::Event(event) => {
                    if last(event) {
                        return true;
                    }
                }
                Next::TimedOut | Next::Finished => return false,
            }
        }
    });
    assert!(came, "what is wanted has not come");
}

/// Where an entry was heard: the interface and the version of IP.
fn place(entry: &Entry) -> (String, bool) {
    (entry.interface.name.to_string(), entry.source.is_ipv4())
}

/// Both versions of IP on these interfaces.
pub(crate) fn places(interfaces: &[&str]) -> BTreeSet<(String, bool)> {
    let both = |name: &&str| [true, false].map(|v4| (name.to_string(), v4));
    interfaces.iter().flat_map(both).collect()
}

/// Searches until devices were found in all these places.
#[track_caller]
fn find(host: &Host, client: &mut Driver<Client>, wanted: &BTreeSet<(String, bool)>) {
    let mut found = BTreeSet::new();
    run_until(host, client, |event| {
        if let ClientEvent::Found(entry) = event {
            found.insert(place(&entry));
        }
        found.is_superset(wanted)
    });
}

/// Runs a device until it was announced on an interface for the last time of the first.
#[track_caller]
fn announce(host: &Host, device: &mut Driver<Device>) {
    // Three groups on three interfaces.
    let mut sets = 0;
    run_until(host, device, |event| {
        if let DeviceEvent::Announced { interface, .. } = event {
            sets += usize::from(&*interface.name != "lo");
        }
        sets == 3 * 3 * 3
    });
}

pub(crate) fn a_device_is_found_on_every_interface_and_says_goodbye() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut device = device(&b);
    // Its announcements are over, so it is found by searching alone.
    announce(&b, &mut device);
    let stopper = device.stopper().unwrap();
    let task = b.spawn(move || device.run(|_, _| {}).unwrap());
    let mut client = client(&a, ROOT_DEVICE);
    let everywhere = places(&["eth0", "eth1", "eth2"]);
    let mut found = BTreeSet::new();
    run_until(&a, &mut client, |event| {
        if let ClientEvent::Found(entry) = event {
            let host = entry.source.ip().to_string();
            let location = entry.advertisement.location.clone().unwrap();
            assert!(location.contains(&host), "{location} of {host}");
            found.insert(place(&entry));
        }
        found == everywhere
    });
    stopper.stop();
    task.join();
    let mut gone = BTreeSet::new();
    run_until(&a, &mut client, |event| {
        if let ClientEvent::Gone { entry, why } = event {
            assert_eq!(why, Goodbye::Said);
            gone.insert(place(&entry));
        }
        gone == everywhere
    });
}

pub(crate) fn a_device_is_found_again_on_an_interface_that_was_recreated() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut device = device(&b);
    announce(&b, &mut device);
    let index = b.interface_index("eth1");
    b.delete_device("eth1");
    b.recreate_device("eth1");
    assert_ne!(b.interface_index("eth1"), index);
    // Nobody else tells the device of the addresses that are new.
    run_until(
        &b,
        &mut device,
        |event| matches!(event, DeviceEvent::NoAddress { interface, .. } if &*interface.name == "eth1"),
    );
    let commands = device.commands().unwrap();
    let now = b.run(addresses);
    assert!(commands.give(|device, time| device.set_addresses(time, now)));
    let stopper = device.stopper().unwrap();
    let task = b.spawn(move || device.run(|_, _| {}).unwrap());
    let mut client = client(&a, ROOT_DEVICE);
    find(&a, &mut client, &places(&["eth0", "eth1", "eth2"]));
    stopper.stop();
    task.join();
}

pub(crate) fn a_client_finds_devices_again_on_an_interface_that_was_recreated() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut device = device(&b);
    announce(&b, &mut device);
    let stopper = device.stopper().unwrap();
    let task = b.spawn(move || device.run(|_, _| {}).unwrap());
    let mut client = client(&a, ROOT_DEVICE);
    find(&a, &mut client, &places(&["eth0", "eth1", "eth2"]));
    a.delete_device("eth1");
    let lost = places(&["eth1"]);
    let mut gone = BTreeSet::new();
    run_until(&a, &mut client, |event| {
        if let ClientEvent::Gone { entry, why } = event {
            assert_eq!(why, Goodbye::Interface);
            gone.insert(place(&entry));
        }
        gone == lost
    });
    a.recreate_device("eth1");
    find(&a, &mut client, &lost);
    stopper.stop();
    task.join();
}

pub(crate) fn a_device_is_asked_at_its_search_port_where_another_program_has_port_1900() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let _other = netns::python::program(
        &b,
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
         s.bind(('', 1900))",
    );
    let mut device = device(&b);
    announce(&b, &mut device);
    let stopper = device.stopper().unwrap();
    let task = b.spawn(move || device.run(|_, _| {}).unwrap());
    // It is heard of by the group, which tells the port.
    let mut first = client(&a, ROOT_DEVICE);
    let mut port = None;
    run_until(&a, &mut first, |event| {
        if let ClientEvent::Found(entry) = event
            && place(&entry) == ("eth0".to_owned(), true)
        {
            port = entry.advertisement.search_port;
        }
        port.is_some()
    });
    let port = port.unwrap();
    assert!(port >= 49_152, "{port}");
    let config = ClientConfig {
        targets: vec![ROOT_DEVICE.to_owned()],
        groups: Vec::new(),
        hosts: vec![([10, 0, 0, 2], port).into()],
        ..ClientConfig::default()
    };
    let mut alone = a.run(|| {
        let socket = Socket::bind(":0").unwrap();
        Driver::new(socket, Client::new(config, [3; 32]))
    });
    // It is an answer, which has a DATE; what is said unasked has none.
    run_until(
        &a,
        &mut alone,
        |event| matches!(event, ClientEvent::Found(entry) if entry.advertisement.date.is_some()),
    );
    stopper.stop();
    task.join();
}

/// `minissdpd` on one interface, and where it is commanded.
struct Minissdpd {
    process: Process,
    socket: std::path::PathBuf,
}

impl Minissdpd {
    fn start(host: &Host, interface: &str) -> Self {
        let name = format!("ssdp-{}-{interface}", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let mut command = host.command("minissdpd");
        command
            .args(["-d", "-6", "-i", interface, "-s"])
            .arg(&socket)
            .arg("-p")
            .arg(socket.with_extension("pid"));
        Self {
            process: Process::start(&mut command),
            socket,
        }
    }

    /// Gives it a root device to answer for.
    fn submit(&self, uuid: &str) {
        let mut request = vec![4];
        let usn = format!("uuid:{uuid}::{ROOT_DEVICE}");
        for text in [ROOT_DEVICE, &usn, "a/1 UPnP/1.1 b/1", "http://host/"] {
            request.push(u8::try_from(text.len()).unwrap());
            request.extend_from_slice(text.as_bytes());
        }
        // All that it knows is its answer to the second request, so the first is done then.
        request.extend_from_slice(&[3, 0]);
        let mut stream = None;
        netns::wait_until("the socket of minissdpd", || {
            stream = UnixStream::connect(&self.socket).ok();
            stream.is_some()
        });
        let mut stream = stream.unwrap();
        stream.set_read_timeout(Some(crate::PATIENCE)).unwrap();
        stream.write_all(&request).unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
    }
}

impl Drop for Minissdpd {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
        let _ = std::fs::remove_file(self.socket.with_extension("pid"));
    }
}

/// Two of them, on an interface each: they find our device by their own question and by what it says
/// unasked, and our client finds them by IPv4 and IPv6.
pub(crate) fn ssdp_minissdpd_hears_and_searches_and_answers() {
    netns::require(&["minissdpd"]);
    let lab = Lab::new();
    let [a, b, c] = hosts(&lab, ["a", "b", "c"]);
    let usn = format!("uuid:{UUID}::{KIND}");
    let mut first = device(&a);
    announce(&a, &mut first);
    let mut peers = [(&b, "eth0"), (&c, "eth1")].map(|(host, interface)| {
        host.add_route(&format!("239.0.0.0/8 dev {interface}"));
        Minissdpd::start(host, interface)
    });
    // Each asks by IPv4 and IPv6; the device tells whom it answers.
    let mut asked = BTreeSet::new();
    run_until(&a, &mut first, |event| {
        if let DeviceEvent::Asked { source, target, .. } = event {
            assert_eq!(target, "ssdp:all");
            asked.insert(source.ip());
        }
        asked.len() == 4
    });
    let stopper = first.stopper().unwrap();
    let task = a.spawn(move || first.run(|_, _| {}).unwrap());
    for peer in &mut peers {
        let found = format!("new device discovered : {usn}");
        peer.process.wait_for_error_line(&found);
    }
    stopper.stop();
    task.join();
    for peer in &mut peers {
        let gone = format!("remove device : {usn}");
        peer.process.wait_for_error_line(&gone);
    }

    let mut second = device(&a);
    announce(&a, &mut second);
    for peer in &mut peers {
        let found = format!("new device discovered : {usn}");
        peer.process.wait_for_error_line(&found);
    }
    drop(second);

    for (number, peer) in peers.iter().enumerate() {
        peer.submit(&format!("{number}"));
    }
    let mut client = client(&a, ROOT_DEVICE);
    let mut found = BTreeSet::new();
    let wanted: BTreeSet<_> = [("eth0", "0"), ("eth1", "1")]
        .into_iter()
        .flat_map(|(name, uuid)| [true, false].map(|v4| ((name.to_owned(), v4), uuid.to_owned())))
        .collect();
    run_until(&a, &mut client, |event| {
        if let ClientEvent::Found(entry) = event {
            let usn = entry.advertisement.usn.clone().unwrap();
            assert_eq!(
                entry.advertisement.location.as_deref(),
                Some("http://host/")
            );
            found.insert((place(&entry), manycast::proto::ssdp::uuid_of(&usn).unwrap()));
        }
        found == wanted
    });
}

/// By IPv4: its browser finds our device and hears its goodbye, and our client finds its group.
pub(crate) fn ssdp_gssdp_finds_us_and_is_found() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut device = device(&a);
    announce(&a, &mut device);
    let stopper = device.stopper().unwrap();
    let task = a.spawn(move || device.run(|_, _| {}).unwrap());
    let browser = "\
        b = GSSDP.ResourceBrowser.new(c, 'upnp:rootdevice')\n\
        b.connect('resource-available', lambda b, usn, at: print('found', usn, at[0], flush=True))\n\
        b.connect('resource-unavailable', lambda b, usn: print('gone', usn, flush=True))\n\
        b.set_active(True)\n";
    let mut browser = gssdp(&b, "10.0.0.2", "1_0", browser);
    let usn = format!("uuid:{UUID}::{ROOT_DEVICE}");
    browser.wait_for_line(&format!("found {usn} http://"));
    stopper.stop();
    task.join();
    browser.wait_for_line(&format!("gone {usn}"));

    let group = "\
        g = GSSDP.ResourceGroup.new(c)\n\
        g.add_resource_simple('upnp:rootdevice', 'uuid:1-2::upnp:rootdevice', 'http://host/')\n\
        g.set_available(True)\n";
    let _group = gssdp(&b, "10.0.0.2", "1_0", group);
    let mut client = client(&a, ROOT_DEVICE);
    find(&a, &mut client, &[("eth0".to_owned(), true)].into());
}

/// It has IPv4 alone, and is found by its answers and its announcements.
pub(crate) fn ssdp_minidlna_is_found_and_says_goodbye() {
    netns::require(&["minidlnad"]);
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let folder = std::env::temp_dir().join(format!("minidlna-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("media")).unwrap();
    let path = folder.to_string_lossy();
    let config = format!(
        "media_dir={path}/media\ndb_dir={path}\nlog_dir={path}\nnetwork_interface=eth0,eth1,eth2\n\
         uuid=00000000-0000-0000-0000-00000000000a\n"
    );
    std::fs::write(folder.join("minidlna.conf"), config).unwrap();
    let mut command = b.command("minidlnad");
    command.args(["-S", "-f"]).arg(folder.join("minidlna.conf"));
    let mut peer = Process::start(command.arg("-P").arg(folder.join("pid")));
    let mut client = client(&a, "urn:schemas-upnp-org:device:MediaServer:1");
    let everywhere: BTreeSet<_> = ["eth0", "eth1", "eth2"]
        .map(|it| (it.to_owned(), true))
        .into();
    find(&a, &mut client, &everywhere);
    peer.interrupt();
    let mut gone = BTreeSet::new();
    run_until(&a, &mut client, |event| {
        if let ClientEvent::Gone { entry, why } = event {
            assert_eq!(why, Goodbye::Said);
            gone.insert(place(&entry));
        }
        gone == everywhere
    });
    std::fs::remove_dir_all(&folder).unwrap();
}

/// By IPv4 and IPv6: it finds our device by its question, and hears what that says unasked.
pub(crate) fn ssdp_async_upnp_client_finds_us() {
    netns::require(&["upnp-client"]);
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut device = device(&a);
    announce(&a, &mut device);
    let stopper = device.stopper().unwrap();
    let task = a.spawn(move || device.run(|_, _| {}).unwrap());
    let usn = format!("uuid:{UUID}::{ROOT_DEVICE}");
    let scoped = format!("fd00::2%{}", b.interface_index("eth0"));
    for address in ["10.0.0.2", &scoped] {
        let mut command = b.command("upnp-client");
        let search = [
            "--timeout",
            "5",
            "search",
            "--bind",
            address,
            "--search_target",
            ROOT_DEVICE,
        ];
        let mut peer = Process::start(command.args(search));
        peer.wait_for_line(&usn);
    }
    let mut command = b.command("upnp-client");
    let listen = ["advertisements", "--bind", "10.0.0.2"];
    let mut peer = Process::start(command.args(listen));
    netns::wait_until("upnp-client to join the group", || {
        let joined = b.run(|| manycast::joined_groups().unwrap());
        joined
            .iter()
            .any(|it| it.group.to_string() == "239.255.255.250")
    });
    stopper.stop();
    task.join();
    peer.wait_for_line("ssdp:byebye");
}
