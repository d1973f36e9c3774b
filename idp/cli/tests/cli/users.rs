use idp_core::account::throttle::ACCOUNT;
use idp_core::audit::AuditEvent;
use idp_core::ids::UserId;
use idp_core::secret::Secret;
use idp_core::time::Timestamp;
use idp_store::ThrottleKey;
use serde_json::json;

use crate::sandbox::Sandbox;

const PASSWORD: &str = "tinker brass umbrella\n";
const ADA: &str = "user create --email Ada@Example.org --name Ada --password-stdin";

#[test]
fn an_account_is_made_listed_and_shown() {
    let sandbox = Sandbox::new();
    let made = sandbox.pipe(&format!("{ADA} --role admin -o json"), PASSWORD).json();
    assert_eq!((&made["email"], &made["state"]), (&json!("Ada@example.org"), &json!("active")));
    assert_eq!(made["roles"], json!(["admin", "user"]));
    sandbox.file("password", "violet orchard lantern\n");
    let bob = "user create --email bob@example.org --name Bob --password-file password";
    assert!(sandbox.idp(bob).good().starts_with("Created bob@example.org ("));
    let listed = sandbox.idp("user list -o json").json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[0], made);
    let first = sandbox.idp("user list --limit 1").good();
    let id = made["id"].as_str().unwrap();
    assert!(first.ends_with(&format!("For more: idp user list --limit 1 --after {id}\n")), "{first}");
    assert_eq!(sandbox.idp(&format!("user list --after {id} -o json")).json(), json!([listed[1]]));
    for who in ["ADA@EXAMPLE.ORG", id] {
        assert_eq!(sandbox.idp(&format!("user show {who} -o json")).json()["id"], id);
    }
    let shown = sandbox.idp("user show bob@example.org").good();
    assert!(shown.contains("state    active") && shown.contains("sign-in  not locked"), "{shown}");
    assert_eq!((sandbox.audited(AuditEvent::UserCreated), sandbox.audited(AuditEvent::RoleGranted)), (2, 1));
}

#[test]
fn an_account_that_cannot_be_is_refused_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    sandbox.pipe(ADA, PASSWORD).good();
    for (args, password, why) in [
        ("--email ada --name A", PASSWORD, "`ada` is not a plain email address"),
        ("--email b@example.org --name A", "short", "the password has fewer than 15 characters"),
        ("--email b@example.org --name A", "passwordpassword", "the password is easy to guess"),
        ("--email b@example.org --name A", "", "standard input was empty"),
        ("--email ADA@example.org --name A", PASSWORD, "ADA@example.org already has an account"),
        ("--email b@example.org --name A --role amdin", PASSWORD, "the nearest valid name is `admin`"),
    ] {
        let refusal = sandbox.pipe(&format!("user create --password-stdin {args}"), password).refusal();
        assert!(refusal.contains(why), "{why}: {refusal}");
        assert!(password.is_empty() || !refusal.contains(password.trim()), "{refusal}");
    }
    assert_eq!(sandbox.idp("user list -o json").json().as_array().unwrap().len(), 1);
    assert_eq!(sandbox.audited(AuditEvent::UserCreated), 1);
}

#[test]
fn an_account_is_switched_off_and_on_and_each_change_is_audited_once() {
    let sandbox = Sandbox::new();
    sandbox.pipe(ADA, PASSWORD).good();
    let say = |args: &str| sandbox.idp(args).good();
    assert!(
        say("user deactivate ada@example.org").ends_with("its sessions are ended and its tokens revoked.\n")
    );
    assert!(say("user deactivate ada@example.org").ends_with("is already deactivated.\n"));
    assert_eq!(sandbox.idp("user show ada@example.org -o json").json()["state"], "deactivated");
    assert!(say("user activate ada@example.org").ends_with("may sign in again.\n"));
    let again = sandbox.idp("user activate ada@example.org -o json").json();
    assert_eq!(again["changed"], false);
    assert!(say("user role add ada@example.org admin").ends_with("now has the role `admin`.\n"));
    assert!(say("user role add ada@example.org admin").ends_with("already has the role `admin`.\n"));
    assert!(say("user role remove ada@example.org admin --force").contains("no longer has the role `admin`"));
    for (event, times) in [
        (AuditEvent::UserDeactivated, 1),
        (AuditEvent::UserActivated, 1),
        (AuditEvent::RoleGranted, 1),
        (AuditEvent::RoleRevoked, 1),
    ] {
        assert_eq!(sandbox.audited(event), times, "{event:?}");
    }
    for (args, why) in [
        (
            "user deactivate bob@example.org",
            "there is no account bob@example.org; list them with `idp user list`",
        ),
        (
            "user role add ada@example.org amdin",
            "there is no role `amdin`; the nearest valid name is `admin`",
        ),
        ("user role remove ada@example.org user", "every account has the role `user`"),
    ] {
        let refusal = sandbox.idp(args).refusal();
        assert!(refusal.starts_with(why), "{refusal}");
    }
}

#[test]
fn fault_21_a_password_that_no_form_can_send_is_refused_with_the_reason() {
    let sandbox = Sandbox::new();
    for (password, why) in [
        ("tinker\tbrass umbrella orbit", "the password contains U+0009, which nobody can type into a form"),
        ("tinker brass\r umbrella orbit", "U+000D"),
        ("tinker brass umbrella\u{7} orbit", "U+0007"),
        ("tinker brass umbrella\u{85} orbit", "U+0085"),
        ("tinker brass\u{2028} umbrella orbit", "U+2028"),
        ("\u{feff}tinker brass umbrella orbit", "U+FEFF"),
        ("tinker brass\0 umbrella orbit", "U+0000"),
    ] {
        for source in ["--password-stdin", "--password-file password"] {
            sandbox.file("password", password);
            let args = format!("user create --email b@example.org --name B {source}");
            let refusal = sandbox.pipe(&args, password).refusal();
            assert!(refusal.contains(why) && !refusal.contains("umbrella"), "{why}: {refusal}");
        }
    }
    // More than one line: which part is the password?
    sandbox.file("password", "tinker brass umbrella\nviolet orchard lantern\n");
    let file = "user create --email b@example.org --name B --password-file password";
    assert!(sandbox.idp(file).refusal().contains("U+000A"));
    // A form sends this, and other keyboards write it in another form.
    sandbox
        .pipe("user create --email b@example.org --name B --password-stdin", "cafe\u{301} tinker brass orbit")
        .good();
    // A long one is refused, never cut off.
    let long = format!("a{}", "\u{301}".repeat(200));
    for (times, why) in
        [(10, "more than 256 characters"), (60, "the first line of standard input is too long")]
    {
        let create = "user create --email c@example.org --name C --password-stdin";
        let refusal = sandbox.pipe(create, &long.repeat(times)).refusal();
        assert!(refusal.contains(why), "{refusal}");
    }
}

#[test]
fn fault_21_the_last_administrator_stays_one() {
    let sandbox = Sandbox::new();
    sandbox.pipe(&format!("{ADA} --role admin"), PASSWORD).good();
    sandbox.pipe(&ADA.replace("Ada", "Bob"), PASSWORD).good();
    let last =
        "ada@example.org is the only active account with the role `admin`; give it to another account first";
    for change in ["user role remove ada@example.org admin", "user deactivate ada@example.org"] {
        let refusal = sandbox.idp(&change.replace("ada@", "Ada@")).refusal();
        assert!(refusal.to_lowercase().contains(last), "{refusal}");
        assert!(refusal.contains("--force"), "{refusal}");
    }
    assert_eq!(sandbox.idp("user show ada@example.org -o json").json()["roles"], json!(["admin", "user"]));
    assert_eq!(
        (sandbox.audited(AuditEvent::RoleRevoked), sandbox.audited(AuditEvent::UserDeactivated)),
        (0, 0)
    );
    // A deactivated administrator is none.
    sandbox.idp("user role add bob@example.org admin").good();
    sandbox.idp("user deactivate bob@example.org").good();
    sandbox.idp("user role remove ada@example.org admin").refusal();
    // Taking it from him leaves one, and so does everything once there are two.
    sandbox.idp("user role remove bob@example.org admin").good();
    sandbox.idp("user role add bob@example.org admin").good();
    sandbox.idp("user activate bob@example.org").good();
    sandbox.idp("user role remove ada@example.org admin").good();
    sandbox.idp("user deactivate bob@example.org").refusal();
    sandbox.idp("user deactivate ada@example.org").good();
    sandbox.idp("user deactivate bob@example.org --force").good();
    sandbox.idp("user activate bob@example.org").good();
    sandbox.idp("user role remove bob@example.org admin --force").good();
    // Without an administrator there is nothing to keep.
    sandbox.idp("user deactivate bob@example.org").good();
}

#[test]
fn a_locked_account_is_shown_as_such_and_unlocked() {
    let sandbox = Sandbox::new();
    sandbox.pipe(ADA, PASSWORD).good();
    let id = sandbox.idp("user show ada@example.org -o json").json()["id"].as_str().unwrap().to_owned();
    let user: UserId = id.parse().unwrap();
    let own = ThrottleKey::Account { email_key: "ada@example.org".to_owned(), user: Some(user) };
    // A browser she has signed in with has its own count, which can be locked too.
    let browser = ThrottleKey::KnownBrowser(user, Secret::random().digest());
    let wrong_tries = |key: &ThrottleKey, times: usize, at: i64| {
        let key = key.clone();
        sandbox.with_store(|store| async move {
            for minute in 0..times {
                let now = Timestamp::from_millis(at + i64::try_from(minute).unwrap() * 86_400_000);
                let input = (key.clone(), now);
                let tried = store.write(input, |tx, (key, now)| Box::pin(tx.reserve(key, &ACCOUNT, *now)));
                tried.await.unwrap();
            }
        });
    };
    // In 2100, so that the lock holds whenever this test runs.
    for _ in 0..10 {
        wrong_tries(&browser, 1, 4_102_444_800_000);
    }
    let shown = sandbox.idp("user show ada@example.org -o json").json();
    assert_eq!(
        (&shown["locked_until"], &shown["wrong_passwords"]),
        (&json!("2100-01-01T00:15:00Z"), &json!(10))
    );
    let text = sandbox.idp("user show ada@example.org").good();
    assert!(text.contains("locked until 2100-01-01T00:15:00Z") && text.contains("idp user unlock"), "{text}");
    assert!(sandbox.idp("user unlock ada@example.org").good().ends_with("is unlocked.\n"));
    assert!(sandbox.idp("user show ada@example.org").good().contains("not locked"));
    assert!(sandbox.idp("user unlock ada@example.org").good().ends_with("was not locked.\n"));
    assert_eq!(sandbox.audited(AuditEvent::UserUnlocked), 1);
    wrong_tries(&own, 100, 0);
    let shown = sandbox.idp("user show ada@example.org -o json").json();
    assert_eq!((&shown["closed"], &shown["wrong_passwords"]), (&json!(true), &json!(100)));
}
