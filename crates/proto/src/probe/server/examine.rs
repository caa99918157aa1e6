//! Examinations of the host, and what they need: a group that is left for a while.

use std::net::SocketAddr;
use std::time::Instant;

use super::super::event::{Inquiry, ServerEvent};
use super::super::message::Body;
use super::super::{Refusal, Report};
use super::Server;
use super::session::Session;
use crate::Output;

impl Server {
    /// Leaves the group of an inquiry until it is [`examined`](Self::examined); then
    /// [`ServerEvent::Suspended`] comes. What the host sends to itself meanwhile is not received here,
    /// and not missed by others who share the port. Who agrees on the group meanwhile is welcomed when
    /// it is joined again.
    ///
    /// It says whether it does that. It does not where others have agreed on the group: what they send
    /// to it would be lost, and they would take it for a fault. Then there is no event.
    #[must_use = "the group is not always left"]
    pub fn suspend(&mut self, inquiry: &Inquiry) -> bool {
        let mut sessions = self.sessions.iter();
        let is_others = |it: &Session| it.group == inquiry.group && it.cookie != inquiry.cookie;
        if self.stopped || sessions.any(is_others) {
            return false;
        }
        if !self.is_suspended(inquiry.group) {
            self.leave(inquiry.group);
        }
        if !self.suspended.contains(inquiry) {
            self.suspended.push(inquiry.clone());
        }
        let suspended = ServerEvent::Suspended(inquiry.clone());
        self.outputs.push_back(Output::Event(suspended));
        true
    }

    /// Takes in what the host has found on itself.
    pub fn examined(&mut self, inquiry: &Inquiry, report: &Report) {
        if self.stopped {
            return;
        }
        let suspended = self.suspended.iter().position(|it| it == inquiry);
        if let Some(index) = suspended {
            self.suspended.swap_remove(index);
            self.join_again(inquiry.group);
        }
        if let Some(index) = self.awaiting(inquiry.cookie, inquiry.number) {
            let report = report.emit();
            let length = u16::try_from(report.len()).unwrap_or(u16::MAX);
            self.sessions[index].report = report;
            self.answer(index, Body::Examined { length });
        }
        let examined = ServerEvent::Examined(inquiry.clone());
        self.outputs.push_back(Output::Event(examined));
    }

    /// Has the host examined, if it is not asked for too often.
    pub(super) fn inquire(
        &mut self,
        now: Instant,
        index: usize,
        inquiry: Inquiry,
        round: u32,
        sent: u16,
    ) {
        if !self.allowance.take(now, self.config.rate) {
            self.answer(index, Body::Refused(Refusal::TooMuch));
            return;
        }
        let arrivals = self.sessions[index].arrivals(round);
        self.outputs.push_back(Output::Event(ServerEvent::Examine {
            inquiry,
            sent,
            arrivals,
        }));
    }

    pub(super) fn is_suspended(&self, group: SocketAddr) -> bool {
        self.suspended.iter().any(|it| it.group == group)
    }

    /// Joins a group for those who need it, unless another examination wants it left.
    fn join_again(&mut self, group: SocketAddr) {
        if self.is_suspended(group) {
            return;
        }
        let here = |index: &usize| self.sessions[*index].group == group;
        let sessions: Vec<usize> = (0..self.sessions.len()).filter(here).collect();
        let is_held = |index: &usize| self.sessions[*index].is_held;
        let (held, others): (Vec<usize>, Vec<usize>) = sessions.into_iter().partition(is_held);
        if held.is_empty() && !others.is_empty() {
            self.join(None, group);
        }
        for index in held {
            self.welcome(index);
        }
    }
}
