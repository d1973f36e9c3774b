//! What `--help` and `help` say.

use crate::sandbox::Sandbox;

const VERBS: [&str; 25] = [
    "dev", "serve", "db", "db migrate", "db status", "config", "config check", "user", "user create",
    "user list", "user show", "user activate", "user deactivate", "user unlock", "user role",
    "user role add", "user role remove", "client", "client create", "client list", "client show",
    "client set-scope", "client disable", "key list", "version",
];

#[test]
fn fault_22_help_followed_by_a_command_explains_it() {
    let sandbox = Sandbox::empty();
    assert_eq!(sandbox.idp("help").good(), sandbox.idp("--help").good());
    for verb in VERBS {
        let said = sandbox.idp(&format!("help {verb}")).good();
        assert_eq!(said, sandbox.idp(&format!("{verb} --help")).good(), "{verb}");
        assert!(said.contains(&format!("Usage: idp {verb}")), "{said}");
    }
    assert_eq!(sandbox.idp("user help create").good(), sandbox.idp("user create --help").good());
    // Whoever asks for help twice gets it once.
    for (twice, once) in
        [("help -h", "--help"), ("help --help", "--help"), ("help user create -h", "user create --help")]
    {
        assert_eq!(sandbox.idp(twice).good(), sandbox.idp(once).good(), "{twice}");
    }
    assert_eq!(sandbox.idp("user help -h").good(), sandbox.idp("user help").good());
    let wrong = sandbox.idp("help sevre");
    assert!(wrong.code == Some(2) && wrong.err.contains("sevre"), "{}", wrong.err);
}

#[test]
fn fault_22_a_verb_without_its_group_is_answered_with_the_full_commands() {
    let sandbox = Sandbox::empty();
    for (verb, hint) in [
        ("create", "there are `idp user create` and `idp client create`"),
        ("unlock", "there is `idp user unlock`"),
        ("list", "there are `idp user list`, `idp client list` and `idp key list`"),
        ("migrate", "there is `idp db migrate`"),
    ] {
        for args in [format!("help {verb}"), format!("{verb} --dev"), verb.to_owned()] {
            let wrong = sandbox.idp(&args);
            let says = wrong.err.contains(&format!("unrecognized subcommand '{verb}'"));
            assert!(wrong.code == Some(2) && says && wrong.err.contains(hint), "{args}: {}", wrong.err);
            assert!(!wrong.err.contains("similar"), "a second hint is no help: {}", wrong.err);
        }
        let wrong = sandbox.idp(&format!("{verb} -o json"));
        assert!(wrong.code == Some(2) && wrong.err.contains(hint), "{}", wrong.err);
    }
    // Other mistakes are answered as before.
    let wrong = sandbox.idp("help nothing");
    assert!(wrong.code == Some(2) && !wrong.err.contains("there "), "{}", wrong.err);
}

#[test]
fn fault_22_a_verb_of_other_programs_is_answered_with_ours() {
    let sandbox = Sandbox::empty();
    for (args, hint) in [
        ("user add --dev", "there is `idp user create`"),
        ("user delete ada@example.org", "there is `idp user deactivate`"),
        ("client delete x", "there is `idp client disable`"),
        ("db init", "there is `idp db migrate`"),
        ("init", "there is `idp db migrate`"),
        ("start", "there is `idp serve`"),
        ("add", "there are `idp user create` and `idp client create`"),
        ("help add", "there are `idp user create` and `idp client create`"),
    ] {
        let wrong = sandbox.idp(args);
        assert!(wrong.code == Some(2) && wrong.err.contains(hint), "{args}: {}", wrong.err);
        assert!(!wrong.err.contains("similar"), "a second hint is no help: {}", wrong.err);
    }
    for args in ["db add", "user nothing", "login"] {
        let wrong = sandbox.idp(args);
        assert!(wrong.code == Some(2) && !wrong.err.contains("there "), "{args}: {}", wrong.err);
    }
}

#[test]
fn fault_22_help_has_examples_and_keeps_global_options_apart() {
    let sandbox = Sandbox::empty();
    for verb in VERBS {
        let said = sandbox.idp(&format!("{verb} --help")).good();
        let (_, examples) =
            said.split_once("\nExample").unwrap_or_else(|| panic!("{verb}: no example\n{said}"));
        assert!(examples.contains(&format!("idp {verb}")), "{said}");
        let own = said.split("\nOptions:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap();
        for global in ["--config", "--set", "--dev", "--output"] {
            assert!(!own.contains(global), "{verb}: {global} among its own options\n{said}");
        }
        let takes_settings = !["dev", "version"].contains(&verb);
        assert_eq!(
            said.contains("\nGlobal options:\n"),
            takes_settings || verb == "version",
            "{verb}\n{said}"
        );
        assert!(!takes_settings || said.contains("--config <FILE>"), "{said}");
    }
    // Long explanations come with --help, and -h stays short.
    assert!(sandbox.idp("--help").good().contains("\nExamples:\n"));
}
