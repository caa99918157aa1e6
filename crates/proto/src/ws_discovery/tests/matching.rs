use super::super::*;

fn matches(rule: &Rule, searched: &str, had: &str) -> bool {
    rule.matches(&[searched.to_owned()], &[had.to_owned()])
}

#[test]
fn uris_match_by_their_segments() {
    let rule = Rule::Rfc3986;
    for (searched, had) in [
        ("http://example.com/abc", "http://example.com/abc"),
        ("http://example.com/abc", "http://example.com/abc/def"),
        ("HTTP://EXAMPLE.com/abc", "http://example.com/abc"),
        ("http://example.com/abc/", "http://example.com/abc"),
        (
            "http://example.com/abc",
            "http://example.com/abc?query#fragment",
        ),
        ("http://example.com", "http://example.com/abc"),
        (
            "onvif://www.onvif.org/type",
            "onvif://www.onvif.org/type/video_encoder",
        ),
        ("urn:a", "urn:a"),
    ] {
        assert!(matches(&rule, searched, had), "{searched} {had}");
    }
    for (searched, had) in [
        ("http://example.com/abc", "http://example.com/abcdef"),
        ("http://example.com/abc/def", "http://example.com/abc"),
        ("http://example.com/abc", "http://example.com/ABC"),
        ("http://example.com/abc", "https://example.com/abc"),
        ("http://example.com/abc", "http://example.org/abc"),
        ("http://example.com/a/../b", "http://example.com/a/../b"),
        ("http://example.com/./b", "http://example.com/./b"),
        ("urn:a", "urn:b"),
    ] {
        assert!(!matches(&rule, searched, had), "{searched} {had}");
    }
}

#[test]
fn the_other_rules_compare_as_they_say() {
    let uuid = |one, other| matches(&Rule::Uuid, one, other);
    assert!(uuid("urn:uuid:ABCD-1", "uuid:abcd-1") && !uuid("urn:uuid:1", "urn:uuid:2"));
    assert!(!uuid("http://1", "http://1"));

    let ldap = |one, other| matches(&Rule::Ldap, one, other);
    assert!(ldap(
        "ldap:///ou=floor1,o=example",
        "LDAP:///cn=room2, ou=FLOOR1,o=example"
    ));
    assert!(ldap("ldap://Host/o=example", "ldap://host/o=example"));
    assert!(!ldap(
        "ldap:///cn=room2,ou=floor1,o=example",
        "ldap:///ou=floor1,o=example"
    ));
    assert!(!ldap("ldap://one/o=example", "ldap://two/o=example"));

    let strcmp0 = |one, other| matches(&Rule::Strcmp0, one, other);
    assert!(strcmp0("a b", "a b") && !strcmp0("a", "A"));

    assert!(Rule::None.matches(&[], &[]));
    assert!(!Rule::None.matches(&[], &["urn:a".to_owned()]));
    let unknown = Rule::of_uri("urn:unknown");
    assert!(!unknown.matches(&[], &[]), "nobody knows what it means");
}

#[test]
fn rules_have_a_uri_in_each_version() {
    for version in Version::ALL {
        for rule in [
            Rule::Rfc3986,
            Rule::Uuid,
            Rule::Ldap,
            Rule::Strcmp0,
            Rule::None,
        ] {
            assert_eq!(Rule::of_uri(&rule.uri(version)), rule);
        }
    }
    let old = "http://schemas.xmlsoap.org/ws/2005/04/discovery/rfc2396";
    assert_eq!(Rule::Rfc3986.uri(Version::V2005_04), old);
    assert_eq!(Rule::of_uri("urn:x"), Rule::Other("urn:x".to_owned()));
}

#[test]
fn every_type_and_every_scope_is_wanted() {
    let service = Service {
        types: vec![Name::new("urn:x", "A"), Name::new("urn:x", "B")],
        scopes: vec!["urn:1".to_owned(), "urn:2".to_owned()],
        ..Service::default()
    };
    let probe = |types: &[&str], scopes: &[&str]| Probe {
        types: types.iter().map(|it| Name::new("urn:x", *it)).collect(),
        scopes: scopes.iter().map(|it| (*it).to_owned()).collect(),
        rule: Rule::default(),
    };
    assert!(probe(&["B", "A"], &["urn:2"]).matches(&service));
    assert!(!probe(&["A", "C"], &[]).matches(&service));
    assert!(!probe(&[], &["urn:1", "urn:3"]).matches(&service));
    assert!(!Probe::of(Name::new("urn:y", "A")).matches(&service));
}
