//! What trials mean, from recorded ones.

use std::net::SocketAddr;

use manycast_net::Operation;

use super::*;

fn trial(size: u16, sent: u8, came: u8) -> Trial {
    Trial {
        toward: Toward::Here,
        to_group: true,
        by_route: true,
        hops: 1,
        size,
        sent,
        came,
    }
}

fn found(trials: &[Trial]) -> Vec<(Code, Confidence)> {
    let target = super::super::target(&"239.1.2.3:5000".parse().unwrap()).unwrap();
    let findings = findings(&target, trials, None, "10.0.0.1");
    let found = findings.iter();
    found
        .map(|finding| (finding.code, finding.confidence))
        .collect()
}

/// The kernel says by its error which of them it is.
#[test]
fn a_route_that_prohibits_is_no_firewall() {
    let to: SocketAddr = "239.1.2.3:5000".parse().unwrap();
    let context = Context {
        target: super::super::target(&to.into()).unwrap(),
        host: super::super::Snapshot::default(),
        watched: None,
        program: None,
    };
    let found = |errno| {
        let error = manycast_net::Error::from_errno(Operation::Send, to, errno);
        let found = cannot_send(
            &context,
            &NetworkError::new(error.kind(), error.to_string()),
            0,
            None,
        )
        .unwrap();
        (found.code, found.confidence)
    };
    assert_eq!(
        found(libc::EPERM),
        (Code::FirewallDrops, Confidence::Proved)
    );
    assert_eq!(found(libc::EACCES), (Code::NoRoute, Confidence::Likely));
}

#[test]
fn loss_is_no_matter_of_the_size() {
    // A switch that lets a fifth of multicast pass: chance decides which sizes come.
    let limited = [trial(SHORT, 20, 4), trial(1400, 3, 1), trial(4000, 6, 0)];
    assert_eq!(found(&limited), [(Code::Loss, Confidence::Proved)]);
    let pieces = [
        trial(SHORT, 20, 20),
        trial(1400, 3, 3),
        trial(4000, 3, 0),
        trial(4000, 3, 0),
    ];
    assert_eq!(found(&pieces), [(Code::Fragmentation, Confidence::Proved)]);
    // One datagram of a size tells little.
    let one = [trial(SHORT, 20, 20), trial(1400, 3, 3), trial(4000, 1, 0)];
    assert_eq!(found(&one), [(Code::Fragmentation, Confidence::Likely)]);
    assert_eq!(found(&[trial(SHORT, 20, 20), trial(4000, 3, 3)]), []);
}

#[test]
fn a_hop_limit_that_suffices_by_chance_is_no_proof() {
    let swept = [
        Trial {
            hops: 1,
            ..trial(SHORT, 20, 0)
        },
        Trial {
            hops: 2,
            ..trial(SHORT, 20, 20)
        },
    ];
    assert_eq!(found(&swept), [(Code::HopLimit, Confidence::Proved)]);
    let lossy = [
        Trial {
            hops: 1,
            ..trial(SHORT, 20, 0)
        },
        Trial {
            hops: 2,
            ..trial(SHORT, 20, 2)
        },
    ];
    assert!(found(&lossy).contains(&(Code::HopLimit, Confidence::Likely)));
}
