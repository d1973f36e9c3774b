//! A full disk, without a disk of its own, which would have to be mounted: no file of the server may grow any further.

use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::sandbox::{Running, Sandbox};

/// Lets the server's files grow to this many bytes, or as far as ours.
fn limit_files(server: &Running, bytes: Option<u64>) {
    let (pid, ours) = (Pid::from_raw(server.id().try_into().unwrap()), getrlimit(Resource::Fsize));
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes.or(ours.current), ..ours }).unwrap();
}

/// Asks until the answer has this status; returns it.
fn until(server: &Running, url: &str, status: &str) -> String {
    let begins = format!("HTTP/1.1 {status} ");
    let mut answer = server.page(url);
    for _ in 0..600 {
        if answer.starts_with(&begins) {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
        answer = server.page(url);
    }
    panic!("{url} is never answered with {status}, but: {answer}");
}

#[test]
fn fault_05_a_server_whose_disk_is_full_is_not_ready_until_there_is_room() {
    let sandbox = Sandbox::empty();
    let mut dev = sandbox.command("dev --port 0 --client-port 0");
    let server = sandbox.start_logged(&mut dev, "Ctrl-C stops it.");
    let sign_in = server.line("Sign in").to_owned();
    let ready = sign_in.replace("/signin", "/readyz");
    until(&server, &ready, "200");

    let log = std::fs::metadata(sandbox.path().join("data/dev/idp.db-wal")).unwrap();
    limit_files(&server, Some(log.len()));
    let unready = until(&server, &ready, "503");
    assert!(unready.ends_with("\r\n\r\nthe database does not accept writes"), "{unready}");
    let refused = server.page(&sign_in);
    assert!(refused.starts_with("HTTP/1.1 503 "), "a flow cannot be written: {refused}");
    assert!(refused.to_ascii_lowercase().contains("\r\nretry-after: "), "{refused}");

    limit_files(&server, None);
    until(&server, &ready, "200");
    assert!(server.page(&sign_in).starts_with("HTTP/1.1 303 "), "a flow is written again");
    let (code, lines) = server.stop_logged("TERM");
    assert_eq!(code, Some(0));
    let reason = lines.lines().find(|line| line.contains("not ready")).unwrap_or_else(|| panic!("{lines}"));
    assert!(reason.contains("the database does not accept writes"), "{reason}");
    assert!(lines.contains("ready again"), "{lines}");
}

#[test]
fn fault_22_a_limit_on_the_size_of_files_ends_no_command_in_the_middle() {
    let sandbox = Sandbox::empty();
    let mut limited = Command::new("sh");
    let script = "ulimit -f 40; exec \"$0\" db migrate";
    limited.args(["-c", script, env!("CARGO_BIN_EXE_idp")]).current_dir(sandbox.path()).env_clear();
    let refusal = sandbox.answer(&mut limited, "").refusal();
    assert!(refusal.contains("disk"), "{refusal}");
    sandbox.idp("db migrate").good();
    sandbox.idp("user list").good();
}
