//! The sockets of another program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;

use crate::{ForeignSocket, OpenSocket, SocketOwner};

use super::{Context, Flow, Program, ProgramChoice, ProgramSocket, Snapshot, SocketMembership};
use manycast_io::Error;

/// A program before it was watched.
pub(super) struct Examined {
    name: String,
    sockets: Vec<ProgramSocket>,
}

/// Up to this index, memberships of the sockets on the port are looked for on interfaces that are gone.
const HIGHEST_INDEX: u32 = 4096;

/// Of how many groups memberships are asked for.
const MOST_GROUPS: usize = 64;

impl Examined {
    /// Finds the sockets, and what each is a member of.
    pub(super) fn find(choice: ProgramChoice, context: &Context) -> Result<Self, Error> {
        let owners = crate::socket_owners();
        let own = std::process::id();
        let mut sockets = Vec::new();
        for socket in &context.host.sockets {
            let all = owners.get(&socket.inode);
            let owner = match choice {
                ProgramChoice::Pid(pid) => {
                    match all.and_then(|all| all.iter().find(|owner| owner.pid == pid)) {
                        Some(owner) => Some(owner),
                        None => continue,
                    }
                }
                ProgramChoice::Port if socket.local.port() == context.target.port => {
                    all.and_then(|all| all.iter().find(|owner| owner.pid != own))
                }
                ProgramChoice::Port => continue,
            };
            let mut socket = socket.clone();
            let foreign = owner.and_then(|owner| ForeignSocket::open(owner).ok());
            if let Some(foreign) = &foreign {
                socket.loopback = socket.loopback.or_else(|| foreign.loopback());
                socket.multicast_all = socket.multicast_all.or_else(|| foreign.multicast_all());
            }
            sockets.push(ProgramSocket {
                multicast_interface: foreign
                    .as_ref()
                    .and_then(ForeignSocket::multicast_interface),
                memberships: foreign.map(|foreign| memberships(&foreign, context, HIGHEST_INDEX)),
                owner: owner.cloned(),
                socket,
                dropped: 0,
            });
        }
        let name = match (
            choice,
            sockets.first().and_then(|found| found.owner.as_ref()),
        ) {
            (ProgramChoice::Pid(pid), None) if is_elsewhere(pid) => {
                return Err(Error::unsuitable(
                    format!("process {pid}"),
                    "it is in another network namespace, as those in containers are; run the \
                     doctor there: sudo nsenter --net --target PID manycast doctor ADDRESS --pid \
                     PID",
                ));
            }
            (ProgramChoice::Pid(pid), None) => {
                return Err(Error::unsuitable(
                    format!("process {pid}"),
                    "it has no UDP socket here, is not there, or belongs to another user; \
                     see 'ss -uanp'",
                ));
            }
            (ProgramChoice::Pid(_), Some(owner)) => owner.to_string(),
            (ProgramChoice::Port, Some(owner)) if is_one(&sockets) => owner.to_string(),
            (ProgramChoice::Port, _) if sockets.is_empty() => {
                return Err(Error::unsuitable(
                    &context.target.address,
                    "no program of this host has a UDP socket on its port; see 'ss -uan'",
                ));
            }
            (ProgramChoice::Port, _) => format!("who has port {}", context.target.port),
        };
        let others = others(&sockets, &owners, context);
        sockets.extend(others);
        Ok(Self { name, sockets })
    }

    /// Counts what was dropped since.
    pub(super) fn finish(mut self, host: &Snapshot) -> Result<Program, Error> {
        let now = crate::open_sockets()?;
        let dropped = |before: &OpenSocket| -> u64 {
            let after = now.iter().find(|after| after.inode == before.inode);
            let drops = |socket: &OpenSocket| socket.drops.unwrap_or_default();
            after.map_or(0, |after| drops(after).wrapping_sub(drops(before)).into())
        };
        for before in &mut self.sockets {
            before.dropped = dropped(&before.socket);
        }
        Ok(Program {
            name: self.name,
            sockets: self.sockets,
            dropped_on_host: host.sockets.iter().map(dropped).sum(),
        })
    }
}

/// Whether all sockets are one program's.
fn is_one(sockets: &[ProgramSocket]) -> bool {
    let mut owners = sockets.iter().map(|found| found.owner.as_ref());
    let first = owners.next().flatten().map(|owner| owner.pid);
    first.is_some() && owners.all(|owner| owner.map(|owner| owner.pid) == first)
}

impl Program {
    /// The programs that it is, where it is whoever has a port.
    pub(super) fn each(&self) -> Vec<Self> {
        let mut programs: Vec<(Result<u32, u32>, Self)> = Vec::new();
        for found in &self.sockets {
            let owner = found.owner.as_ref();
            let key = owner.map_or(Err(found.socket.user), |owner| Ok(owner.pid));
            match programs.iter_mut().find(|(known, _)| *known == key) {
                Some((_, program)) => program.sockets.push(found.clone()),
                None => {
                    let name = match owner {
                        Some(owner) => owner.to_string(),
                        None => format!("a program of user {}", found.socket.user),
                    };
                    let program = Self {
                        name,
                        sockets: vec![found.clone()],
                        ..*self
                    };
                    programs.push((key, program));
                }
            }
        }
        programs.into_iter().map(|(_, program)| program).collect()
    }

    /// Whether one of its sockets receives one of these flows: a program may have a socket for each
    /// interface, or for each source.
    pub(super) fn gets_any(&self, flows: &[Flow], host: &Snapshot) -> bool {
        let gets = |found: &ProgramSocket| flows.iter().any(|flow| found.gets(flow, host));
        self.sockets.iter().any(gets)
    }

    /// What its sockets have joined, as far as this user may ask them.
    pub(super) fn memberships(&self) -> impl Iterator<Item = &SocketMembership> {
        let sockets = self.sockets.iter();
        sockets.flat_map(|found| found.memberships.iter().flatten())
    }
}

impl ProgramSocket {
    /// Whether it receives a flow of a group, as the kernel decides it (`ip_mc_sf_allow`,
    /// `inet6_mc_check`); where this user may not ask for its memberships, it may.
    pub(super) fn gets(&self, flow: &Flow, host: &Snapshot) -> bool {
        let (group, index) = (flow.destination.ip(), flow.interface.index);
        let (socket, bound) = (&self.socket, self.socket.local.ip());
        let is_open = socket.local.port() == flow.destination.port()
            && (bound == group || bound.is_unspecified() && socket.takes(group.is_ipv4()))
            && socket.device.is_none_or(|device| device == index)
            && socket.admits(flow);
        let Some(memberships) = &self.memberships else {
            return is_open;
        };
        let is_member = |membership: &SocketMembership| membership.interface == index;
        let of_group = memberships.iter().filter(|own| own.group == group);
        // Of IPv6, it looks at the group alone.
        let mut own = of_group.filter(|own| is_member(own) || group.is_ipv6());
        let fed = own.clone().any(is_member)
            || host
                .joined
                .iter()
                .any(|joined| joined.group == group && joined.interface.index == index);
        let admits = if own.clone().next().is_none() {
            socket.multicast_all != Some(false)
        } else {
            own.any(|membership| membership.sources.admits(flow.source.ip()))
        };
        is_open && fed && admits
    }
}

/// Sockets of the same programs that are bound to no port, or to another, and members of the group:
/// what they joined reaches those on the port as well, unless these have switched that off.
fn others(
    known: &[ProgramSocket],
    owners: &BTreeMap<u32, Vec<SocketOwner>>,
    context: &Context,
) -> Vec<ProgramSocket> {
    let programs: BTreeSet<u32> = known
        .iter()
        .filter_map(|found| Some(found.owner.as_ref()?.pid))
        .collect();
    let links = context.host.interfaces.iter().map(|link| link.index);
    let highest = links.max().unwrap_or(0).min(HIGHEST_INDEX);
    let is_known = |inode: u32| known.iter().any(|found| found.socket.inode == inode);
    owners
        .iter()
        .filter(|(inode, _)| !is_known(**inode))
        .filter_map(|(inode, all)| {
            let owner = all.iter().find(|owner| programs.contains(&owner.pid))?;
            Some((*inode, owner))
        })
        .filter_map(|(inode, owner)| {
            let foreign = ForeignSocket::open(owner).ok();
            let foreign = foreign.filter(ForeignSocket::takes_datagrams)?;
            let mut joined = memberships(&foreign, context, highest);
            joined.retain(|membership| membership.group == context.target.ip);
            (!joined.is_empty()).then(|| ProgramSocket {
                socket: OpenSocket::unbound(inode, context.target.is_ipv4()),
                owner: Some(owner.clone()),
                dropped: 0,
                multicast_interface: None,
                memberships: Some(joined),
            })
        })
        .collect()
}

/// Whether a process is known to be in another network namespace than this thread.
fn is_elsewhere(pid: u32) -> bool {
    let namespace = |task: String| fs::read_link(format!("/proc/{task}/ns/net")).ok();
    let there = namespace(pid.to_string());
    there.is_some() && there != namespace("thread-self".to_owned())
}

/// All memberships of a socket: on the interfaces that are there, or on one up to an index that is gone.
fn memberships(socket: &ForeignSocket, context: &Context, highest: u32) -> Vec<SocketMembership> {
    let host = &context.host;
    let mut found = Vec::new();
    let mut ask = |group: IpAddr, interface: u32| {
        let sources = socket.membership(group, interface);
        let is_member = sources.is_some();
        found.extend(sources.map(|sources| SocketMembership {
            group,
            interface,
            sources,
        }));
        is_member
    };
    let links = host.interfaces.iter().map(|found| found.index);
    let joined = host.joined.iter().map(|joined| joined.interface.index);
    let there: BTreeSet<u32> = links.chain(joined).collect();
    let mut is_member = false;
    for index in &there {
        is_member |= ask(context.target.ip, *index);
    }
    // Otherwise it may be one on an interface that is gone.
    let gone = (1..=highest).filter(|index| !is_member && !there.contains(index));
    for index in gone {
        ask(context.target.ip, index);
    }
    // Those whose datagrams are looked for are among them.
    let others = host
        .joined_by_programs(context.target.is_ipv4())
        .filter(|joined| joined.group != context.target.ip);
    for joined in others.take(MOST_GROUPS) {
        ask(joined.group, joined.interface.index);
    }
    found
}
