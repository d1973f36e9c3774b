//! Typing a password at a terminal. `script` gives the program one.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::sandbox::Sandbox;

struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    seen: String,
}

impl Terminal {
    fn start(sandbox: &Sandbox, args: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_idp");
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &format!("exec {program} {args}"), "/dev/null"]);
        command.current_dir(sandbox.path()).env_clear().env("PATH", std::env::var("PATH").unwrap());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keys, screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, keys, screen, seen: String::new() }
    }

    fn wait_for(&mut self, text: &str) {
        let mut byte = [0];
        while !self.seen.contains(text) {
            assert_eq!(self.screen.read(&mut byte).unwrap(), 1, "no `{text}` in: {}", self.seen);
            self.seen.push(char::from(byte[0]));
        }
    }

    /// Waits for this prompt, and types an answer.
    fn answer(&mut self, prompt: &str, typed: &str) {
        self.wait_for(prompt);
        writeln!(self.keys, "{typed}").unwrap();
    }

    /// Waits for the end; returns the exit code and everything on the screen.
    fn end(mut self) -> (Option<i32>, String) {
        self.screen.read_to_string(&mut self.seen).unwrap();
        (self.child.wait().unwrap().code(), self.seen)
    }
}

const PASSWORD: &str = "tinker brass umbrella";
const ADA: &str = "user create --email ada@example.org --name Ada --password-stdin";

#[test]
fn fault_22_a_password_at_a_terminal_is_asked_for_twice_and_not_shown() {
    let sandbox = Sandbox::new();
    let mut terminal = Terminal::start(&sandbox, ADA);
    terminal.answer("Password: ", PASSWORD);
    terminal.answer("The same password again: ", PASSWORD);
    let (code, screen) = terminal.end();
    assert!(code == Some(0) && screen.contains("Created ada@example.org"), "{code:?} {screen}");
    assert!(!screen.contains("tinker"), "{screen}");
}

#[test]
fn fault_22_two_entries_that_differ_are_refused() {
    let sandbox = Sandbox::new();
    let mut terminal = Terminal::start(&sandbox, ADA);
    terminal.answer("Password: ", PASSWORD);
    terminal.answer("The same password again: ", "tinker brass umbrela");
    let (code, screen) = terminal.end();
    assert!(code == Some(1) && screen.contains("error: the two entries differ"), "{code:?} {screen}");
    let mut terminal = Terminal::start(&sandbox, ADA);
    terminal.answer("Password: ", "");
    let (code, screen) = terminal.end();
    assert!(code == Some(1) && screen.contains("error: the password is empty"), "{code:?} {screen}");
    for key in ["\u{3}", "\u{4}"] {
        let mut terminal = Terminal::start(&sandbox, ADA);
        terminal.answer("Password: ", PASSWORD);
        terminal.answer("The same password again: ", key);
        let (code, screen) = terminal.end();
        assert!(
            code == Some(1) && screen.contains("error: cancelled; nothing was changed"),
            "{code:?} {screen}"
        );
    }
    assert_eq!(sandbox.idp("user list").good(), "There are no accounts.\n");
}

#[test]
fn fault_22_a_client_secret_at_a_terminal_is_asked_for_twice_and_not_shown() {
    let sandbox = Sandbox::new();
    let args = "client create app --redirect-uri https://app.example/cb --secret-stdin";
    let secret = "0123456789abcdef0123456789abcdef";
    let mut terminal = Terminal::start(&sandbox, args);
    terminal.answer("Client secret: ", secret);
    terminal.answer("The same client secret again: ", secret);
    let (code, screen) = terminal.end();
    assert!(code == Some(0) && screen.contains("Registered app."), "{code:?} {screen}");
    assert!(!screen.contains(secret), "{screen}");
}

#[test]
fn fault_22_what_is_typed_before_the_prompt_is_not_shown() {
    let sandbox = Sandbox::empty();
    // A database that accepts connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://idp@{}/idp", silent.local_addr().unwrap());
    sandbox.file("idp.toml", &format!("[database]\nurl = '{url}'\n"));
    let mut terminal = Terminal::start(&sandbox, &format!("{ADA} --config idp.toml"));
    // It has asked the database, so it has prepared the terminal before.
    let (asked, _) = silent.accept().unwrap();
    writeln!(terminal.keys, "{PASSWORD}").unwrap();
    // Line ends are shown, so the terminal has it now.
    terminal.wait_for("\n");
    drop(silent);
    drop(asked);
    let (code, screen) = terminal.end();
    assert!(code == Some(1) && screen.contains("error: "), "{code:?} {screen}");
    assert!(!screen.contains("tinker"), "{screen}");
}

#[test]
fn fault_11_a_tab_at_the_prompt_is_refused_like_one_that_is_piped() {
    let sandbox = Sandbox::new();
    let mut terminal = Terminal::start(&sandbox, ADA);
    for prompt in ["Password: ", "The same password again: "] {
        terminal.answer(prompt, "tinker brass\tumbrella");
    }
    let (code, screen) = terminal.end();
    assert!(code == Some(1) && screen.contains("the password contains U+0009"), "{code:?} {screen}");
}

#[test]
fn fault_22_a_signal_at_the_prompt_ends_the_command_and_says_that_nothing_was_changed() {
    let sandbox = Sandbox::new();
    for signal in ["TERM", "HUP", "INT"] {
        let mut terminal = Terminal::start(&sandbox, ADA);
        terminal.wait_for("Password: ");
        // `script` runs the command itself, so its child is the program.
        let parent = terminal.child.id().to_string();
        let sent = Command::new("pkill").args(["--signal", signal, "--parent", &parent]).status().unwrap();
        assert!(sent.success(), "{signal}");
        let (code, screen) = terminal.end();
        assert!(
            code == Some(1) && screen.contains("error: cancelled; nothing was changed"),
            "{signal}: {screen}"
        );
    }
    assert_eq!(sandbox.idp("user list").good(), "There are no accounts.\n");
}
