use std::os::unix::fs::PermissionsExt;

use super::*;

const FULL: &str = r#"
[[users]]
email = "ada@example.org"
name = "Ada Lovelace"
password = "tinker brass umbrella"
roles = ["admin"]

[[users]]
email = "bob@example.org"
name = "Bob"
password = "violet orchard lantern"

[[clients]]
id = "app"
name = "My app"
secret = "0123456789abcdef0123456789abcdef"
redirect_uris = ["https://app.example.com/cb"]
post_logout_redirect_uris = ["https://app.example.com/"]
home_uri = "https://app.example.com/"
scopes = ["openid", "email"]
auth_method = "client_secret_post"
pkce = "optional"
consent = "skip"
id_token_alg = "ES256"
access_token_alg = "RS256"

[[clients]]
id = "phone"
public = true
native = true
redirect_uris = ["com.example.phone:/cb"]
"#;

fn read(text: &str) -> Result<Seed, Failure> {
    let source = SeedText { path: Path::new("seed.toml"), text };
    parse(&source, &PasswordPolicy::new(15, "idp"), Timestamp::from_millis(0))
}

fn told(text: &str) -> String {
    read(text).err().map(|failure| failure.lines().join("\n")).unwrap_or_default()
}

#[test]
fn every_key_is_understood() {
    let seed = read(FULL).unwrap();
    assert_eq!((seed.accounts.len(), seed.clients.len()), (2, 2));
    let app = &seed.clients[0];
    assert_eq!(app.secret, Some(idp_core::secret::Digest::of("0123456789abcdef0123456789abcdef")));
    assert_eq!((app.scope.to_string().as_str(), app.pkce.as_str()), ("email openid", "optional"));
    assert!(seed.clients[1].is_public());
    for (kind, count) in [("users", 5), ("clients", 15)] {
        let told = told(&format!("[[{kind}]]\n'?' = 1"));
        let (_, names) = told.split_once("valid names are `").unwrap();
        let names: Vec<&str> = names.trim_end_matches('`').split("`, `").collect();
        assert_eq!(names.len(), count, "{told}");
        for key in names.iter().filter(|key| !key.ends_with("_file")) {
            assert!(FULL.contains(&format!("\n{key} = ")), "{key} is not tried here");
        }
    }
}

#[test]
fn the_handbooks_example_is_a_seed() {
    let handbook = include_str!("../../../../../docs/configuration.md");
    let mut examples = handbook.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let example = examples.find(|example| example.contains("[[users]]")).unwrap();
    let seed = read(example).unwrap();
    assert_eq!((seed.accounts.len(), seed.clients.len()), (1, 1));
}

#[test]
fn an_empty_seed_is_one() {
    assert!(read("# nothing yet\n").is_ok());
}

#[test]
fn what_is_wrong_is_told_with_file_and_line() {
    let user = "[[users]]\nemail = 'a@b.example'\nname = 'A'\n";
    let client = "[[clients]]\nid = 'app'\npublic = true\n";
    for (text, why) in [
        (
            "[[user]]\n".to_owned(),
            "seed.toml line 1: there is no key `user`; the nearest valid name is `users`",
        ),
        ("users = 7\n".to_owned(), "seed.toml line 1: write each entry of users as a table `[[users]]`"),
        ("\n[users]\n".to_owned(), "seed.toml line 2: write each entry of users as a table `[[users]]`"),
        ("clients = ['app']\n".to_owned(), "line 1: write each entry of clients as a table `[[clients]]`"),
        ("[[servers]]\n".to_owned(), "there is no key `servers`; "),
        (
            format!("{user}pasword = 'x'"),
            "seed.toml line 4: there is no key `pasword`; the nearest valid name is `password`",
        ),
        (user.to_owned(), "seed.toml line 1: password or password_file is missing"),
        (
            format!("\n{user}password = 'short'"),
            "seed.toml line 2: the password has fewer than 15 characters",
        ),
        (format!("{user}password = 12345678"), "seed.toml line 4: password takes a string"),
        (format!("{user}password = 'a'\npassword_file = 'b'"), "keep one of password and password_file"),
        (format!("{user}password_file = '/nowhere'"), "the file /nowhere cannot be read"),
        (format!("{user}roles = 'admin'"), "seed.toml line 4: roles takes a list of strings"),
        (format!("{user}roles = ['admin']\npassword = 'x'"), "seed.toml line 1: the password"),
        ("[[users]]\nname = 'A'\n".to_owned(), "seed.toml line 1: email is missing"),
        (format!("{client}redirect_uris = 'x'"), "seed.toml line 4: redirect_uris takes a list of strings"),
        (
            format!("{client}redirect_uris = [\n'https://a.example/',\n7]"),
            "seed.toml line 6: redirect_uris takes a list of strings",
        ),
        (
            format!("{client}redirect_uris = ['http://a.example/']"),
            "seed.toml line 1: `http://a.example/` cannot be",
        ),
        (format!("{client}native = 'yes'"), "seed.toml line 4: native takes true or false"),
        (
            format!("{client}scope = []"),
            "seed.toml line 4: there is no key `scope`; the nearest valid name is `scopes`",
        ),
        (format!("{client}id = 'app'"), "seed.toml line 4: `id` is given twice; keep one of them"),
        (
            format!("{user}password = 'tinker brass umbrella'\nroles = ['admin', 'user',\n 'amdin']"),
            "seed.toml line 6: there is no role `amdin`; the nearest valid name is `admin`",
        ),
    ] {
        let told = told(&text);
        assert!(told.contains(why), "{text}\n{told}");
        assert!(!told.contains("12345678"), "no value of a password is shown");
    }
}

#[test]
fn no_error_quotes_a_password_or_secret() {
    let user = "[[users]]\nemail = 'a@b.example'\nname = 'A'\n";
    let client = "[[clients]]\nid = 'app'\nredirect_uris = ['https://a.example/']\n";
    // Wrong types, weak secrets, broken TOML.
    for value in [
        "90210",
        "902109021090210902109021090210902109021090210902109021090210",
        "90.210",
        "9021-05-27",
        "['hunter2']",
        "[['hunter2']]",
        "{ hunter2 = 'hunter2' }",
        "hunter2",
        "'hunter2",
        "\"hunter2",
        "\"hunter2\\q\"",
        "'''hunter2",
        "'hunter2' 'hunter2'",
    ] {
        for entry in [format!("{user}password"), format!("{client}secret")] {
            let told = told(&format!("{entry} = {value}"));
            assert!(told.starts_with("seed.toml line ") && told.lines().count() == 1, "{value}: {told}");
            assert!(!told.contains("hunter2") && !told.contains("902") && !told.contains("210"), "{told}");
        }
    }
    // Secrets in the wrong place, or beside another mistake.
    for text in [
        "password = 'hunter2'".to_owned(),
        "users = 'hunter2'".to_owned(),
        "users = ['hunter2']".to_owned(),
        "users = [['a@b.example', 'A', 'hunter2']]".to_owned(),
        format!("{user}pasword = 'hunter2'"),
        format!("{user}roles = 'hunter2'\npassword = 'hunter2'"),
        format!("{user}password = 'hunter2'\npassword = 'hunter2'"),
        "[[users]]\nemail = 7\npassword = 'hunter2'".to_owned(),
        "users = [{ email = 'a@b.example', password = 'hunter2', roles = 7 }]".to_owned(),
        format!("{client}public = 'hunter2'"),
        format!("{client}public = 'invalid type: hunter2, expected a string'"),
        format!("{client}public = 'hunter2`, expected one of `a'"),
        format!("{client}scopes = [['hunter2']]"),
    ] {
        let told = told(&text);
        assert!(!told.is_empty() && !told.contains("hunter2"), "{text}\n{told}");
    }
}

#[test]
fn a_secret_may_lie_in_a_file_beside_the_seed() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("ada.password");
    std::fs::write(&secret, "tinker brass umbrella\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let seed = dir.path().join("seed.toml");
    std::fs::write(&seed, "[[users]]\nemail = 'a@b.example'\nname = 'A'\npassword_file = 'ada.password'\n")
        .unwrap();
    let policy = PasswordPolicy::new(15, "idp");
    assert!(super::read(&seed, &policy, Timestamp::from_millis(0)).is_ok());
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(super::read(&seed, &policy, Timestamp::from_millis(0)).is_err());
}
