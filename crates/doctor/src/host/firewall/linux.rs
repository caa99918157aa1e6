//! nftables by netlink: `NFT_MSG_GETCHAIN`, `NFT_MSG_GETRULE` (`linux/netfilter/nf_tables.h`).

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::FirewallRule;
use manycast_net::netlink::{Connection, Message, Request, attributes, text};

/// `struct nfgenmsg`: family, version, resource (2).
const HEADER: usize = 4;

const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_COUNTERS: u16 = 8;
const HOOK_NUMBER: u16 = 1;

const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;

/// Of loads the register that is written to, of comparisons the one that is read.
const REGISTER: u16 = 1;
const META_KEY: u16 = 2;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
const COMPARE_OPERATION: u16 = 2;
const COMPARE_DATA: u16 = 3;
const COUNTER_PACKETS: u16 = 2;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
/// The name of a target of `iptables` that nftables has no word for.
const TARGET_NAME: u16 = 1;

/// Of `lookup`: the register that the value from a map is written to, and that of verdicts
/// (`NFT_REG_VERDICT`).
const LOOKUP_DESTINATION: u16 = 3;
const REGISTER_OF_VERDICTS: u32 = 0;

/// Of `nat`: what is translated.
const NAT_TYPE: u16 = 1;
const DNAT: u32 = 1;

/// `NF_DROP` of `linux/netfilter.h`.
const DROP: u32 = 0;

type ChainKey = (u8, String, String);

/// What is known of a chain that is at a hook.
pub(crate) struct Base {
    hook: &'static str,
}

/// What a rule asks of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    field: Field,
    /// Whether the field is to have this value, or any but this one.
    equal: bool,
    value: Vec<u8>,
}

/// A part of a packet, or something that the kernel knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// Of the header of IP: where it begins, and how long it is.
    Network(usize, usize),
    /// Of the header of UDP.
    Transport(usize, usize),
    /// `meta nfproto`, `meta l4proto`, `meta iifname`.
    Family,
    Protocol,
    Interface,
}

pub(super) fn rules() -> io::Result<Vec<FirewallRule>> {
    let mut netfilter = Connection::open(libc::NETLINK_NETFILTER)?;
    let mut bases = BTreeMap::new();
    let mut policies = Vec::new();
    netfilter.list(&request(libc::NFT_MSG_GETCHAIN), |message| {
        let (key, base, policy) = chain(message)?;
        policies.extend(policy);
        bases.insert(key, base);
        Some(())
    })?;
    let mut rules = netfilter.list(&request(libc::NFT_MSG_GETRULE), |message| {
        rule(message, &bases)
    })?;
    rules.extend(policies);
    Ok(rules)
}

/// A question for all families.
fn request(kind: libc::c_int) -> Request {
    let kind = (libc::NFNL_SUBSYS_NFTABLES << 8) | kind;
    let kind = u16::try_from(kind).expect("subsystem and message have one byte each");
    Request::new(kind, &[0; HEADER])
}

/// Reads a chain that is at a hook, and its policy where that is to drop.
pub(crate) fn chain(message: Message<'_>) -> Option<(ChainKey, Base, Option<FirewallRule>)> {
    let family = *message.payload.first()?;
    let (mut table, mut name) = (String::new(), String::new());
    let (mut hook, mut drops, mut packets) = (None, false, None);
    for (kind, value) in attributes(message.payload, HEADER) {
        match kind {
            CHAIN_TABLE => table = text(value),
            CHAIN_NAME => name = text(value),
            CHAIN_HOOK => hook = number(value, HOOK_NUMBER),
            CHAIN_POLICY => drops = be32(value) == Some(DROP),
            CHAIN_COUNTERS => packets = be64(find(value, COUNTER_PACKETS)?),
            _ => {}
        }
    }
    let base = Base {
        hook: hook_name(family, hook?)?,
    };
    let policy = drops.then(|| FirewallRule {
        family: family_name(family),
        table: table.clone(),
        chain: name.clone(),
        hook: Some(base.hook),
        handle: None,
        rejects: false,
        translates: false,
        may_drop: false,
        packets,
        conditions: Vec::new(),
        asks_more: false,
    });
    Some(((family, table, name), base, policy))
}

/// Reads a rule, where it drops or rejects.
pub(crate) fn rule(message: Message<'_>, bases: &BTreeMap<ChainKey, Base>) -> Option<FirewallRule> {
    let family = *message.payload.first()?;
    let (mut table, mut chain, mut handle) = (String::new(), String::new(), None);
    let mut expressions = &[][..];
    for (kind, value) in attributes(message.payload, HEADER) {
        match kind {
            RULE_TABLE => table = text(value),
            RULE_CHAIN => chain = text(value),
            RULE_HANDLE => handle = be64(value),
            RULE_EXPRESSIONS => expressions = value,
            _ => {}
        }
    }
    let mut read = Expressions::default();
    for (_, expression) in attributes(expressions, 0) {
        let name = text(find(expression, EXPRESSION_NAME)?);
        read.add(&name, find(expression, EXPRESSION_DATA).unwrap_or_default());
    }
    let verdict = read.verdict?;
    let base = bases.get(&(family, table.clone(), chain.clone()));
    Some(FirewallRule {
        family: family_name(family),
        table,
        chain,
        hook: base.map(|base| base.hook),
        handle: Some(handle?),
        rejects: verdict == Verdict::Reject,
        translates: verdict == Verdict::Translate,
        may_drop: verdict == Verdict::Unseen,
        // What is handed over was counted, and may not have been dropped.
        packets: read.packets.filter(|_| verdict != Verdict::Unseen),
        conditions: read.conditions,
        asks_more: read.asks_more,
    })
}

/// What the expressions of a rule come to, one after another.
#[derive(Default)]
struct Expressions {
    /// What stands in which register.
    registers: BTreeMap<u32, Field>,
    conditions: Vec<Condition>,
    /// Whether something was not understood.
    asks_more: bool,
    /// What was counted behind the last condition, and so is what the verdict matches.
    packets: Option<u64>,
    verdict: Option<Verdict>,
}

/// What a rule does that is of interest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Drop,
    Reject,
    Translate,
    /// That of a map, or of a program.
    Unseen,
}

impl Expressions {
    fn add(&mut self, name: &str, data: &[u8]) {
        match name {
            "counter" => self.packets = find(data, COUNTER_PACKETS).and_then(be64),
            "immediate" => {
                let verdict = find(data, IMMEDIATE_DATA)
                    .and_then(|data| find(data, DATA_VERDICT))
                    .and_then(|verdict| number(verdict, VERDICT_CODE));
                if verdict == Some(DROP) {
                    self.verdict = Some(Verdict::Drop);
                }
            }
            "redir" => self.verdict = Some(Verdict::Translate),
            // Of the two kinds, one translates the source (`NFT_NAT_SNAT` is 0).
            "nat" if number(data, NAT_TYPE) == Some(DNAT) => {
                self.verdict = Some(Verdict::Translate);
            }
            "nat" | "masq" => {}
            "queue" => self.verdict = Some(Verdict::Unseen),
            "lookup" if number(data, LOOKUP_DESTINATION) == Some(REGISTER_OF_VERDICTS) => {
                // It depends on the key, of which nothing is asked.
                (self.packets, self.asks_more) = (None, true);
                self.verdict = Some(Verdict::Unseen);
            }
            "reject" => self.verdict = Some(Verdict::Reject),
            "target" => match find(data, TARGET_NAME).map(text).as_deref() {
                Some("DROP") => self.verdict = Some(Verdict::Drop),
                Some("DNAT" | "REDIRECT") => self.verdict = Some(Verdict::Translate),
                Some("REJECT") => self.verdict = Some(Verdict::Reject),
                Some("NFQUEUE") => self.verdict = Some(Verdict::Unseen),
                _ => {}
            },
            "log" => {}
            _ => {
                // Whatever else there is may keep a packet that was counted from the verdict.
                self.packets = None;
                self.condition(name, data);
            }
        }
    }

    /// Reads loads into registers, and comparisons with them; what overwrites a register by other
    /// means makes it unknown.
    fn condition(&mut self, name: &str, data: &[u8]) {
        match name {
            "meta" => {
                let field = match number(data, META_KEY) {
                    Some(6) => Some(Field::Interface),
                    Some(15) => Some(Field::Family),
                    Some(16) => Some(Field::Protocol),
                    _ => None,
                };
                self.load(number(data, REGISTER), field);
            }
            "payload" => {
                let size = |kind| Some(number(data, kind)? as usize);
                let (offset, length) = (size(PAYLOAD_OFFSET), size(PAYLOAD_LENGTH));
                let field = match (number(data, PAYLOAD_BASE), offset, length) {
                    (Some(1), Some(offset), Some(length)) => Some(Field::Network(offset, length)),
                    (Some(2), Some(offset), Some(length)) => Some(Field::Transport(offset, length)),
                    _ => None,
                };
                self.load(number(data, REGISTER), field);
            }
            "cmp" => {
                let field =
                    number(data, REGISTER).and_then(|register| self.registers.get(&register));
                let value = find(data, COMPARE_DATA).and_then(|data| find(data, DATA_VALUE));
                let equal = match number(data, COMPARE_OPERATION) {
                    Some(0) => Some(true),
                    Some(1) => Some(false),
                    _ => None,
                };
                if let (Some(field), Some(value), Some(equal)) = (field, value, equal) {
                    self.conditions.push(Condition {
                        field: *field,
                        equal,
                        value: value.to_vec(),
                    });
                } else {
                    self.asks_more = true;
                }
            }
            // Masks, shifts and the like; which register they write to is not looked at.
            _ => {
                self.registers.clear();
                self.asks_more = true;
            }
        }
    }

    fn load(&mut self, register: Option<u32>, field: Option<Field>) {
        match (register, field) {
            (Some(register), Some(field)) => {
                self.registers.insert(register, field);
            }
            _ => self.registers.clear(),
        }
    }
}

impl Condition {
    /// Whether it holds for a UDP datagram to this address that comes in by this interface, and from this
    /// source, where that is known; `None` where it depends on something else.
    pub(super) fn holds(
        &self,
        from: Option<IpAddr>,
        to: SocketAddr,
        interface: &str,
    ) -> Option<bool> {
        let own = match self.field {
            Field::Family => Some(vec![if to.is_ipv4() { 2 } else { 10 }]),
            Field::Protocol => Some(vec![17]),
            Field::Interface => {
                let mut name = interface.as_bytes().to_vec();
                // A shorter value is a name with a star behind it.
                name.resize(self.value.len(), 0);
                Some(name)
            }
            Field::Network(offset, length) => network(from, to.ip(), offset, length),
            // The destination port is the second half of the first four bytes.
            Field::Transport(2, 2) => Some(to.port().to_be_bytes().to_vec()),
            Field::Transport(..) => None,
        };
        own.map(|own| (own == self.value) == self.equal)
    }
}

impl Condition {
    /// Whether it holds for what IGMP or MLD sends and receives; `None` where that depends on something
    /// else.
    pub(super) fn holds_for_membership(&self, ipv4: bool) -> Option<bool> {
        let protocol = if ipv4 { IGMP } else { ICMPV6 };
        let own = match self.field {
            Field::Family => vec![if ipv4 { 2 } else { 10 }],
            Field::Protocol => vec![protocol],
            Field::Network(9, 1) if ipv4 => vec![protocol],
            Field::Network(6, 1) if !ipv4 => vec![protocol],
            // The type: of MLD there are four (RFC 3810 §5), of IGMP five.
            Field::Transport(0, 1) => {
                let types: &[u8] = if ipv4 {
                    &[0x11, 0x12, 0x16, 0x17, 0x22]
                } else {
                    &[130, 131, 132, 143]
                };
                let named = self
                    .value
                    .first()
                    .is_some_and(|named| types.contains(named));
                return if named { None } else { Some(!self.equal) };
            }
            // Ports are of UDP and TCP.
            Field::Transport(2, 2) => return Some(false),
            _ => return None,
        };
        Some((own == self.value) == self.equal)
    }
}

const IGMP: u8 = 2;
const ICMPV6: u8 = 58;

/// Protocol, source and destination, as they stand in the header; the rest of it is not known.
fn network(from: Option<IpAddr>, to: IpAddr, offset: usize, length: usize) -> Option<Vec<u8>> {
    let (protocol, source, destination) = if to.is_ipv4() {
        (9, 12, 16)
    } else {
        (6, 8, 24)
    };
    if (offset, length) == (protocol, 1) {
        return Some(vec![17]);
    }
    let (start, address) = if offset < destination {
        (source, from?)
    } else {
        (destination, to)
    };
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let start = offset.checked_sub(start)?;
    octets
        .get(start..start.checked_add(length)?)
        .map(<[u8]>::to_vec)
}

fn family_name(family: u8) -> &'static str {
    match family {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => "unknown",
    }
}

fn hook_name(family: u8, hook: u32) -> Option<&'static str> {
    let names: &[&str] = match family {
        5 => &["ingress", "egress"],
        3 => &["input", "output"],
        _ => &[
            "prerouting",
            "input",
            "forward",
            "output",
            "postrouting",
            "ingress",
        ],
    };
    names.get(usize::try_from(hook).ok()?).copied()
}

/// The value of the first attribute of this kind.
fn find(attributes_of: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(attributes_of, 0).find_map(|(found, value)| (found == kind).then_some(value))
}

/// The number that an attribute of this kind is: nftables has them in the order of the network.
fn number(attributes_of: &[u8], kind: u16) -> Option<u32> {
    find(attributes_of, kind).and_then(be32)
}

fn be32(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|four| u32::from_be_bytes(*four))
}

fn be64(value: &[u8]) -> Option<u64> {
    value.first_chunk().map(|eight| u64::from_be_bytes(*eight))
}
