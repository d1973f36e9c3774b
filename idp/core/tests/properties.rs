//! Properties of every input, tested with generated ones. The tables in the modules test chosen ones.

#![allow(clippy::unwrap_used, reason = "a broken test must say so at once")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use idp_core::authority::{Authority, forwarded_address};
use idp_core::file_access::{Access, CurrentUser, Readers, folder_on_path, own_folder, secret_file};
use idp_core::loopback::loopback;
use idp_core::oauth::issuer::Issuer;
use idp_core::redirect_uri::{RedirectMatch, RedirectUri};
use idp_core::scope::Scope;
use idp_core::seal::{Kek, Keyring, SealError, SealLocation};
use idp_core::user::{Email, FullName};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_assert_ne,
};
use proptest::prelude::{prop_oneof, proptest};
use proptest::sample::{Index, select, subsequence};
use unicode_normalization::UnicodeNormalization;
use url::{Host, Url};

fn config() -> ProptestConfig {
    ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() }
}

/// A host name of letters and digits.
fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,8}(\\.[a-z][a-z0-9]{0,5}){1,2}"
}

fn local_name() -> impl Strategy<Value = String> {
    "127\\.0\\.0\\.1|\\[::1\\]|localhost"
}

fn port() -> impl Strategy<Value = String> {
    "(:[1-9][0-9]{0,3})?"
}

/// A URI that may be registered.
fn good_uri() -> impl Strategy<Value = String> {
    let path = "(/[A-Za-z0-9._~%-]{0,6}){0,3}(\\?[a-z]{1,3}=[a-z0-9]{0,3}&?)?";
    let https = (name(), port(), path).prop_map(|(host, port, rest)| format!("https://{host}{port}{rest}"));
    let path = "(/[a-z]{0,6})?(\\?[a-z]{0,3})?";
    let local =
        (local_name(), port(), path).prop_map(|(host, port, rest)| format!("http://{host}{port}{rest}"));
    let private = "[a-z]{2,3}\\.[a-z]{1,8}(\\.[a-z]{1,5})?:/{1,2}[a-z]{1,8}";
    prop_oneof![https, local, private]
}

/// The parts of URIs, and what URI parsers disagree about.
const PARTS: [&str; 44] = [
    "https", "http", "HTTP", "com.example.app", "javascript", ":", "://", ":/", "/", "//", "\\", "@", "#",
    "?", "&", "=", "user", "app.example", "evil.example", "localhost", "LOCALHOST", "127.0.0.1", "127.1",
    "[::1]", "[2001:db8::1]", ":80", ":0", ":99999", "..", "%2f", "%40", "%00", ";", ",", "*", "'", "\"",
    " ", "\t", "\r\n", "ä", "\u{202e}", "-", "_",
];

/// What somebody might try: parts in any order, any text at all, or a good URI with a part put in.
fn wild_uri() -> impl Strategy<Value = String> {
    let mixed = prop::collection::vec(select(&PARTS[..]), 0..10).prop_map(|parts| parts.concat());
    let altered = (good_uri(), any::<Index>(), select(&PARTS[..])).prop_map(|(mut uri, at, part)| {
        uri.insert_str(at.index(uri.len() + 1), part);
        uri
    });
    prop_oneof![3 => mixed, 1 => "\\PC{0,30}", 2 => altered]
}

fn uri() -> impl Strategy<Value = String> {
    prop_oneof![good_uri(), wild_uri()]
}

/// What RFC 3986 calls the authority.
fn authority(uri: &str) -> &str {
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap()
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn without_port(text: &str) -> Url {
    let mut url = Url::parse(text).unwrap();
    url.set_port(None).unwrap();
    url
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_redirect_uri_that_may_be_registered_is_accepted(text in good_uri()) {
        let uri = RedirectUri::parse(&text).unwrap();
        prop_assert_eq!(uri.as_str(), text);
    }

    #[test]
    fn a_redirect_uri_keeps_its_bytes_and_leads_where_it_says(text in uri()) {
        let Ok(uri) = RedirectUri::parse(&text) else { return Ok(()) };
        prop_assert_eq!(uri.as_str(), &text);
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
        let url = Url::parse(&text).unwrap();
        prop_assert!(url.fragment().is_none() && !text.contains('#'));
        prop_assert!(url.username().is_empty() && url.password().is_none());
        prop_assert!(!authority(&text).contains('@'));
        match url.scheme() {
            "https" => prop_assert!(url.has_host()),
            "http" => prop_assert!(is_local(&url)),
            scheme => prop_assert!(scheme.contains('.')),
        }
        // It appears in a policy, where these would begin another source or directive.
        let source = uri.form_source().unwrap_or_default();
        prop_assert_eq!(source.is_empty(), uri.is_https());
        prop_assert!(!source.contains([';', ',', ' ', '\'', '"', '\r', '\n']), "{}", source);
    }

    #[test]
    fn only_the_same_bytes_are_the_same_redirect_uri(registered in good_uri(), asked in uri()) {
        let known = [RedirectUri::parse(&registered).unwrap()];
        prop_assert!(RedirectMatch::Exact.find(&known, &registered).is_some());
        prop_assert_eq!(RedirectMatch::Exact.find(&known, &asked).is_some(), registered == asked);
        if let Some(found) = RedirectMatch::LoopbackPort.find(&known, &asked) {
            prop_assert_eq!(found.as_str(), &asked);
            prop_assert!(registered == asked || without_port(&registered) == without_port(&asked));
            prop_assert!(registered == asked || asked.starts_with("http://"));
        }
    }

    #[test]
    fn one_more_part_makes_another_redirect_uri(
        registered in good_uri(), at in any::<Index>(), part in select(&PARTS[..]),
    ) {
        let known = [RedirectUri::parse(&registered).unwrap()];
        let mut asked = registered.clone();
        asked.insert_str(at.index(registered.len() + 1), part);
        prop_assert_eq!(RedirectMatch::Exact.find(&known, &asked), None);
        if let Some(found) = RedirectMatch::LoopbackPort.find(&known, &asked) {
            prop_assert!(is_local(&Url::parse(found.as_str()).unwrap()));
            prop_assert_eq!(without_port(&registered), without_port(&asked));
        }
    }

    #[test]
    fn a_native_client_may_choose_any_port(port in 1..=u16::MAX, host in local_name(), path in "(/[a-z]{0,5})?") {
        let known = [RedirectUri::parse(&format!("http://{host}{path}")).unwrap()];
        let asked = format!("http://{host}:{port}{path}");
        let found = RedirectMatch::LoopbackPort.find(&known, &asked).map(String::from);
        prop_assert_eq!(found, Some(asked.clone()));
        prop_assert_eq!(RedirectMatch::Exact.find(&known, &asked), None);
    }

    #[test]
    fn parameters_are_added_after_the_existing_query(
        text in good_uri(),
        params in prop::collection::vec(("[a-z]{1,5}", "\\PC{0,12}|[\r\n\t&=#?+%]{0,5}"), 1..4),
    ) {
        let uri = RedirectUri::parse(&text).unwrap();
        let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let full = uri.with_params(&params);
        prop_assert!(full.starts_with(&text) && full.bytes().all(|byte| byte.is_ascii_graphic()));
        let (before, after) = (Url::parse(&text).unwrap(), Url::parse(&full).unwrap());
        prop_assert_eq!((before.scheme(), before.host()), (after.scheme(), after.host()));
        prop_assert_eq!((before.path(), after.fragment()), (after.path(), None));
        let read: Vec<(String, String)> = after.query_pairs().into_owned().collect();
        let added = read[read.len() - params.len()..].iter().map(|(name, value)| (&name[..], &value[..]));
        prop_assert!(added.eq(params));
    }
}

const WORDS: [&str; 7] = ["openid", "profile", "email", "offline_access", "a", "A", "urn:x:~!#"];

fn words() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(&WORDS[..], 0..=WORDS.len())
}

fn scope() -> impl Strategy<Value = Scope> {
    words().prop_map(|words| Scope::of(&words))
}

/// The same words in any order, some of them again.
fn shuffled() -> impl Strategy<Value = (Vec<&'static str>, Vec<&'static str>)> {
    let more = words().prop_flat_map(|words| {
        let again = prop::collection::vec(any::<Index>(), 0..6);
        (Just(words), again)
    });
    more.prop_flat_map(|(words, again)| {
        let mut sent = words.clone();
        if !words.is_empty() {
            sent.extend(again.iter().map(|at| words[at.index(words.len())]));
        }
        (Just(words), Just(sent).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_scope_is_a_set_whatever_order_and_repetition_it_came_in((words, sent) in shuffled()) {
        let scope = Scope::parse(&sent.join(" ")).unwrap();
        prop_assert_eq!(&scope, &Scope::of(&words));
        // It is always written in the same way, and read back unchanged.
        prop_assert_eq!(&Scope::parse(&scope.to_string()).unwrap(), &scope);
        prop_assert!(scope.iter().is_sorted() && scope.iter().count() == words.len());
    }

    #[test]
    fn an_accepted_scope_holds_exactly_the_words_that_were_sent(text in "[ -~\t\u{e4}\u{a0}]{0,20}") {
        match Scope::parse(&text) {
            Ok(scope) => {
                let sent: BTreeSet<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
                prop_assert!(scope.iter().eq(sent));
                prop_assert!(!text.contains(['"', '\\', '\t']) && text.is_ascii());
                prop_assert!(!text.contains("  ") && text.trim() == text);
            }
            // RFC 6749 §3.3 in another notation.
            Err(_) => prop_assert!(
                text.starts_with(' ') || text.ends_with(' ') || text.contains("  ")
                    || text.contains(|sign: char| !matches!(sign, ' ' | '!' | '#'..='[' | ']'..='~'))
            ),
        }
    }

    #[test]
    fn scopes_are_ordered_like_sets(a in scope(), b in scope(), c in scope()) {
        prop_assert!(a.covers(&a) && a.covers(&Scope::default()));
        prop_assert!(!(a.covers(&b) && b.covers(&c)) || a.covers(&c));
        prop_assert_eq!(a.covers(&b) && b.covers(&a), a == b);
        let (both, either) = (a.common(&b), a.united(&b));
        prop_assert!(a.covers(&both) && b.covers(&both) && either.covers(&a) && either.covers(&b));
        // A chain of three, whatever was generated.
        prop_assert!(either.covers(&both) && either.united(&c).covers(&both.common(&c)));
        prop_assert_eq!(both == a, b.covers(&a));
        for word in WORDS {
            prop_assert_eq!(both.has(word), a.has(word) && b.has(word));
            prop_assert_eq!(either.has(word), a.has(word) || b.has(word));
        }
    }
}

/// A table, a column and the key of a row.
type Where = (String, String, String);

fn place((table, column, row): &Where) -> SealLocation<'_> {
    SealLocation { table, column, row }
}

fn somewhere() -> impl Strategy<Value = Where> {
    ("[a-z_]{1,6}", "[a-z_]{1,6}", "\\PC{0,12}|[a-z/]{0,6}")
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_sealed_opens_in_its_place_and_nowhere_else(
        plain in prop::collection::vec(any::<u8>(), 0..80), key in any::<[u8; 32]>(),
        here in somewhere(), there in somewhere(), part in 0..3usize,
    ) {
        let ring = Keyring::new(Kek::new("kek-a", &key));
        let sealed = ring.seal(place(&here), &plain).unwrap();
        prop_assert_eq!(&*ring.open(place(&here), &sealed).unwrap(), &plain);
        prop_assert_ne!(&sealed, &ring.seal(place(&here), &plain).unwrap(), "nonces differ");
        // Another table, column or row, and all three.
        let mut near = here.clone();
        match part {
            0 => near.0.clone_from(&there.0),
            1 => near.1.clone_from(&there.1),
            _ => near.2.clone_from(&there.2),
        }
        for other in [near, there] {
            if other != here {
                prop_assert_eq!(ring.open(place(&other), &sealed), Err(SealError::Broken));
            }
        }
    }

    #[test]
    fn no_altered_sealed_value_opens(
        plain in prop::collection::vec(any::<u8>(), 0..80), key in any::<[u8; 32]>(),
        here in somewhere(), at in any::<Index>(), sign in b'!'..=b'~', bit in 0..256usize,
    ) {
        let ring = Keyring::new(Kek::new("kek-a", &key));
        let sealed = ring.seal(place(&here), &plain).unwrap();
        let at = at.index(sealed.len());
        let mut changed = sealed.clone();
        changed.replace_range(at..=at, &char::from(sign).to_string());
        if changed != sealed {
            prop_assert!(ring.open(place(&here), &changed).is_err(), "{}", changed);
        }
        prop_assert!(ring.open(place(&here), &sealed[..at]).is_err());
        let longer = sealed.clone() + &char::from(sign).to_string();
        prop_assert!(ring.open(place(&here), &longer).is_err());
        let mut another = key;
        another[bit / 8] ^= 1 << (bit % 8);
        let another = Keyring::new(Kek::new("kek-a", &another));
        prop_assert_eq!(another.open(place(&here), &sealed), Err(SealError::Broken));
    }
}

/// An address, and what somebody might try with one.
fn address() -> impl Strategy<Value = String> {
    let local = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,10}(\\.[A-Za-z0-9]{1,5})?";
    let domain = "[A-Za-z0-9äßøı中.-]{1,8}\\.[a-zA-Z]{2,5}";
    let good = (local, domain).prop_map(|(local, domain)| format!("{local}@{domain}"));
    let parts = [
        "a", "@", ".", ",", ";", "<", ">", "\"", "(", ")", " ", "\r\n", "\0", "ä", "example.org", "Bcc:",
        "[127.0.0.1]", "127.0.0.1", "xn--", "\u{3002}", "\u{ad}", "%40",
    ];
    let wild = prop::collection::vec(select(parts.to_vec()), 1..8).prop_map(|parts| parts.concat());
    prop_oneof![good, wild]
}

fn origin() -> impl Strategy<Value = String> {
    let host = prop_oneof![name(), local_name()];
    ("https?", host, port()).prop_map(|(scheme, host, port)| format!("{scheme}://{host}{port}"))
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
        "127(\\.[0-9]{1,3}){3}",
        "\\[?(::|0:)[0-9a-f:.]{0,12}\\]?",
        "[Ll]ocal[Hh]ost\\.{0,2}",
        "\\PC{0,12}",
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_address_is_one_recipient_and_its_key_is_stable(text in address()) {
        let Ok(email) = Email::parse(&text) else { return Ok(()) };
        for shown in [email.as_str(), email.key()] {
            prop_assert!(shown.is_ascii() && shown.len() <= 254);
            prop_assert_eq!(shown.matches('@').count(), 1);
            let ends = |sign: char| sign.is_ascii_control() || " ,;:<>()[]\"\\".contains(sign);
            prop_assert!(!shown.contains(ends), "{}", shown);
            let again = Email::parse(shown).unwrap();
            prop_assert_eq!((again.as_str(), again.key()), (shown, email.key()));
        }
        prop_assert_eq!(email.key(), email.as_str().to_ascii_lowercase());
        // Another letter case is not another account.
        let upper = Email::parse(&email.as_str().to_ascii_uppercase()).unwrap();
        prop_assert_eq!(upper.key(), email.key());
    }

    #[test]
    fn an_accepted_name_is_accepted_again_unchanged(text in "[\\PC\u{0}-\u{20}\u{200b}-\u{200f}\u{202e}]{0,110}") {
        let Ok(name) = FullName::parse(&text) else { return Ok(()) };
        let letters = |text: &str| text.chars().filter(|sign| !sign.is_whitespace()).collect::<String>();
        prop_assert_eq!(letters(name.as_str()), letters(&text.nfc().collect::<String>()));
        let again = FullName::parse(name.as_str()).unwrap();
        prop_assert_eq!(again.as_str(), name.as_str());
        prop_assert!((1..=FullName::LONGEST).contains(&name.as_str().chars().count()));
        let hides = |sign: char| sign.is_control() || ('\u{202a}'..='\u{202e}').contains(&sign);
        prop_assert!(!name.as_str().contains(hides));
        prop_assert_eq!(name.as_str().trim(), name.as_str());
    }

    #[test]
    fn an_issuer_is_the_origin_of_all_its_urls(
        text in prop_oneof![good_uri(), wild_uri(), origin()], path in "/[a-z./?=@:-]{0,12}",
    ) {
        let Ok(issuer) = Issuer::parse(&text) else { return Ok(()) };
        let again = Issuer::parse(issuer.as_str()).unwrap();
        prop_assert_eq!(again.as_str(), issuer.as_str());
        let own = Url::parse(issuer.as_str()).unwrap();
        let url = Url::parse(&issuer.url(&path)).unwrap();
        prop_assert_eq!(own.origin(), url.origin());
        prop_assert!(url.username().is_empty() && url.password().is_none());
        prop_assert!(issuer.is_https() || is_local(&own));
        prop_assert_eq!(format!("{}://{}", own.scheme(), issuer.authority()), issuer.as_str());
    }

    #[test]
    fn every_name_of_this_machine_leads_there(host in host()) {
        match loopback(&host) {
            Some(name) => {
                prop_assert_eq!(loopback(&name), Some(name.clone()));
                let is_address = name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
                prop_assert!(name == "localhost" || is_address);
            }
            None => prop_assert!(!host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())),
        }
    }

    #[test]
    fn no_file_that_others_can_write_ever_holds_a_secret(
        (uid, gid, mode) in (0..4u32, 0..4u32, 0..=0o7777u32), us in 0..4u32, mounted in any::<bool>(),
        (entry, folder, folder_mode) in (0..4u32, 0..4u32, 0..=0o7777u32),
    ) {
        let user = CurrentUser { uid: us, outsiders: None };
        let Ok(readers) = secret_file(Access { uid, gid, mode }, user, mounted) else { return Ok(()) };
        prop_assert_eq!(mode & 0o022, 0);
        prop_assert!(uid == 0 || uid == us || us == 0 && mode & 0o077 == 0);
        prop_assert_eq!(readers == Readers::Others, mode & 0o044 != 0);
        prop_assert!(readers == Readers::Owner || uid == 0, "only root's may be read by others");
        let folder = Access { uid: folder, gid, mode: folder_mode };
        if folder_on_path(folder, entry, user, readers).is_ok() {
            prop_assert!(folder.mode & 0o002 == 0 || folder.mode & 0o1000 != 0);
            prop_assert!(folder.uid == 0 || folder.uid == us || us == 0 && readers == Readers::Owner);
        }
        if own_folder(folder, user, false).is_ok() {
            prop_assert!(folder.mode & 0o002 == 0 && (folder.uid == 0 || folder.uid == us));
        }
    }
}

/// Spellings of one IPv6 address (RFC 4291 section 2.2): shortened, in full, in full with leading zeros and in capital
/// letters, and with its last four bytes as an IPv4 address.
fn spellings_of_ipv6(ip: Ipv6Addr) -> [String; 4] {
    let groups = |write: fn(&u16) -> String| ip.segments().iter().map(write).collect::<Vec<_>>();
    let short = groups(|group| format!("{group:x}"));
    let [.., a, b, c, d] = ip.octets();
    [
        ip.to_string(),
        short.join(":"),
        groups(|group| format!("{group:04X}")).join(":"),
        format!("{}:{a}.{b}.{c}.{d}", short[..6].join(":")),
    ]
}

/// The bytes of a name, each as it is, in the other letter case, or percent-encoded in either case (RFC 3986
/// sections 2.1 and 3.2.2).
fn respelled(name: &str, ways: &[u8]) -> String {
    let spell = |(byte, way): (u8, &u8)| match way % 5 {
        1 => char::from(byte).to_ascii_uppercase().to_string(),
        2 => format!("%{byte:02x}"),
        3 => format!("%{:02X}", byte.to_ascii_uppercase()),
        _ => char::from(byte).to_string(),
    };
    name.bytes().zip(ways.iter().cycle()).map(spell).collect()
}

/// Two spellings of one host.
fn two_spellings() -> impl Strategy<Value = (String, String)> {
    let ways = prop::collection::vec(any::<u8>(), 1..12);
    let named = (prop_oneof![name(), Just("localhost".to_owned())], "\\.?", ways)
        .prop_map(|(name, dot, ways)| (format!("{name}{dot}"), respelled(&format!("{name}{dot}"), &ways)));
    let v4 = (any::<Ipv4Addr>(), prop::collection::vec(any::<u8>(), 1..12))
        .prop_map(|(ip, ways)| (ip.to_string(), respelled(&ip.to_string(), &ways)));
    let v6 = (any::<Ipv6Addr>(), any::<u8>(), 0..4usize, 0..4usize).prop_map(|(ip, zeros, one, other)| {
        // Groups of zeros, which `::` stands for, are rare in random addresses.
        let groups = ip.segments().into_iter().enumerate();
        let groups: Vec<u16> =
            groups.map(|(at, group)| if zeros >> at & 1 == 1 { 0 } else { group }).collect();
        let spelt = spellings_of_ipv6(Ipv6Addr::from(<[u16; 8]>::try_from(groups).unwrap()));
        (format!("[{}]", spelt[one]), format!("[{}]", spelt[other]))
    });
    prop_oneof![2 => named, 1 => v4, 2 => v6]
}

/// Two spellings of one port; the default one may also be left out, or left empty (RFC 3986 section 3.2.3).
fn two_ports() -> impl Strategy<Value = (u16, String, String)> {
    (prop_oneof![any::<u16>(), Just(443)], 0..4usize, any::<(bool, bool)>()).prop_map(
        |(port, zeros, written)| {
            let spell = |written: bool, empty: &str| match (port, written) {
                (443, false) => empty.to_owned(),
                _ => format!(":{}{port}", "0".repeat(zeros)),
            };
            (port, spell(written.0, ""), spell(written.1, ":"))
        },
    )
}

/// What somebody might send as a host: parts in any order, any text at all, or a host with a part put in.
fn wild_host(host: &'static str) -> impl Strategy<Value = String> {
    let mixed = prop::collection::vec(prop_oneof![select(&PARTS[..]), Just(host)], 0..6)
        .prop_map(|parts| parts.concat());
    let altered = (any::<Index>(), select(&PARTS[..])).prop_map(|(at, part)| {
        let mut text = host.to_owned();
        text.insert_str(at.index(text.len() + 1), part);
        text
    });
    let with_user = "[a-z:]{0,3}".prop_map(move |user| format!("{user}@{host}"));
    let spelt = prop::collection::vec(any::<u8>(), 1..20).prop_map(|ways| respelled(host, &ways));
    prop_oneof![3 => mixed, 3 => altered, 1 => with_user, 1 => spelt, 1 => two_spellings().prop_map(|(_, host)| host), 2 => "\\PC{0,30}|.{0,20}"]
}

const ISSUERS: [&str; 4] =
    ["https://id.example.com", "https://id.example.com:8443", "http://127.0.0.1:8080", "http://[::1]"];

fn issuer_and_wild_host() -> impl Strategy<Value = (&'static str, String)> {
    select(&ISSUERS[..]).prop_flat_map(|issuer| (Just(issuer), wild_host(issuer.split_once("//").unwrap().1)))
}

/// A host in canonical form, so that different texts are different hosts.
fn canonical_host() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => name(),
        2 => "[ab]\\.[ab]{1,2}\\.?",
        1 => any::<Ipv4Addr>().prop_map(|ip| ip.to_string()),
        // url writes an address that embeds an IPv4 one in groups.
        1 => any::<Ipv6Addr>().prop_map(|ip| Host::<String>::Ipv6(ip).to_string()),
        1 => any::<Ipv4Addr>().prop_map(|ip| Host::<String>::Ipv6(ip.to_ipv6_mapped()).to_string()),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn fault_06_every_spelling_of_a_host_and_port_is_the_same(
        (one, other) in two_spellings(), (port, one_port, other_port) in two_ports(),
    ) {
        let (one, other) = (format!("{one}{one_port}"), format!("{other}{other_port}"));
        let (one, other) = (Authority::parse(&one).unwrap(), Authority::parse(&other).unwrap());
        prop_assert!(one.is_same(&other, 443) && other.is_same(&one, 443), "{one} {other}");
        prop_assert_eq!(one.port().unwrap_or(443), port);
        prop_assert_eq!(one.ends_in_dot(), other.ends_in_dot());
    }

    #[test]
    fn fault_06_different_hosts_or_ports_are_never_the_same(
        one in canonical_host(), other in canonical_host(), ports in any::<(Option<u16>, Option<u16>)>(),
    ) {
        let read = |host: &str, port: Option<u16>| {
            let port = port.map_or(String::new(), |port| format!(":{port}"));
            Authority::parse(&format!("{host}{port}")).unwrap()
        };
        let same_port = ports.0.unwrap_or(80) == ports.1.unwrap_or(80);
        prop_assert_eq!(read(&one, ports.0).is_same(&read(&other, ports.1), 80), one == other && same_port);
        prop_assert_eq!(read(&one, ports.0).is_same(&read(&one, ports.1), 80), same_port);
        // A dot at its end makes a name another host.
        if one.starts_with(|sign: char| sign.is_ascii_alphabetic()) && !one.ends_with('.') {
            let dotted = read(&format!("{one}."), ports.0);
            prop_assert!(dotted.ends_in_dot() && !dotted.is_same(&read(&one, ports.0), 80));
        }
    }

    #[test]
    fn fault_06_whatever_was_sent_a_host_is_refused_or_reads_back_the_same((_, text) in issuer_and_wild_host()) {
        let Ok(host) = Authority::parse(&text) else { return Ok(()) };
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['@', '/', '\\', '?', '#']));
        let shown = host.to_string();
        prop_assert_eq!(Authority::parse(&shown), Ok(host.clone()), "{}", shown);
        prop_assert!(host.is_same(&host, 443) && shown.is_ascii());
    }

    #[test]
    fn fault_06_only_what_leads_to_the_issuer_is_its_host((issuer, text) in issuer_and_wild_host()) {
        let ours = Issuer::parse(issuer).unwrap();
        let scheme = issuer.split_once("//").unwrap().0;
        // A browser's parser accepts more than a Host header may hold, so it can only be the more generous one.
        let led = Url::parse(&format!("{scheme}//{text}"));
        let leads_here = led.is_ok_and(|url| url.origin() == Url::parse(issuer).unwrap().origin());
        let is_ours = ours.is_host(&text) == Ok(true);
        prop_assert!(leads_here && Authority::parse(&text).is_ok() || !is_ours, "{}", text);
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:[]".contains(&byte));
        prop_assert!(is_ours || !leads_here || !is_plain, "{}", text);
    }

    #[test]
    fn fault_06_an_address_is_read_in_every_form_of_a_proxy(
        ip in any::<IpAddr>(), spelling in 0..4usize, port in "(:[0-9]{0,4})?", quoted in any::<bool>(), text in "\\PC{0,20}",
    ) {
        let form = match ip {
            IpAddr::V4(ip) => format!("{ip}{port}"),
            IpAddr::V6(ip) if port.is_empty() => spellings_of_ipv6(ip)[spelling].clone(),
            IpAddr::V6(ip) => format!("[{}]{port}", spellings_of_ipv6(ip)[spelling]),
        };
        let form = if quoted { format!("\"{form}\"") } else { form };
        prop_assert_eq!(forwarded_address(form.as_bytes()), Some(ip.to_canonical()), "{}", form);
        // Nothing that is no address becomes one.
        if let Some(read) = forwarded_address(text.as_bytes()) {
            prop_assert!(text.contains(&read.to_string()) || text.contains(':'), "{}", text);
        }
    }
}
