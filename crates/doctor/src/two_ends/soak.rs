//! Whether the group goes on to come.

use std::time::{Duration, Instant};

use super::super::paths::{SHORT, Soak, Toward, Trial};
use super::session::Session;
use manycast_io::Error;

/// A group that was silent for so many seconds of a soak has ceased.
const CEASED: u32 = 4;

impl Session<'_> {
    /// Two datagrams a second to the group, until it ceases to come or time is up.
    pub(super) fn soak(&mut self, duration: Duration) -> Result<(), Error> {
        let passed =
            |trial: &&Trial| trial.to_group && trial.toward == Toward::Here && trial.came > 0;
        let found = self.known.trials.iter().rev().find(passed).copied();
        let Some(found) = found else {
            return Ok(());
        };
        let two = Trial {
            size: SHORT,
            sent: 2,
            ..found
        };
        self.how.notes.tell(&format!(
            "all was tried once; two datagrams a second follow for {:.0} s",
            duration.as_secs_f64()
        ));
        let began = Instant::now();
        let (mut silent, mut last) = (0, self.joined_at.elapsed());
        let mut soak = Soak::default();
        while began.elapsed() < duration && !self.how.cancellation.is_requested() {
            let next = Instant::now() + Duration::from_secs(1);
            let came = self.attempt(two)?;
            self.known.trials.pop();
            soak.sent += 2;
            soak.came += u32::from(came);
            soak.lasted = began.elapsed();
            self.known.soak = Some(soak);
            if came > 0 {
                (silent, last) = (0, self.joined_at.elapsed());
            } else {
                silent += 1;
            }
            if silent == CEASED {
                soak.revived = self.join_anew(two)?;
                soak.silent_after = Some(last);
                self.known.soak = Some(soak);
                break;
            }
            self.how
                .cancellation
                .wait(next.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    /// Leaves the group, joins it again, and says whether it comes again.
    fn join_anew(&mut self, trial: Trial) -> Result<bool, Error> {
        let wanted = self.wanted();
        self.driver.protocol_mut().leave(wanted.clone());
        self.join(wanted)?;
        for _ in 0..CEASED {
            let came = self.attempt(trial)?;
            self.known.trials.pop();
            if came > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
