//! What a receiver has left behind, and what the next one makes of it.

use super::*;

/// Half of a file has come when its receiver stops; something is done to what it has left, and it is
/// started again. How much of the file was then sent once more, from 0 to 1.
fn sent_again(port: u16, meanwhile: impl Fn(&Path)) -> f64 {
    let site = Site::new(port);
    let large = content(10_000_000);
    site.file("large", &large);
    let other = site.receive("other", |_| {});
    let whole = site.send(&["large"], expect(&["other"])).unwrap();
    other.report();
    let first = site.receive("r", |_| {});
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            site.send(&["large"], |options| {
                options.names = vec!["r".to_owned()];
                options.rate = 16_000_000;
            })
        });
        loop {
            match first.events.recv().unwrap() {
                ReceiveEvent::Progress { bytes, .. } if bytes > 5_000_000 => break,
                _ => {}
            }
        }
        first.stop.stop();
        first.report();
        meanwhile(&site.path("r").join(temporary("large")));
        let again = site.receive("r", |_| {});
        let report = sending.join().unwrap().unwrap();
        assert!(report.is_complete(), "{report:#?}");
        assert!(again.report().deliveries[0].is_complete());
        assert!(fs::read(site.path("r/large")).unwrap() == large);
        assert_eq!(names(&site.path("r")), ["large"]);
        (report.datagrams + report.repairs) as f64 / whole.datagrams as f64 - 1.0
    })
}

#[test]
fn a_receiver_that_is_started_again_goes_on_within_a_file() {
    let again = sent_again(5122, |_| {});
    assert!(again < 0.4, "half of it was there: {again}");
}

/// The hash of the whole tells it, and all of it comes again.
#[test]
fn what_is_damaged_while_a_receiver_is_away_is_not_used() {
    let again = sent_again(5123, |part| {
        let file = fs::File::options().write(true).open(part).unwrap();
        file.write_all_at(b"damaged", 100).unwrap();
    });
    assert!(again > 0.9, "{again}");
}

/// What another program has left beside a file is replaced, not added to.
#[test]
fn what_was_left_over_is_taken_away() {
    let site = Site::new(5110);
    site.file("file", b"whole");
    let left = site.target("r").join(temporary("file"));
    fs::write(&left, b"half").unwrap();
    let receiver = site.receive("r", |_| {});
    assert!(site.send(&["file"], expect(&["r"])).unwrap().is_complete());
    receiver.report();
    assert_eq!(names(&site.path("r")), ["file"]);
}
