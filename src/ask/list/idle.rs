//! The rules of idleness as text, for `--list` and for the page `docs/idle.md`.

use std::fmt::Write as _;

use crate::ask::idle::{Occasion, RULES, Rule};

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
fn condition(when: Occasion) -> String {
    match when {
        Occasion::KernelThread => "a thread of the kernel's own".to_owned(),
        Occasion::Uninterruptible => "state D".to_owned(),
        Occasion::Kernel(functions) => format!("sleeps in {}", functions.join(", ")),
        Occasion::NoCall => "in no system call".to_owned(),
        Occasion::Calls(calls) => calls.join(", "),
        Occasion::Files(calls, kinds) => {
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            format!("{} of {}", calls.join(", "), kinds.join(" or "))
        }
        Occasion::Futex(futex) => format!("futex {}", futex.condition()),
        Occasion::WakeUp { watches_pipes } => {
            let files = match watches_pipes {
                Some(_) => "on at most 7 files: pipes and others, but no sockets",
                None => "on files that are not known",
            };
            format!("epoll_wait without a time limit, for one event at a time, {files}")
        }
        Occasion::PollOfOne => "poll or ppoll on one file, but poll with a time limit of an hour or more".to_owned(),
        Occasion::Fcntl(commands) => {
            let commands: Vec<String> = commands.iter().map(u64::to_string).collect();
            format!("fcntl with command {}", commands.join(" or "))
        }
    }
}

#[cfg(test)]
/// What `docs/idle.md` has below the table of rules.
const BELOW_THE_RULES: &str = "| `maybe` | anything else | |\n\n\
         ## Which end of a connection a process is\n\n\
         Who connects gets a port from the kernel: 32768 or above (`net.ipv4.ip_local_port_range`). Services have lower ports. So a\n\
         process with a lower port whose peer has a higher one is the server, and its peer is the client. psn cannot tell if both\n\
         ports are above or both below, if a process sends from a high port without connecting, and for pings.\n\n\
         A UNIX socket of a server has a name, that of its client seldom has. A client whose connection the server has not accepted\n\
         is a client, too. Of a pair of sockets that a process made itself psn cannot tell which end the process is.\n\n\
         A kernel walk tells the ends at once. Through `/proc` psn looks the socket up in the tables of its network namespace; until\n\
         it is found, the wait is `maybe`.\n\n\
         ## What cannot be told\n\n\
         - **Condition variables, semaphores, Java monitors and locks, Go and Rust channels**: the kernel sees a futex with a counter.\n\
           A pool's idle threads and threads that wait for each other look alike: `maybe`. In a Java program that goes for every\n\
           thread. How long they wait (`wait_ms`) often tells: threads that contend wake often, idle ones seldom. Names tell\n\
           too (`comm`), as programs give each pool its own. [waits.md](waits.md#java-a-contended-monitor-beside-an-idle-pool) has an example.\n\
         - **Semaphores that processes share**: PostgreSQL waits for its lightweight locks by them, and idle workers of a pool for their turn.\n\
         - **Row locks of MariaDB**: the kernel sees a condition variable, as for its idle threads. [waits.md](waits.md#mariadb-the-same) shows how ages and clients tell.\n\
         - **Threads that a program stops by a lock**: Redis holds a mutex for each of its I/O threads while it does not need them.\n\
           These threads look like any that wait for a lock: `no: lock`.\n\
         - **The first thread of a program** that waits for another thread to end: in most programs it does so as long as the program runs\n\
           (Java), in some until a piece of work is done: `maybe`. Any other thread that waits for a thread to end is `no`.\n\
         - **Goroutines and other tasks within a program**: they wait without a thread that waits for the same thing.\n\
         - **Counters that happen to be 2**: conditions of Rust, waits of C++ (`std::atomic::wait`) and, from glibc 2.41 on, its conditions\n\
           show counters, which are taken for a lock at 2; those of glibc at 3 too.\n\
         - **Rust's `RwLock`** is `maybe`: it has no value of its own. So is `pthread_rwlock_t` of musl while a thread writes.\n\
         - **poll of one file** is how a client waits for its server (`psql`, `mariadb`), and how a server may wait for its client. The number\n\
           of the file is in the program's memory. Where psn may not read it there, the wait is `maybe`; with a time limit of an hour or more,\n\
           as servers have for idle connections, it is `yes`.\n\
         - **Event loops** count as idle, but for those that only their own program can wake. So psn tells PostgreSQL's waits for heavyweight\n\
           locks (rows, tables) from its idle sessions, which watch a client, and from its background workers, which have time limits. These\n\
           count as idle though they wait: a proxy (nginx) whose upstream does not answer, a client that polls several files (curl)\n\
           or waits by epoll, and a session of PostgreSQL that waits for another server (postgres_fdw).\n\
         - **A background worker that waits for its own program without a limit** counts as waiting, if it does so by an epoll of a pipe and\n\
           another file, for one event at a time. Event loops take many at once; those of Node.js also watch a pipe and another file.\n\
         - **What an epoll instance watches** is told by the kernel's walk. Where it is not known, as may be through `/proc`, a wait without a limit for\n\
           one event at a time is `maybe`. All sessions of PostgreSQL, idle or not, wait like this.\n\
         - **Sleeps**: a server that sleeps on purpose (`DEBUG SLEEP` of Redis) counts as idle; the clients that it keeps waiting do not.\n\
         - **Disks**: threads that begin I/O and then wait for it (libaio, io_uring) do so in the call by which others only collect\n\
           what is finished: `maybe`.\n\
         - **Pipes**: whoever reads an empty pipe counts as waiting for the writer, though that may have nothing to say, as in a\n\
           pool of processes that gets its work by a pipe.\n\
         - **Children**: a shell or supervisor that waits for a child counts as waiting, though the child may be a service.\n\
         - **Threads of others**: without the right to read a thread's system call, `idle` is `[denied]`, but for threads in state D.\n\
           The footer of `--waits` says how many samples are left out for that; `--waits=all` shows them. A process that has changed its\n\
           user, as most servers do that root starts, is closed to that user, too.\n";

#[cfg(test)]
/// The content of `docs/idle.md`.
fn markdown() -> String {
    let mut text = "# Which sleepers really wait\n\nMade from the rules in `src/ask/idle/rules.rs`; a test checks that both agree. `psn --list` shows the rules too.\n\n\
        A server's threads sleep for two reasons: there is no work, or something they need is not there: a lock, an answer, a\n\
        disk. Both are state `S`. `psn --waits` shows active threads and the sleepers that wait for somebody or something;\n\
        `psn --waits=all` adds those of which psn cannot tell. The column `idle` is what decides: `no` (it waits for somebody),\n\
        `yes` (it waits for work) or `maybe`, and what it waits for. `wait_ms` tells for how long.\n\n\
        The rules are tried from top to bottom, and the first that applies decides. *Sleeps in* means the function that column\n\
        `wchan` shows.\n\n\
        | `idle` | when | why |\n|---|---|---|\n"
        .to_owned();
    for rule in RULES {
        let _ = writeln!(text, "| `{}` | {} | {} |", verdict(rule), condition(rule.when), rule.reason);
    }
    text.push_str(BELOW_THE_RULES);
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
