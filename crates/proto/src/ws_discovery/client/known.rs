//! What is known of services: found, changed, asked for again, and given up.

use std::time::{Duration, Instant};

use super::{Client, Due, Question};
use crate::cache::Known as _;
use crate::ws_discovery::account::{Account, differences, update};
use crate::ws_discovery::{ClientEvent, Goodbye, Service};

/// How often a service that was not heard of is asked for, and how long each question waits for an answer.
const CHECKS: u32 = 3;
const CHECK: Duration = Duration::from_secs(2);

/// The longest wait before a service is asked for its addresses that has not told them.
const SOON: Duration = Duration::from_millis(50);

/// How many services are asked for a second at most: what others say must not make it flood a group.
const RATE: u32 = 200;

impl Client {
    fn is_wanted(&self, service: &Service, is_answer: bool) -> bool {
        let probes = &self.config.probes;
        // What was asked for need not be said again in the answer.
        let untold = is_answer && service.types.is_empty();
        probes.is_empty() || untold || probes.iter().any(|probe| probe.matches(service))
    }

    fn find(&self, account: &Account) -> Option<u64> {
        let (source, interface) = account.place();
        self.cache.find(source, interface, account.name())
    }

    pub(super) fn bye(&mut self, said: &Account) {
        let Some(number) = self.find(said) else {
            self.stats.unknown += 1;
            return;
        };
        let outdated = |known: &Account| said.is_older_than(known);
        if self.cache.entry(number).is_some_and(|it| outdated(it)) {
            self.stats.outdated += 1;
            return;
        }
        self.forget(number, Goodbye::Said);
    }

    pub(super) fn hear(&mut self, now: Instant, said: Account, is_answer: bool) {
        match self.find(&said) {
            Some(number) => self.refresh(now, number, said, is_answer),
            None => self.learn(now, said, is_answer),
        }
    }

    fn learn(&mut self, now: Instant, mut said: Account, is_answer: bool) {
        let service = &said.entry.service;
        said.told = self.is_wanted(service, is_answer);
        // §4.1: a Hello need not say what a service is. It is asked then, before it is told.
        let mut probes = self.config.probes.iter();
        let perhaps = !is_answer && self.config.resolve && probes.any(|it| it.may_match(service));
        if !said.told && !perhaps {
            self.stats.unasked += 1;
            return;
        }
        let (source, index) = (said.entry.source.ip(), said.entry.interface.index);
        if self.cache.len() >= self.config.entries
            || self.cache.of_source(source, index) >= self.config.per_source
        {
            self.stats.overflowed += 1;
            return;
        }
        let (entry, told) = (said.entry.clone(), said.told);
        let number = self.cache.add(said);
        self.schedule(now, number);
        if told {
            self.tell(ClientEvent::Found(entry));
        }
    }

    fn refresh(&mut self, now: Instant, number: u64, said: Account, is_answer: bool) {
        let Some(account) = self.cache.entry(number) else {
            return;
        };
        if said.is_older_than(account) {
            self.stats.outdated += 1;
            return;
        }
        let change = differences(account, &said);
        update(account, said);
        let (entry, told) = (account.entry.clone(), account.told);
        if told {
            self.schedule(now, number);
            self.tell(match change {
                Some(change) => ClientEvent::Changed { entry, change },
                None => ClientEvent::Refreshed(entry),
            });
        } else if self.is_wanted(&entry.service, false) {
            if let Some(account) = self.cache.entry(number) {
                account.told = true;
            }
            self.schedule(now, number);
            self.tell(ClientEvent::Found(entry));
        } else if is_answer {
            self.stats.unasked += 1;
            self.drop_entry(number);
        } else {
            self.schedule(now, number);
        }
    }

    /// Whether a service is to be asked for its addresses, or for what it is.
    fn lacks(&self, account: &Account) -> bool {
        let lacks = account.entry.service.addresses.is_empty() || !account.told;
        self.config.resolve && lacks && account.resolves < CHECKS
    }

    /// Sets when a service is asked for that was just heard of.
    fn schedule(&mut self, now: Instant, number: u64) {
        let Some(account) = self.cache.entry(number) else {
            return;
        };
        let account = account.clone();
        let wait = if self.lacks(&account) {
            Some(self.random.duration(Duration::ZERO..=SOON))
        } else {
            let age = self.config.age.map(|age| age.max(Duration::from_secs(1)));
            age.map(|age| age + self.random.duration(Duration::ZERO..=age / 10))
        };
        let at = wait.and_then(|wait| now.checked_add(wait));
        self.deadlines.set(Due::Check(number), at);
    }

    /// Asks for a service that has not told its addresses, or was not heard of for long; or gives it up.
    pub(super) fn check(&mut self, now: Instant, number: u64) {
        let age = self.config.age.map(|age| age.max(Duration::from_secs(1)));
        let Some(account) = self.cache.entry(number) else {
            return;
        };
        let silence = now.saturating_duration_since(account.entry.heard);
        let silent = age.is_some_and(|age| silence >= age);
        if silent && account.checks >= CHECKS {
            let entry = account.entry.clone();
            self.ask_anew(now, &entry);
            return self.forget(number, Goodbye::NoAnswer);
        }
        if !silent && account.resolves >= CHECKS {
            if account.told {
                self.schedule(now, number);
            } else {
                self.drop_entry(number);
            }
            return;
        }
        let wait = if self.allowance.take(now, RATE, 1) {
            if silent {
                account.checks += 1;
            } else {
                account.resolves += 1;
            }
            let question = Question::Resolve { entry: number };
            self.questions.push_back(question);
            CHECK
        } else {
            self.random.duration(CHECK / 2..=CHECK)
        };
        let at = now.checked_add(wait);
        self.deadlines.set(Due::Check(number), at);
    }

    pub(super) fn forget(&mut self, number: u64, why: Goodbye) {
        if let Some(Account { entry, told, .. }) = self.drop_entry(number)
            && told
        {
            self.tell(ClientEvent::Gone { entry, why });
        }
    }

    fn drop_entry(&mut self, number: u64) -> Option<Account> {
        self.deadlines.set(Due::Check(number), None);
        self.cache.remove(number)
    }
}
