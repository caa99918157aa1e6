//! Ten thousand hosts.

use manycast_proto::ask::{Client, ClientConfig, Responder, ResponderConfig};

use super::*;

const HOSTS: u16 = 10_000;

/// Notes where in memory the payloads stand.
#[derive(Default)]
struct Places(Vec<*const u8>);

impl Protocol for Places {
    type Event = ();

    fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
        self.0.push(datagram.payload.as_ptr());
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        Output::Wait {
            until: None,
            reason: "anything",
        }
    }
}

#[test]
fn a_group_of_ten_thousand_hosts_is_reached_with_one_payload_each_time() {
    let mut sim = Sim::new(1);
    sim.set_links(Link {
        loss: 0.01,
        ..Link::default()
    });
    let members: Vec<_> = (0..HOSTS)
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            let host = sim.add_host([&*format!("10.1.{high}.{low}")]);
            let member = sim.bind(host, 5000, Places::default());
            sim.join(member, Group::new(GROUP.into()));
            member
        })
        .collect();
    let sender = sim.add_host(["10.0.0.1"]);
    sim.bind(sender, 5000, Pulse::new((GROUP, 5000), MILLISECOND, 20));
    sim.run_for(MILLISECOND * 100);

    // 20 and the farewell.
    let traffic = sim.traffic();
    assert_eq!(traffic.sent, 21);
    assert_eq!(traffic.delivered + traffic.lost, 21 * u64::from(HOSTS));
    // Of 210,000, 2,100 are lost; the standard deviation is 46.
    assert!((1_900..=2_300).contains(&traffic.lost), "{traffic:?}");
    let mut places: Vec<_> = members
        .iter()
        .flat_map(|member| sim.protocol(*member).0.iter().copied())
        .collect();
    places.sort_unstable();
    places.dedup();
    assert!(places.len() <= 21, "payloads were copied: {}", places.len());
    // No pair needs to be remembered where links have no memory.
    assert!(sim.pairs.is_empty());
}

#[test]
fn links_that_have_done_their_work_are_forgotten() {
    let mut sim = Sim::new(1);
    sim.set_links(Link {
        jitter: MILLISECOND * 5,
        ..Link::default()
    });
    let hosts: Vec<_> = (0..400_u16)
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            let host = sim.add_host([&*format!("10.1.{high}.{low}")]);
            let member = sim.bind(host, 5000, Places::default());
            sim.join(member, Group::new(GROUP.into()));
            host
        })
        .collect();
    let mut most = 0;
    for host in hosts {
        sim.bind(host, 4000, Pulse::new((GROUP, 5000), MILLISECOND, 0));
        sim.run_for(MILLISECOND * 10);
        most = most.max(sim.pairs.len());
    }
    // Each of 400 has sent to 399 others, and a farewell is all of it.
    assert_eq!(sim.traffic().delivered, 400 * 400);
    assert!((90_000..=100_400).contains(&most), "{most}");
}

#[test]
fn ten_thousand_answers_at_once_are_too_many_for_a_narrow_link() {
    let mut sim = Sim::new(1);
    let asker = sim.add_host(["10.0.0.1"]);
    let narrow = Link {
        rate: Some(10_000_000),
        queue: 64_000,
        ..Link::default()
    };
    sim.set_access(asker, "eth0", narrow, narrow);
    for number in 0..HOSTS {
        let [high, low] = number.to_be_bytes();
        let host = sim.add_host([&*format!("10.1.{high}.{low}")]);
        let responder = Responder::new(ResponderConfig::default());
        let responder = sim.bind(host, 8888, responder);
        sim.join(responder, Group::new(GROUP.into()));
    }
    let question = ClientConfig {
        retries: 0,
        ..ClientConfig::new((GROUP, 8888).into(), "who is there?")
    };
    let client = Client::new(question, sim.seed());
    let client = sim.bind(asker, 0, client);
    sim.run_for(Duration::from_secs(5));

    let answers = sim.protocol(client).stats().answers;
    let traffic = sim.traffic();
    assert_eq!(
        answers + traffic.overflowed,
        u64::from(HOSTS),
        "{traffic:?}"
    );
    // All answer at once, and the queue has room for 64,000 bytes of them.
    let bytes = answers * (28 + "who is there?".len() as u64);
    assert!((62_000..=64_000).contains(&bytes), "{bytes}");
}
