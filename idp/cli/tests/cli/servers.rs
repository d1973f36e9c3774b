use crate::sandbox::{Running, Sandbox};

fn dev(sandbox: &Sandbox, more: &str) -> Running {
    sandbox.start(&mut sandbox.command(&format!("dev --port 0 --client-port 0 {more}")), "Ctrl-C stops it.")
}

#[test]
fn dev_needs_nothing_and_finds_its_own_at_the_next_start() {
    let sandbox = Sandbox::empty();
    let first = dev(&sandbox, "");
    assert_eq!(first.line("Account "), "admin@example.com, with the role admin");
    for page in ["Sign in", "Create account", "Mailbox", "Clock", "Discovery", "Example app"] {
        let status = first.get(first.line(page));
        assert!(status.starts_with("HTTP/1.1 200") || status.starts_with("HTTP/1.1 303"), "{page}: {status}");
    }
    let listed = sandbox.idp("user list --dev -o json").json();
    assert_eq!(listed[0]["roles"], serde_json::json!(["admin", "user"]));
    assert_eq!(sandbox.idp("client show example --dev -o json").json()["state"], "enabled");
    assert_eq!(sandbox.idp("key list --dev -o json").json().as_array().unwrap().len(), 3);
    assert_eq!(first.stop("TERM"), (Some(0), String::new()));

    let second = dev(&sandbox, "");
    assert!(second.line("Account ").starts_with("admin@example.com"));
    let example = sandbox.idp("client show example --dev -o json").json();
    let home = second.line("Example app");
    assert_eq!(example["redirect_uris"][1], format!("{home}callback"), "another port, the same application");
    assert_eq!(example["post_logout_redirect_uris"][1], format!("{home}signed-out"));
    assert_eq!(example["home_uri"], home);
    assert_eq!(second.stop("INT").0, Some(0));
}

#[test]
fn dev_sows_its_seed_and_doing_so_twice_is_harmless() {
    let sandbox = Sandbox::empty();
    sandbox.file(
        "seed.toml",
        "[[users]]\nemail = 'ada@example.org'\nname = 'Ada'\npassword = 'tinker brass umbrella'\nroles = ['admin']\n\
         [[clients]]\nid = 'app'\npublic = true\nredirect_uris = ['http://localhost:3000/cb']\n",
    );
    for (said, account) in
        [("2 created, 0 already there", "ada@example.org"), ("0 created, 2 already there", "ada@example.org")]
    {
        let running = dev(&sandbox, "--seed seed.toml");
        assert!(running.line("Seed ").starts_with(said), "{}", running.said);
        assert!(running.line("Account ").starts_with(account), "{}", running.said);
        assert!(running.line("Create another").starts_with("idp user create --dev "), "{}", running.said);
    }
    sandbox.file("seed.toml", "[[users]]\nemial = 'ada@example.org'\n");
    let refusal = sandbox.idp("dev --port 0 --client-port 0 --seed seed.toml").refusal();
    assert_eq!(refusal, "seed.toml line 2: there is no key `emial`; the nearest valid name is `email`");
}

#[test]
fn dev_refuses_a_role_that_is_none_before_it_makes_anything() {
    let sandbox = Sandbox::empty();
    sandbox.file(
        "seed.toml",
        "[[users]]\nemail = 'ada@example.org'\nname = 'Ada'\npassword = 'tinker brass umbrella'\nroles = ['amdin']\n",
    );
    let refusal = sandbox.idp("dev --port 0 --client-port 0 --seed seed.toml").refusal();
    assert_eq!(refusal, "seed.toml line 5: there is no role `amdin`; the nearest valid name is `admin`");
    assert!(!sandbox.path().join("data").exists());
}

#[test]
fn dev_in_another_folder_names_it_in_a_command_that_works() {
    let sandbox = Sandbox::empty();
    drop(dev(&sandbox, "--data-dir other"));
    // Without the password of the first account, `dev` suggests another account.
    std::fs::remove_file(sandbox.path().join("other/first-account.password")).unwrap();
    let second = dev(&sandbox, "--data-dir other");
    let another = second.line("Create another").to_owned();
    assert!(another.starts_with("idp user create --dev --set server.data_dir=other "), "{another}");
    let foreign = "authorize?client_id=example&redirect_uri=https://other.example/cb";
    let page = second.page(&second.line("Sign in").replace("signin", foreign));
    let fix = "idp client add-redirect-uri --dev --set server.data_dir=other example";
    assert!(page.contains(fix), "{page}");
    drop(second);
    let args = another.strip_prefix("idp ").unwrap();
    assert!(sandbox.pipe(args, "tinker brass umbrella").good().starts_with("Created you@example.com"));
}

#[test]
fn dev_names_the_flag_when_a_port_is_taken() {
    let sandbox = Sandbox::empty();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (args, flag) in [
        (format!("--port {port} --client-port 0"), "--port"),
        (format!("--port 0 --client-port {port}"), "--client-port"),
    ] {
        let refusal = sandbox.idp(&format!("dev {args}")).refusal();
        assert_eq!(refusal, format!("port {port} is in use; choose another one with {flag}"));
    }
    assert!(!sandbox.path().join("data").exists());
}

#[test]
fn dev_says_what_to_do_when_the_examples_secret_is_gone() {
    let sandbox = Sandbox::empty();
    drop(dev(&sandbox, ""));
    std::fs::remove_file(sandbox.path().join("data/dev/example-client.secret")).unwrap();
    let refusal = sandbox.idp("dev --port 0 --client-port 0").err;
    assert!(refusal.contains("is not in data/dev; remove data/dev to start over"), "{refusal}");
}

#[test]
fn dev_does_not_touch_the_database_of_a_production_server() {
    let sandbox = Sandbox::empty();
    let mut command = sandbox.command("dev --port 0 --client-port 0");
    command.env("IDP__DATABASE__URL", "sqlite:production.db").env("IDP__SERVER__DATA_DIR", "production");
    drop(sandbox.start(&mut command, "Ctrl-C stops it."));
    assert!(!sandbox.path().join("production.db").exists() && !sandbox.path().join("production").exists());
    assert!(sandbox.path().join("data/dev/idp.db").exists());
}

#[test]
fn serve_says_when_it_is_ready_and_ends_when_told() {
    let sandbox = Sandbox::empty();
    sandbox.file("smtp", "smtp://localhost:2525\n");
    sandbox.file("idp.toml", "[server]\nissuer = 'http://localhost:8080'\nlisten = '127.0.0.1:0'\n[mail]\nfrom = 'id@example.com'\n");
    for signal in ["TERM", "INT"] {
        let mut command = sandbox.command("serve --config idp.toml");
        let running = sandbox.start(command.env("IDP__MAIL__SMTP_URL_FILE", "smtp"), "listening on");
        let address = running.line("idp is ready: http://localhost:8080, listening on ");
        assert!(running.get(&format!("http://{address}/readyz")).starts_with("HTTP/1.1 200"));
        let dev_only = format!("http://{address}/dev/mail");
        assert!(!running.get(&dev_only).starts_with("HTTP/1.1 200"), "there is no mailbox outside of dev");
        assert_eq!(running.stop(signal), (Some(0), String::new()));
    }
}

#[test]
fn serve_refuses_an_address_that_is_taken() {
    let sandbox = Sandbox::empty();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut command =
        sandbox.command(&format!("serve --set server.listen={address} --set server.issuer=http://localhost"));
    command.env("IDP__MAIL__SMTP_URL", "smtp://localhost").env("IDP__MAIL__FROM", "id@example.com");
    let refusal = sandbox.answer(&mut command, "").refusal();
    assert!(refusal.starts_with(&format!("cannot listen on {address}: ")), "{refusal}");
}
