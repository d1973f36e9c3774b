//! Commands suggested in messages work as they are.

use std::os::unix::process::CommandExt;

use crate::sandbox::Sandbox;

/// The command between the first backticks.
fn hinted(text: &str) -> String {
    text.split('`').nth(1).unwrap_or_else(|| panic!("no command in: {text}")).to_owned()
}

/// Runs the suggested command in the same folder.
fn follow(sandbox: &Sandbox, hint: &str) -> String {
    let args = hint.strip_prefix("idp ").unwrap_or_else(|| panic!("{hint}"));
    sandbox.idp(args).good()
}

#[test]
fn a_hint_names_the_same_database_and_can_be_run() {
    let sandbox = Sandbox::empty();
    sandbox.file("idp.toml", "[server]\ndata_dir = 'elsewhere'\n");
    for place in
        ["--config idp.toml", "--dev", "--dev --set server.data_dir=other", "--set server.data_dir=third"]
    {
        let refusal = sandbox.idp(&format!("user list {place}")).refusal();
        if place == "--dev" {
            assert!(refusal.ends_with("start `idp dev` once"), "{refusal}");
            sandbox.idp(&format!("db migrate {place}")).good();
        } else {
            let hint = hinted(&refusal.replace(
                "start `idp dev --data-dir other` once",
                "`idp db migrate --dev --set server.data_dir=other`",
            ));
            assert_eq!(hint, format!("idp db migrate {place}"));
            follow(&sandbox, &hint);
        }
        for verb in
            ["user show a@b.example", "user deactivate a@b.example", "client show a", "client enable a"]
        {
            let refusal = sandbox.idp(&format!("{verb} {place}")).refusal();
            let list = format!("idp {} list {place}", verb.split(' ').next().unwrap());
            assert_eq!(hinted(&refusal), list);
            follow(&sandbox, &list);
        }
        let app = format!("client create app --public --redirect-uri https://a.example/cb {place}");
        sandbox.idp(&app).good();
        follow(&sandbox, &hinted(&sandbox.idp(&app).refusal()));
        let ada = format!("user create --email a@b.example --name A --password-stdin {place}");
        sandbox.pipe(&ada, "tinker brass umbrella").good();
        follow(&sandbox, &hinted(&sandbox.pipe(&ada, "tinker brass umbrella").refusal()));
    }
}

#[test]
fn a_hint_begins_with_the_name_the_program_was_started_as() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("client show app");
    let refusal = sandbox.answer(command.arg0("target/debug/idp"), "").refusal();
    assert!(refusal.contains("`target/debug/idp client list`"), "{refusal}");
    let mut command = sandbox.command("client show app");
    let refusal = sandbox.answer(command.arg0("/opt/my tools/idp"), "").refusal();
    assert!(refusal.contains("`'/opt/my tools/idp' client list`"), "{refusal}");
    let mut command = sandbox.command("db status --set server.data_dir=a$b");
    let said = sandbox.answer(command.arg0("idp"), "").good();
    assert!(said.contains("`idp db migrate --set 'server.data_dir=a$b'`"), "{said}");
}

#[test]
fn fault_22_a_value_that_begins_with_a_dash_is_no_option_in_the_commands_that_are_shown() {
    let sandbox = Sandbox::new();
    let create = "client create --redirect-uri https://app.example/cb -o json -- -x";
    sandbox.idp(create).good();
    let refusal = sandbox.idp(create.replace("-o json ", "").as_str()).refusal();
    assert!(refusal.contains("see it with `idp client show -- -x`"), "{refusal}");
    sandbox.idp("client show -- -x").good();
    let user = "user create --email=-a@example.org --name A --password-stdin";
    sandbox.pipe(user, "tinker brass umbrella").good();
    let refusal = sandbox.pipe(&format!("{user} --set server.name=A"), "tinker brass umbrella").refusal();
    assert!(refusal.contains("`idp user show --set server.name=A -- -a@example.org`"), "{refusal}");
    sandbox.idp("user role add -- -a@example.org admin").good();
    let refusal = sandbox.idp("user role remove -- -a@example.org admin").refusal();
    assert!(refusal.contains("`idp user role remove --force -- -a@example.org admin`"), "{refusal}");
    sandbox.file("-c.toml", "");
    let refusal = sandbox.idp("client show app --config=-c.toml").refusal();
    assert!(refusal.contains("`idp client list --config=-c.toml`"), "{refusal}");
    sandbox.idp("db migrate --set server.data_dir=-data").good();
    let file = sandbox.path().join("-data/idp.db");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(file, mode).unwrap();
    let refusal = sandbox.idp("user list --set server.data_dir=-data").refusal();
    assert!(refusal.ends_with("`chmod 600 ./-data/idp.db*`"), "{refusal}");
}

#[test]
fn with_json_what_went_wrong_is_json_too() {
    let sandbox = Sandbox::new();
    for args in ["client show app -o json", "-o json", "user show a@b.example --output json"] {
        let args = if args == "-o json" { "db status -o json --config nowhere.toml" } else { args };
        assert!(!sandbox.idp(args).json_refusal().is_empty());
    }
    sandbox.file("idp.toml", "[server]\nisuer = 'x'\n[log]\nformat = 'xml'\n");
    let both = sandbox.idp("config check --config idp.toml -o json").json_refusal();
    assert_eq!(both.lines().count(), 2, "{both}");
    let answer = sandbox.idp("client create -o json");
    assert_eq!(answer.code, Some(2));
    let error: serde_json::Value = serde_json::from_str(&answer.err).unwrap();
    assert!(error["error"].as_str().unwrap().contains("<ID>"), "{error}");
    assert!(sandbox.idp("--help").good().contains("Exit codes:"));
}

#[test]
fn a_missing_password_names_both_ways_to_give_it() {
    let answer = Sandbox::new().idp("user create --email a@b.example --name A");
    assert_eq!(answer.code, Some(2));
    assert!(
        answer.err.contains("--password-stdin") && answer.err.contains("--password-file"),
        "{}",
        answer.err
    );
}
