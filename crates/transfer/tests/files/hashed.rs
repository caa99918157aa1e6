//! Files that are hashed as they are sent: whoever has them already waits for the hash.

use std::os::unix::fs::MetadataExt;

use super::*;

/// Its hash is not known when it begins.
const LARGE: usize = 20_000_000;

#[test]
fn a_large_file_that_is_there_is_not_sent_again() {
    let site = Site::new(5124);
    let large = content(LARGE);
    site.file("large", &large);
    fs::write(site.target("a").join("large"), &large).unwrap();
    let receiver = site.receive("a", |_| {});
    let report = site.send(&["large"], expect(&["a"])).unwrap();
    assert!(report.is_complete(), "{report:#?}");
    assert!(report.datagrams < 20, "{}", report.datagrams);
    assert_eq!((report.bytes, report.sent), (20_000_000, 0));
    assert!(receiver.report().deliveries[0].is_complete());
}

/// It goes to those that lack it meanwhile, and to those that have another one once they know.
#[test]
fn a_large_file_is_compared_where_one_of_its_length_is() {
    let site = Site::new(5125);
    let large = content(LARGE);
    site.file("large", &large);
    let names = ["has", "lacks", "keeps", "replaces"];
    let other = vec![7; LARGE];
    let there = [Some(&large), None, Some(&other), Some(&other)];
    for (name, there) in names.iter().zip(there) {
        if let Some(there) = there {
            fs::write(site.target(name).join("large"), there).unwrap();
        }
    }
    let number = |name: &str| fs::metadata(site.path(name).join("large")).map(|it| it.ino());
    let before = number("has").unwrap();
    let receivers =
        names.map(|name| site.receive(name, |options| options.overwrite = name == "replaces"));
    let report = site.send(&["large"], expect(&names)).unwrap();
    for receiver in receivers {
        receiver.report();
    }
    let states = names.map(|name| {
        let mut receivers = report.receivers.iter();
        let receiver = receivers.find(|it| it.name == name).unwrap();
        receiver.files[0].clone()
    });
    let FileState::Failed(why) = &states[2] else {
        panic!("{states:?}");
    };
    assert!(why.contains("it is there already with other content"));
    for at in [0, 1, 3] {
        assert_eq!(states[at], FileState::Verified, "{}", names[at]);
        assert!(fs::read(site.path(names[at]).join("large")).unwrap() == large);
    }
    assert_eq!(number("has").unwrap(), before, "it was left alone");
    assert!(fs::read(site.path("keeps/large")).unwrap() == other);
}

/// One that cannot say that it lacks the hash gets it too. Nor can it ask for another round once the hash
/// tells that what is there differs, so that is replaced without it.
#[test]
fn a_silent_receiver_verifies_a_large_file() {
    let large = content(LARGE);
    for (port, there) in [(5126, None), (5128, Some(vec![7; LARGE]))] {
        let site = Site::new(port);
        site.file("large", &large);
        if let Some(there) = there {
            fs::write(site.target("silent").join("large"), there).unwrap();
        }
        let receiver = site.receive("silent", |options| {
            (options.silent, options.overwrite) = (true, true);
        });
        site.send(&["large"], |_| {}).unwrap();
        assert!(receiver.report().deliveries[0].is_complete());
        assert!(fs::read(site.path("silent/large")).unwrap() == large);
    }
}

/// Who comes while it is sent, and has it, is told the hash when that is known.
#[test]
fn a_late_receiver_compares_a_large_file() {
    let site = Site::new(5127);
    let large = content(LARGE);
    site.file("large", &large);
    fs::write(site.target("late").join("large"), &large).unwrap();
    let first = site.receive("first", |_| {});
    let mut options = SendOptions::default();
    options.names = vec!["first".to_owned()];
    options.round_trip = Duration::from_millis(5);
    options.rate = 400_000_000;
    let sending = Sending::new(&*site.address, [site.path("from/large")], options).unwrap();
    let mut late = None;
    let report = sending
        .run(|event| {
            if let SendEvent::Progress(progress) = event
                && progress.datagrams > 100
            {
                late.get_or_insert_with(|| site.receive("late", |_| {}));
            }
        })
        .unwrap();
    assert!(report.is_complete(), "{report:#?}");
    assert_eq!(report.receivers.len(), 2);
    assert!(first.report().deliveries[0].is_complete());
    assert!(late.unwrap().report().deliveries[0].is_complete());
}
