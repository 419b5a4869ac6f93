//! The rules of idleness as text, for `--list` and for the page `docs/idle.md`.

use std::fmt::Write as _;

use crate::ask::idle::{RULES, Rule, When};

/// The rules, a line each.
pub(super) fn rules() -> String {
    let mut text =
        "what a sleeping thread waits for, as column idle shows it; the first rule that applies decides:\n".to_owned();
    for rule in RULES {
        let _ = writeln!(text, "  {:<26}  {}: {}", verdict(rule), condition(rule.when), rule.reason);
    }
    text.push_str("  maybe                       anything else\n");
    text
}

/// The value of column `idle`.
fn verdict(rule: &Rule) -> String {
    format!("{}: {}", rule.verdict.name(), rule.what)
}

/// When a rule applies.
fn condition(when: When) -> String {
    match when {
        When::KernelThread => "a thread of the kernel's own".to_owned(),
        When::Uninterruptible => "state D".to_owned(),
        When::Kernel(functions) => format!("sleeps in {}", functions.join(", ")),
        When::NoCall => "in no system call".to_owned(),
        When::Calls(calls) => calls.join(", "),
        When::Files(calls, kinds) => {
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            format!("{} of {}", calls.join(", "), kinds.join(" or "))
        }
        When::Futex(futex) => format!("futex {}", futex.condition()),
        When::WakeUp => {
            "epoll_wait without a time limit, on at most 7 files, some of them pipes and none a socket".to_owned()
        }
        When::Fcntl(commands) => {
            let commands: Vec<String> = commands.iter().map(u64::to_string).collect();
            format!("fcntl with command {}", commands.join(" or "))
        }
    }
}

#[cfg(test)]
/// The content of `docs/idle.md`.
fn markdown() -> String {
    let mut text = "# Which sleepers really wait\n\nMade from the rules in `src/ask/idle.rs`; a test checks that both agree. `psn --list` shows the rules too.\n\n\
        A server's threads sleep for two reasons: there is no work, or something they need is not there: a lock, an answer, a\n\
        disk. Both are state `S`. `psn --waits` shows active threads and the sleepers that wait for somebody or something;\n\
        `psn --waits=all` adds those of which it cannot be told. The column `idle` is what decides: `no` (it waits for somebody),\n\
        `yes` (it waits for work) or `maybe`, and what it waits for. With `wait_ms` it says how long.\n\n\
        The rules are tried from top to bottom, and the first that applies decides. Where a rule asks for the function that a\n\
        thread sleeps in, that is the column `wchan`.\n\n\
        | `idle` | when | why |\n|---|---|---|\n"
        .to_owned();
    for rule in RULES {
        let _ = writeln!(text, "| `{}` | {} | {} |", verdict(rule), condition(rule.when), rule.reason);
    }
    text.push_str(
        "| `maybe` | anything else | |\n\n\
         ## Which end of a connection a process is\n\n\
         Who connects gets a port from the kernel: 32768 or above (`net.ipv4.ip_local_port_range`), while services have lower ones.\n\
         So a process whose own port is below and whose peer's is above is the server, and the other way round the client. Where\n\
         both are above or both below it cannot be told. A UNIX socket that was connected to has a name, one that was connected\n\
         seldom has. A kernel walk tells that at once; through `/proc` psn looks the\n\
         socket up in the tables of its network namespace, and until it is found it is `maybe`.\n\n\
         ## What cannot be told\n\n\
         - **Condition variables, semaphores, Java monitors, Go and Rust locks**: the kernel sees a futex with a counter. A pool's\n\
           idle threads and threads that wait for each other look alike: `maybe`. How long they wait (`wait_ms`) often tells.\n\
         - **Event loops** count as idle, but for those that only their own program can wake, and clients that poll one connection alone. So PostgreSQL's waits for heavyweight\n\
           locks (rows, tables) are told from its idle sessions, which watch a client; its background workers have time limits.\n\
         - **Pipes**: whoever reads an empty pipe counts as waiting for the writer, though that may have nothing to say.\n",
    );
    text
}

#[test]
fn the_page_of_rules_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/idle.md");
    if std::env::var_os("PSN_UPDATE_DOCS").is_some() {
        std::fs::write(path, markdown()).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap();
    assert!(kept == markdown(), "docs/idle.md is out of date: PSN_UPDATE_DOCS=1 cargo test regenerates it");
}
