use super::*;

/// Who asks for more than was sent meanwhile gets what is more, and not all anew.
#[test]
fn what_was_sent_is_taken_out() {
    let asked = |count: u16| {
        let mut requests = Requests::new(FecId::ReedSolomon8, 1000);
        requests.symbols(7, 3, 20, 20..20 + count);
        let mut asked = Wanted::default();
        asked.add(&requests.finish().0, 7, 0..8, |_, first, last| {
            (Some((first, last)), false)
        });
        asked
    };
    let sent = |symbols: std::ops::Range<u16>, fresh| {
        let mut repair = Repair {
            symbols: Symbols::default(),
            fresh,
        };
        symbols.for_each(|symbol| {
            repair.symbols.insert(symbol);
        });
        repair
    };
    let left = |repair: &Repair| {
        let mut wanted = asked(16);
        wanted.take_out(7, 3, repair);
        wanted.take_block(7, 3).map(|block| block.count)
    };
    assert_eq!(left(&sent(20..33, 13)), Some(3));
    for repair in [sent(20..36, 16), sent(20..37, 17), sent(0..20, WHOLE)] {
        assert_eq!(left(&repair), None, "{repair:?}");
    }
    // Without parity, what others miss is of no use, however much it is.
    assert_eq!(left(&sent(0..20, 0)), Some(16));
    assert_eq!(left(&sent(0..30, 0)), Some(6));
    assert_eq!(left(&sent(0..36, 0)), None);
}

/// A sender repairs more blocks in its life than a set names at a time.
#[test]
fn what_was_taken_out_leaves_room() {
    let mut repairs = Wanted::default();
    for block in (0..).take(3 * MOST_BLOCKS) {
        let mut requests = Requests::new(FecId::ReedSolomon8, 1000);
        requests.symbols(7, block, 20, [3]);
        let mut asked = Wanted::default();
        asked.add(&requests.finish().0, 7, 7..8, |_, first, last| {
            (Some((first, last)), false)
        });
        repairs.merge(&asked);
        let taken = repairs.take_block(7, block);
        assert_eq!(taken.map(|block| block.count), Some(1), "{block}");
    }
}

/// A request of 64 kB takes no more time than a few of those that receivers send.
#[test]
fn a_long_request_is_read_in_part() {
    let item = |object, block| Item {
        fec: FecId::ReedSolomon8,
        object,
        id: PayloadId {
            block,
            length: 0,
            symbol: 0,
        },
    };
    let pair = [item(0, 0), item(0, 9)];
    let requests = [Request {
        form: Form::Ranges,
        flags: Request::BLOCK,
        items: pair.into_iter().cycle().take(8000).collect(),
    }];
    let read = std::cell::Cell::new(0);
    let mut asked = Wanted::default();
    asked.add(&requests, 0, 0..1000, |_, first, last| {
        read.set(read.get() + 1);
        (Some((first, last)), false)
    });
    assert_eq!(read.get(), MOST_ITEMS);
}
