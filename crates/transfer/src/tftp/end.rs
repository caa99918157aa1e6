//! This end of a transfer: a file, which is read and written at once, or a stream, which may be as slow
//! as whoever is at its other end. A stream has a thread of its own, so that the transfer goes on
//! meanwhile: what is lost is sent again, and a stop is heard.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use manycast_io::Commands;
use manycast_proto::tftp::Client;

use super::Error;
use super::client::refusal_of;
use super::file::{Origin, Target};

/// What the protocol wants done.
pub(super) enum Job {
    Read { offset: u64, length: usize },
    Write { offset: u64, bytes: Bytes },
    Finish,
}

/// What the protocol is told of a job that is done.
type Done = Box<dyn FnOnce(&mut Client, Instant) + Send>;

/// Where bytes go, or where they come from.
pub(super) enum Place {
    Target(Target),
    Origin(Origin),
    /// It is finished.
    Gone,
}

impl Place {
    fn work(&mut self, job: Job) -> Result<Done, Error> {
        match (job, self) {
            (Job::Read { offset, length }, Self::Origin(origin)) => {
                let part = origin.read(length)?;
                Ok(Box::new(move |client, now| {
                    client.provide(now, offset, part);
                }))
            }
            (Job::Write { offset, bytes }, Self::Target(target)) => {
                target.write(offset, &bytes)?;
                let count = bytes.len();
                Ok(Box::new(move |client, _| client.written(count)))
            }
            (Job::Finish, place) => {
                if let Self::Target(target) = std::mem::replace(place, Self::Gone) {
                    target.finish()?;
                }
                Ok(Box::new(|client, now| client.stored(now)))
            }
            _ => Ok(Box::new(|_, _| {})),
        }
    }

    fn is_stream(&self) -> bool {
        match self {
            Self::Target(target) => target.is_stream(),
            Self::Origin(origin) => origin.is_stream(),
            Self::Gone => false,
        }
    }
}

/// This end.
pub(super) enum End {
    Here(Place),
    Aside {
        jobs: mpsc::Sender<Job>,
        failure: Arc<Mutex<Option<Error>>>,
    },
}

impl End {
    /// Has a thread for it where it is a stream.
    pub(super) fn new(place: Place, commands: Commands<Client>) -> Result<Self, Error> {
        if !place.is_stream() {
            return Ok(Self::Here(place));
        }
        let (jobs, receiver) = mpsc::channel();
        let failure = Arc::new(Mutex::new(None));
        let told = Arc::clone(&failure);
        // It is not waited for: it ends with the job that it does when the transfer is gone.
        thread::Builder::new()
            .name("tftp-stream".to_owned())
            .spawn(move || work(place, &receiver, &commands, &told))
            .map_err(|error| Error::file("start", "a thread", error))?;
        Ok(Self::Aside { jobs, failure })
    }

    /// Does a job, or has it done, and tells the protocol.
    pub(super) fn work(
        &mut self,
        job: Job,
        client: &mut Client,
        now: Instant,
    ) -> Result<(), Error> {
        match self {
            Self::Here(place) => place.work(job)?(client, now),
            // After an error the thread has ended, and the protocol was told of that.
            Self::Aside { jobs, .. } => drop(jobs.send(job)),
        }
        Ok(())
    }

    /// What went wrong with a stream.
    pub(super) fn failure(&self) -> Option<Error> {
        match self {
            Self::Here(_) => None,
            Self::Aside { failure, .. } => failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        }
    }
}

fn work(
    mut place: Place,
    jobs: &mpsc::Receiver<Job>,
    commands: &Commands<Client>,
    failure: &Mutex<Option<Error>>,
) {
    for job in jobs {
        match place.work(job) {
            Ok(done) => {
                commands.give(done);
            }
            Err(error) => {
                let refusal = refusal_of(&error);
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                commands.give(move |client, now| client.abort(now, refusal));
                return;
            }
        }
    }
}
