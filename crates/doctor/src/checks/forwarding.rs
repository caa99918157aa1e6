//! What this host does not forward, where it is a router of the group: that is no matter of what it
//! receives itself.

use super::super::proof::{Grade, Proof};
use super::super::{Code, Context, Finding, MulticastRoute};
use super::firewall_rule::{described, mended};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let group = context.target.ip;
    let mut routes = watched.multicast_routes.iter();
    routes
        .by_ref()
        .filter(|route| route.group == group)
        .find_map(|route| wrong(context, route).or_else(|| threshold(context, route)))
        .or_else(|| filtered(context))
}

/// A rule at the forward hook dropped what this host would hand on, as a router or as a bridge: what
/// crosses a bridge meets the rules of `ip` and `ip6` as well (`net.bridge.bridge-nf-call-iptables`).
fn filtered(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let group = context.target.ip;
    let rules = watched.rules.iter().flat_map(|rules| &rules.dropped);
    let mut rules = rules.filter(|dropped| dropped.rule.hook == Some("forward"));
    let dropped = rules.find(|dropped| dropped.most > super::FEW)?;
    let mut links = context.host.interfaces.iter();
    let bridge = links.find(|link| link.kind == "bridge");
    let captured = watched.captured.as_ref();
    let came = captured.map_or(0, |captured| captured.count(context.target.port));
    if came <= super::FEW {
        return None;
    }
    let proof = dropped.proof(came, super::slack(came));
    let finding = Finding::warning(
        Code::NotForwarded,
        Grade::or_likely(proof),
        format!("a firewall of this host drops what it would forward of {group}"),
    )
    .because(format!(
        "{} dropped {} meanwhile, and {} came to this host",
        described(&dropped.rule),
        super::count(dropped.most, "packet"),
        super::count(came, "datagram")
    ));
    let finding = match bridge {
        Some(bridge) => finding.because(format!(
            "{} is a bridge: what crosses it meets the rules at the forward hook, in tables of bridge, \
             and of ip and ip6 where net.bridge.bridge-nf-call-iptables and -ip6tables say so",
            bridge.name
        )),
        None => finding,
    };
    let family = if group.is_ipv4() { "ip" } else { "ip6" };
    let pass = format!(
        "{family} daddr {group} udp dport {} accept",
        context.target.port
    );
    Some(finding.remedy(mended(&dropped.rule, &pass, proof.is_some())))
}

/// It comes in by another interface than the route says: the kernel counts these apart.
fn wrong(context: &Context, route: &MulticastRoute) -> Option<Finding> {
    let from = route.from.as_ref()?;
    // What this host forwards comes back to it by the other interface, and is counted there too.
    let forwarded = route.packets.saturating_sub(route.wrong);
    let named = route.wrong > super::FEW && forwarded <= super::FEW;
    named.then(|| {
        let by = context.coming_or_received();
        let by = by.iter().find(|flow| *flow.interface.name != **from);
        let finding = Finding::warning(
            Code::NotForwarded,
            Proof::Kernel,
            format!(
                "this host does not forward {}: its route is for what comes in by {from}",
                route.group
            ),
        )
        .because(format!(
            "{} came in by another interface (the column Wrong of /proc/net/ip_mr_cache or \
             ip6_mr_cache)",
            super::count(route.wrong, "packet")
        ));
        let finding = match by {
            Some(flow) => finding.because(format!(
                "from {} it comes in by {}",
                flow.source.ip(),
                flow.interface
            )),
            None => finding,
        };
        finding.remedy(
            "give the routing daemon a unicast route to the source by the interface that it comes \
             in by (RPF), or change the static route (smcroute)",
        )
    })
}

/// What has no more hops left than the threshold of an interface does not go out by it.
fn threshold(context: &Context, route: &MulticastRoute) -> Option<Finding> {
    // What this host sends itself does not come in by the interface of the route.
    let mut flows = context.coming_or_received();
    flows.retain(|flow| !context.host.has(flow.source.ip()));
    // What was forwarded comes back to this host with fewer.
    let first = flows.iter().max_by_key(|flow| flow.hops)?;
    let hops = first.hops?;
    // By the interface that it came in by, it does not go out, whatever the route says.
    let mut to = route.to.iter();
    let out = |name: &str| *first.interface.name != *name;
    let (name, threshold) = to.find(|(name, threshold)| out(name) && hops <= *threshold)?;
    Some(
        Finding::warning(
            Code::NotForwarded,
            Proof::Kernel,
            format!(
                "this host does not forward {} by {name}: it comes with hop limit {hops}",
                route.group
            ),
        )
        .because(format!(
            "the route forwards by {name} what has more than {threshold} hops left"
        ))
        .remedy(format!(
            "let the sender set a hop limit that is higher by {}, or lower the threshold of {name} in \
             the routing daemon",
            (threshold - hops).saturating_add(1)
        )),
    )
}
