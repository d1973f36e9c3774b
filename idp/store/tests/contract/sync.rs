//! a commit is on disk before anybody hears of it. strace shows that SQLite's log is written, then synced, and
//! that the answer leaves only after that.

use std::process::Stdio;

use idp_store::Store;

use crate::given::a_user;
use crate::harness::processes::{Part, command};
use crate::harness::{Db, sqlite};

contract! { sqlite: r_03_the_log_is_synced_before_the_answer_leaves }

async fn r_03_the_log_is_synced_before_the_answer_leaves(db: Db) {
    db.close().await;
    let file = sqlite::file(&db.database.url);
    let trace = file.with_extension("trace");
    let trace_file = trace.display().to_string();
    let calls = "trace=fdatasync,fsync,write,pwrite64";
    let strace = ["strace", "-f", "-y", "-s", "64", "-e", calls, "-o", &trace_file];
    let traced = command(Part::WriteOnce, &db.database.url, &strace).stdin(Stdio::null()).output();
    let traced = traced.expect("strace is installed: run `cargo xtask test`, which does that");
    let complaint = String::from_utf8_lossy(&traced.stderr);
    assert!(traced.status.success(), "strace cannot trace a process on this machine: {complaint}");
    let trace = std::fs::read_to_string(trace).unwrap();
    assert_synced_in_between(&trace, &format!("{}-wal>", file.display()));
}

/// What the traced process runs.
pub(crate) async fn write_once(url: &str) {
    let store = Store::open(url, 1).await.unwrap();
    println!("before the write");
    a_user(&store, "ada@example.org").await;
    println!("acknowledged");
    store.close().await;
}

fn assert_synced_in_between(trace: &str, log: &str) {
    let lines: Vec<&str> = trace.lines().collect();
    let position = |of: &dyn Fn(&str) -> bool| lines.iter().position(|line| of(line));
    let before = position(&|line| line.contains("\"before the write")).expect("the write begins");
    let answer = position(&|line| line.contains("\"acknowledged")).expect("the write is acknowledged");
    let between = &lines[before..answer];
    let is_write = |line: &&str| line.contains("write") && line.contains(log) && !line.contains("sync");
    let is_sync = |line: &&str| line.contains("sync(") && line.contains(log);
    let shown = between.join("\n");
    let last_write = between.iter().rposition(is_write);
    let last_write = last_write.unwrap_or_else(|| panic!("nothing is written to the log:\n{shown}"));
    let sync = between.iter().rposition(is_sync).unwrap_or_else(|| panic!("the log is not synced:\n{shown}"));
    assert!(last_write < sync, "something is written to the log after its last sync:\n{shown}");
    assert!(has_ended(&between[sync..]), "the answer leaves before the sync has ended:\n{shown}");
}

/// Whether the sync in the first line has succeeded by the last line. Another thread's call may split it in two: `7
/// fdatasync(9</…-wal> <unfinished ...>` and, later, `7 <... fdatasync resumed>) = 0`.
fn has_ended(lines: &[&str]) -> bool {
    let thread = lines[0].split(' ').next().unwrap();
    let rest = |line: &&&str| line.starts_with(&format!("{thread} ")) && line.contains("sync resumed>");
    let end = if lines[0].ends_with("<unfinished ...>") { lines.iter().find(rest) } else { lines.first() };
    end.is_some_and(|line| line.trim_end().ends_with("= 0"))
}
