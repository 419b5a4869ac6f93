//! The page `docs/columns.md`, made from the registry.

use std::fmt::Write as _;

use crate::ask::list::{KERNEL_ONLY, by_file, path};
use crate::ask::plan::STATISTICS;
use crate::ask::registry::COLUMNS;
use crate::proc::source::Source;

/// What `docs/columns.md` says about the columns of `source` beside the meaning of each.
const fn remarks(source: Source) -> &'static str {
    match source {
        Source::Stat => {
            "\n`state` shows the original's names. If a kernel walk found the thread, `Running (ON CPU)` means that it is on a CPU, and\n\
             `Runnable (waiting for CPU)` that it waits for one, or `Runnable (throttled by its cgroup)` that it may not run, because its\n\
             cgroup has used up its CPU quota. `/proc` does not distinguish them: all are `Running (ON CPU)`, and the footer says so if\n\
             these are more threads than there are CPUs. `--where state=R` and `--states R` mean all of them.\n\n\
             `delayacct_blkio_ticks` is `[unsupported]` if `kernel.task_delayacct` is 0, the default since Linux 5.14.\n\
             Without CAP_SYS_PTRACE, addresses and the exit code of other users' processes are `[denied]`: the kernel shows 0 or 1.\n"
        }
        Source::Syscall => {
            "\nA thread that is in no system call shows `[running]` (on a CPU or waiting for one), `[kernel_thread]`, `[kernel_direct]`\n\
             (in the kernel for another reason, such as a page fault), or `[user_worker]` (a worker thread that io_uring or vhost\n\
             created for the program; its saved registers are those of its creator's system call). A number without a name is a\n\
             system call that psn does not know.\n\n\
             On x86-64 a 64-bit program may use the 32-bit system call interface (`int $0x80`), whose numbers differ. A kernel walk\n\
             knows which interface was used. The file does not say, but the kernel stack does: if psn may read it (root), it reads the\n\
             stack once for each address in a program at which threads are found waiting. Otherwise it takes the number for a\n\
             64-bit one.\n"
        }
        Source::Schedstat => {
            "\nBoth are `[unsupported]` if the kernel does not record these times (no `CONFIG_SCHEDSTATS`, and `kernel.task_delayacct` 0).\n"
        }
        Source::Fd => {
            "\n`filename`, `filename2` and `filenamesum` show a socket as its connection (`tcp 10.0.0.5:41822->10.0.0.9:5432`,\n\
             `listen tcp 0.0.0.0:80`, `unix /run/x->pid 812 (postgres)`, `udp 10.0.0.5:53`), and an epoll instance as what it watches\n\
             (`epoll: 37 sockets, 1 timer`; of one socket alone, its connection). A kernel walk does not tell the names of UNIX sockets. In\n\
             `filenamesum` the port that the kernel chose is a `*`, and so are numbers of watched files above 7. Where psn knows neither\n\
             connection nor files, the kernel's own text is shown: `socket:[*]`, `anon_inode:[eventpoll]`.\n\n\
             A kernel walk counts up to 7 files of an epoll instance, as sockets, pipes and others. What it does not tell, psn reads from\n\
             `/proc/PID/task/TID/fdinfo/N` beside the sampling: up to 4,096 files, of which up to 8 that are neither sockets nor pipes are\n\
             told apart as timers (timerfd), events (eventfd, signalfd) and others. That goes by the number under which a file\n\
             was added; if the number belongs to another file now, it may be counted as that. Nothing is read of a process with more than\n\
             65,536 open files.\n\n\
             What poll and select wait for is shown in the same way (`poll: 2 sockets, 1 pipe`; of one socket alone, its connection): up to 64\n\
             files, whose numbers psn reads from the memory of the process, beside the sampling, and only where it is in memory. That needs the\n\
             rights that column `path` needs. Calls of 32-bit programs show `-`. The set belongs to the row only if the thread has not run\n\
             since; otherwise it is `[stale]`, and `[unread]` if it did not come in time or is not in memory.\n"
        }
        Source::Wait => {
            "\nA kernel walk gives exact ages, but for threads of a real-time class, which may have waited for less. Through `/proc` psn knows only\n\
             how long it has itself seen the thread wait: a lower bound. Tables put `≥` or `≤` before such an age\n\
             ([waits.md](waits.md#how-exact-an-age-is)). A thread that is on its CPU shows `-`.\n"
        }
        Source::Socket => {
            "\nOf the descriptor that `filename` is about, or of the only socket that epoll, poll or select waits for. A kernel walk finds the\n\
             socket in the thread's own table of descriptors, at the same instant. Otherwise psn reads the tables of the thread's network\n\
             namespace (`net/tcp`, `tcp6`, `udp`, `udp6`, `unix`, `raw`, `raw6`, `netlink`, `packet`) beside the sampling, once a tick for\n\
             all threads that ask. What is read belongs to the row if the thread has not run since, by its count of switches. The ends of a\n\
             TCP connection never change, so if the thread has run, only `conn_state` is `[stale]`. `-` stands for what is no socket, and for\n\
             what a socket of this kind does not have. `[unsupported]`: no table has it (vsock and others). `[unread]`: it did not come in\n\
             time. `[dropped]`: the tables of all namespaces together are larger than 64 MiB.\n\n\
             `peer_pid` and `peer_comm`: of a UNIX socket a kernel walk shows the process that connected or listened, as the kernel has noted\n\
             it. Otherwise psn searches `/proc/*/fd` for a process that has the other end open, and shows the first one found. It knows the\n\
             other end of a UNIX socket in psn's own network namespace (by sock_diag; in others `[unsupported]`), and of a TCP connection\n\
             whose other end is in the same network namespace. It looks at up to 2,000 descriptors a tick; processes in other network\n\
             namespaces and those with more than 500 open files come last. Until it is found, `[unread]` is shown. `-` means that the other\n\
             end is on another host, in another network namespace, in a process whose descriptors psn may not see, or in no process yet: the\n\
             server has not accepted the connection. What was found holds for 10 seconds.\n\n\
             All of that together uses at most a tenth of a CPU on average: after a long table psn waits until that is made up for. Up to\n\
             131,072 threads are looked at in a tick.\n"
        }
        Source::Idle => "\n[idle.md](idle.md) has the rules. Only threads in states S and D have a value.\n",
        Source::Mounts => {
            "\nOf the descriptor that `filename` is about, read at the same moment. The table of mounts is that of the thread's own mount\n\
             namespace and root directory, so `mount` is the path that a program in its container would write. psn reads a table\n\
             beside the sampling, at most once a second if no new mount is met. A mount that took the id of another within that second (on a\n\
             busy host, within five) shows as the other. `device` is a disk (`/dev/nvme0n1p2`), a server with its export (`10.0.0.9:/export`),\n\
             or the kind of file system if the source is a mere word (`tmpfs`, `overlay`). `-` stands for what lies on no mount that the\n\
             thread sees: sockets, pipes, `anon_inode:`, memory files, files of another mount namespace. `[cwd]`: the system call has only a\n\
             path, relative to the working directory or absolute (column `path`). `[unread]` means that the table did not\n\
             come in time, `[dropped]` that it is larger than 8 MiB. All tables together take up to 32 MiB.\n"
        }
        Source::Path => {
            "\nThe text is read from the memory of the process, beside the sampling, once in each wait. It belongs to the row only if\n\
             the thread is still in the same wait when it has been read: the same line in `syscall`, the same count of switches.\n\
             Otherwise, or if there was no answer in time, it is `[stale]`. A relative path stays relative. Of calls with two paths it\n\
             is the first that the kernel looks up (`rename`: the old name), of `symlink` the link, of `mount` the mount point. `-` stands for\n\
             all other calls, and for an empty path. `[unread]` means that the path lies on a page that is not in memory now (swapped out, or of\n\
             a file): psn fetches no page. `[malformed]` means that no end was found within 4,096 bytes, `[blocked]` that the process\n\
             blocks its readers. The kernel has copied the path when the call began; what another thread has written over it since\n\
             is what psn sees. All paths together take up to 16 MiB.\n"
        }
        Source::Cgroup => {
            "\n`container` is searched for on every line of the file, because a host may use both versions of control groups. `--where`\n\
             also takes the full id: `container = 4fe3bb2004...`.\n"
        }
        _ => "",
    }
}

/// The content of `docs/columns.md`.
fn markdown() -> String {
    let mut text = "# Columns\n\nMade from the registry in `src/ask/registry.rs`; a test checks that both agree. `psn --list` shows the same.\n\n\
        Every column can be used in `-g`, `-G`, `-s` and `--where`. A *counter* only increases while its thread lives; a *gauge*\n\
        increases and decreases; an *id* is a number that identifies something. In `-s` a name without an aggregate means the\n\
        default of its kind: the increase during the run for counters, the maximum for gauges, the most frequent value for texts\n\
        and ids.\n\n\
        ## Conditions\n\n\
        `--where` takes `COLUMN OP VALUE`, with `OP` one of `= != ~ !~ < <= > >=` (`~` is a regular expression), or\n\
        `COLUMN in (VALUE, ...)` and `COLUMN not in (...)`. Combine conditions with `and`, `or` and parentheses; `and` takes\n\
        precedence over `or`. If `--where` is given several times, all must hold:\n\n\
        ```sh\n\
        psn --where 'state in (R, D)' --where 'comm = mysqld or user = mysql'\n\
        psn --where '(state = D and syscall ~ ^f(data)?sync$) or wchan = jbd2_log_wait_commit'\n\
        ```\n\n\
        A value ends before an `and` or `or` that another condition follows; a quoted value is taken verbatim. Type values as psn\n\
        prints them: names with or without the table's parentheses, escapes (`\\x1b`), marks (`[denied]`, `-`). A condition that no\n\
        value of the column can meet (`state = Q`, `kthread = 7`, a digit in `comm`) is an error that says what to write.\n"
        .to_owned();
    for (name, source, columns) in by_file() {
        let needs = if source.needs() == "-" { "nothing: any user may read it" } else { source.needs() };
        let _ = write!(text, "\n## {name}\n\nFrom `{}`. Needs: {needs}.\n", path(source));
        if source == Source::Kernel {
            let _ = write!(text, "\nNo file of `/proc` has these: with `--scan proc`, {KERNEL_ONLY}.\n");
        }
        text.push_str(remarks(source));
        if source == Source::Smaps {
            text.push_str(
                "\nCostly: the kernel stalls the process while the file is read. psn reads it at most once per refresh of the task\n\
                 list, outside the sampling threads. A sample of a thread counts once for each mapping of its process. If the file\n\
                 is larger than 48 MiB, a row of `[dropped]` stands for the remaining mappings, and the report says so. The\n\
                 mappings are known even if the first thread of the process has ended.\n",
            );
        }
        if source == Source::Cmdline {
            text.push_str(
                "\nPrograms rewrite their command lines, and execute other programs. The value is that of the moment of the sample,\n\
                 or `[stale]`; see [titles.md](titles.md), with PostgreSQL as the example. Up to 128 KiB are shown; of a longer\n\
                 command line the first and the last 64 KiB, with `[... N bytes left out ...]` between them, and the report says so.\n",
            );
        }
        if source == Source::Exe {
            text.push_str("\nThe value is that of the moment of the sample, as for the command line. A process without an executable (a kernel thread, a zombie) shows `-`.\n");
        }
        text.push_str("\n| column | type | since | meaning |\n|---|---|---|---|\n");
        for column in columns {
            let since = if column.since.is_empty() { "" } else { column.since };
            let _ = writeln!(text, "| `{}` | {} | {since} | {} |", column.name, column.kind.name(), column.help);
        }
    }
    text.push_str(
        "\n## Statistics of a group\n\nFor `-s`; `samples` and `avg_threads` are always shown.\n\n| name | meaning |\n|---|---|\n",
    );
    for (name, help) in STATISTICS {
        let _ = writeln!(text, "| `{name}` | {help} |");
    }
    text
}

#[test]
fn every_column_is_in_the_reference() {
    let markdown = markdown();
    for column in COLUMNS {
        assert!(markdown.contains(&format!("| `{}` |", column.name)), "{}", column.name);
    }
}

#[test]
fn the_column_reference_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/columns.md");
    if std::env::var_os("PSN_UPDATE_DOCS").is_some() {
        std::fs::write(path, markdown()).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap();
    assert!(kept == markdown(), "docs/columns.md is out of date: PSN_UPDATE_DOCS=1 cargo test regenerates it");
}
