//! The same on a Tokio runtime.

use std::fmt;

use manycast_io::Stopper;
use manycast_io::tokio::{Driver, Socket};

use crate::browse::{BrowseStats, Browsing, PATIENCE};
use crate::dns_sd::Search;
use crate::{BrowseConfig, Device, Error, Event, Service, devices};

/// As [`crate::Browser`], but its waits are asynchronous.
///
/// ```
/// use std::time::Duration;
///
/// use manycast::discovery::BrowseConfig;
/// use manycast::discovery::tokio::Browser;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = BrowseConfig::default();
/// config.interfaces = vec!["lo".parse()?];
/// config.duration = Some(Duration::from_millis(200));
/// let mut browser = Browser::new(config).await?;
/// while let Some(event) = browser.next_event().await? {
///     println!("{event:?}");
/// }
/// # Ok(())
/// # }
/// ```
pub struct Browser {
    driver: Driver<Browsing>,
    _search: Option<Search>,
}

/// As [`crate::discover`].
///
/// # Errors
///
/// Those of [`crate::discover`].
pub async fn discover(mut config: BrowseConfig) -> Result<Vec<Device>, Error> {
    config.duration.get_or_insert(PATIENCE);
    let mut browser = Browser::new(config).await?;
    while browser.next_event().await?.is_some() {}
    Ok(browser.devices())
}

impl Browser {
    /// As [`crate::Browser::new`].
    ///
    /// # Errors
    ///
    /// Those of [`crate::Browser::new`].
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub async fn new(config: BrowseConfig) -> Result<Self, Error> {
        config.check()?;
        let socket = Socket::bind(":0").await?;
        let mut driver = Driver::new(socket, Browsing::new(&config))?;
        let commands = driver.commands()?;
        let search = driver.protocol_mut().search(&config, commands)?;
        Ok(Self {
            driver,
            _search: search,
        })
    }

    /// Waits for what is told next; `None` when it is over. Cancelling it loses nothing.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Browser::next_event`].
    pub async fn next_event(&mut self) -> Result<Option<Event>, Error> {
        Ok(self.driver.next_event().await?)
    }

    /// As [`crate::Browser::services`].
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.driver.protocol().services()
    }

    /// As [`crate::Browser::devices`].
    pub fn devices(&self) -> Vec<Device> {
        devices(self.services())
    }

    /// As [`crate::Browser::stats`].
    pub fn stats(&self) -> BrowseStats {
        self.driver.protocol().stats()
    }

    /// As [`crate::Browser::stopper`].
    ///
    /// # Errors
    ///
    /// Too many open files.
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        Ok(self.driver.stopper()?)
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser")
            .field("driver", &self.driver)
            .finish_non_exhaustive()
    }
}
