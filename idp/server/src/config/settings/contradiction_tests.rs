//! Settings that are each valid, but not together; and names that only look like a database in memory.

use super::tests::{LEAST, Pairs, config, lines, read};

#[test]
fn fault_21_settings_that_contradict_each_other_are_refused() {
    let set = |pairs: Pairs<'_>| lines(config(LEAST, &[], pairs));
    let told = set(&[("session.idle_minutes", "61"), ("session.absolute_hours", "1")]);
    let said =
        "session.idle_minutes cannot be 61: a session ends after session.absolute_hours, 1 hour, in any case";
    assert!(told.len() == 1 && told[0].contains(said), "{told:?}");
    // Only one of them is given, and contradicts the other's default.
    let told = set(&[("session.idle_minutes", "721")]);
    assert!(told.len() == 1 && told[0].contains("session.absolute_hours, 12 hours"), "{told:?}");
    assert_eq!(set(&[("session.idle_minutes", "60"), ("session.absolute_hours", "1")]), [""; 0]);
    for (networks, whom) in [
        ("0.0.0.0/1,128.0.0.0/1", "IPv4"),
        ("128.0.0.0/1, 10.0.0.0/8, 0.0.0.0/1", "IPv4"),
        ("0.0.0.0/2,64.0.0.0/2,128.0.0.0/2,192.0.0.0/2", "IPv4"),
        ("0.0.0.0/1", "IPv4"),
        ("::ffff:0.0.0.0/97,::ffff:128.0.0.0/97", "IPv4"),
        ("::/1,8000::/1", "public IPv6"),
        ("2000::/3", "public IPv6"),
        ("2000::/4", "public IPv6"),
        ("2000::/4,3000::/4", "public IPv6"),
        ("10.0.0.0/8,::/1", "public IPv6"),
    ] {
        let told = set(&[("server.trusted_proxies", networks)]);
        let said = format!("they are half of all {whom} addresses or more");
        assert!(told.len() == 1 && told[0].contains(&said), "{networks}: {told:?}");
    }
    for networks in [
        "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,fe80::/10",
        "100.64.0.0/10,2600::/12",
        "10.0.0.0/8,10.0.0.0/8,10.1.0.0/16",
    ] {
        assert_eq!(set(&[("server.trusted_proxies", networks)]), [""; 0], "{networks}");
    }
    // The folder is ignored, which does no harm.
    let both = [("server.data_dir", "/var/lib/idp"), ("database.url", "postgres://idp@localhost/idp")];
    let told = read(LEAST, &[], &both).unwrap().warnings().to_vec();
    assert_eq!(told, ["server.data_dir has no effect: database.url names another database"]);
    assert!(read(LEAST, &[], &both[..1]).unwrap().warnings().is_empty());
    let told = set(&[("server.listen", "127.0.0.1:8080,127.0.0.1:8080")]);
    assert!(told.len() == 1 && told[0].contains("`127.0.0.1:8080` is there twice"), "{told:?}");
    for (addresses, said) in [
        ("0.0.0.0:8080,127.0.0.1:8080", "`0.0.0.0:8080` already includes `127.0.0.1:8080`"),
        ("127.0.0.1:8080,[::]:8080", "`[::]:8080` already includes `127.0.0.1:8080`"),
        ("[::]:8080,0.0.0.0:8080", "`[::]:8080` already includes `0.0.0.0:8080`"),
        ("[::1]:8080,[::]:8080", "`[::]:8080` already includes `[::1]:8080`"),
    ] {
        let told = set(&[("server.listen", addresses)]);
        assert!(told.len() == 1 && told[0].contains(said), "{addresses}: {told:?}");
    }
    for addresses in ["0.0.0.0:8080,127.0.0.1:8081", "0.0.0.0:8080,[::1]:8080", "0.0.0.0:0,127.0.0.1:0"] {
        assert_eq!(set(&[("server.listen", addresses)]), [""; 0], "{addresses}");
    }
    let http = [("server.issuer", "http://localhost:8080"), ("server.hsts", "subdomains")];
    let told = read(LEAST, &[], &http).unwrap().warnings().to_vec();
    assert_eq!(told, ["server.hsts has no effect: the issuer is not https"]);
    assert!(read(LEAST, &[], &http[..1]).unwrap().warnings().is_empty());
}

#[test]
fn fault_21_a_folder_may_have_memory_in_its_name() {
    for url in [
        "sqlite:/srv/memory/idp.db",
        "sqlite:memory.db",
        "sqlite:/srv/:memory:/idp.db",
        "sqlite:a%3fmode=memory",
        "sqlite:idp.db?cache=private",
        "sqlite:idp.db?mode=rwc&cache=shared",
        "sqlite:idp.db?mode=rw",
    ] {
        assert!(config(LEAST, &[], &[("database.url", url)]).is_ok(), "{url}");
    }
    for url in [
        "sqlite::memory:",
        "sqlite:%3Amemory%3A",
        "sqlite::memory:?cache=shared",
        "sqlite:idp.db?mode=memory",
        "sqlite:idp.db?cache=shared&mode=mem%6Fry",
        "sqlite:file:idp?mode=memory",
        "sqlite:file::memory:",
    ] {
        let told = lines(config(LEAST, &[], &[("database.url", url)]));
        assert!(told.len() == 1 && told[0].contains("the database must be a file"), "{url}: {told:?}");
    }
    for parameters in
        ["vfs=memdb", "mode=ro", "immutable=1", "mode=rwc&immutable=true", "mode=rw%63&vfs=unix"]
    {
        let told = lines(config(LEAST, &[], &[("database.url", &format!("sqlite:idp.db?{parameters}"))]));
        assert!(
            told.len() == 1 && told[0].contains("only mode=rwc, mode=rw and cache"),
            "{parameters}: {told:?}"
        );
    }
    for (folder, url) in [
        ("/srv/memory/:memory:", "sqlite:/srv/memory/:memory:/idp.db"),
        ("data", "sqlite:data/idp.db"),
        ("file:x", "sqlite:./file:x/idp.db"),
        ("//srv/idp", "sqlite:/srv/idp/idp.db"),
    ] {
        let config = config(LEAST, &[], &[("server.data_dir", folder)]).unwrap();
        assert_eq!(config.database_url.expose(), url);
    }
}
