//! Makes the values of a row's columns from what was read of its thread. Does no I/O.

use std::sync::Arc;

use super::call::extract_call;
use super::contents::FileContents;
use super::filename::extract_filename;
use super::idle::extract_idle;
use super::mount::extract_mount;
use super::path::extract_path;
use super::socket::extract_socket;
use super::thread::Thread;
use super::wait_age::extract_wait_age;
use crate::ask::column::{Column, Extract, SmapsPart, StatusForm};
use crate::ask::kernel_times::KernelTimes;
use crate::kernel::TaskRecord;
use crate::proc::parse::smaps::Mapping;
use crate::proc::parse::stat::field;
use crate::proc::parse::{self, cgroup, cmdline, io, schedstat, stack, status, system};
use crate::proc::source::Source;
use crate::proc::state::{RUNNABLE, THROTTLED, state_name};
use crate::row::observation::{Mark, Observation};
use crate::tasks::users::Users;

/// Makes values of columns, given what is the same for all threads.
#[derive(Debug)]
pub(super) struct Extractor {
    /// The names of users.
    pub(super) users: Arc<Users>,
    /// What this kernel measures.
    pub(super) kernel_times: KernelTimes,
}

impl Extractor {
    /// Appends the value of `column` to `row`.
    pub(super) fn extract(&self, column: &Column, thread: &Thread<'_>, contents: &FileContents, row: &mut Observation) {
        if !self.kernel_times.covers(column) {
            return row.push_mark(Mark::Unsupported);
        }
        match column.extract {
            Extract::Tgid => row.push_number(thread.tgid.into()),
            Extract::Tid => row.push_number(thread.tid.into()),
            Extract::Comm => row.push_text_with(|out| parse::star_digits(thread.comm, out)),
            Extract::CommRaw => row.push_text(thread.comm),
            Extract::ProcessComm => process_comm(thread, contents, row),
            Extract::StateId => row.push_text(&[thread.state]),
            Extract::State => state(thread, row),
            Extract::State2 => state2(thread, row),
            Extract::OnCpu => match thread.record {
                Some(record) => row.push_number(record.is_on_cpu.into()),
                None => row.push_mark(Mark::Unsupported),
            },
            Extract::IoWait => match thread.record {
                Some(record) => io_wait(record, row),
                None => row.push_mark(Mark::Unsupported),
            },
            Extract::Waited(part) => extract_wait_age(part, thread, contents, row),
            Extract::Idle => extract_idle(thread, contents, row),
            Extract::Socket(part) => extract_socket(part, thread, contents, row),
            Extract::Kthread => row.push_number(thread.is_kernel_thread().into()),
            Extract::StatNumber(number) => stat_number(number, thread, contents, row),
            Extract::Status(key, form) => status_value(column.source, key, form, thread, contents, row),
            Extract::User => self.user(thread, contents, row),
            Extract::Syscall(part) => extract_call(part, thread, contents, row),
            Extract::Path => extract_path(contents, row),
            Extract::Mount(part) => extract_mount(part, contents, row),
            Extract::Filename(form) => extract_filename(form, thread, contents, row),
            Extract::Wchan => wchan(thread, contents, row),
            Extract::Stack => kstack(thread, contents, row),
            Extract::Smaps(_) => extract_mapping(column, None, contents, row),
            Extract::Io(key) => contents.push_value(Source::Io, row, |text, row| {
                push_or_malformed(row, io::value(text, key.as_bytes()));
            }),
            Extract::RunNs => contents.push_value(Source::Schedstat, row, |text, row| {
                push_or_malformed(row, schedstat::parse(text).ok().map(|times| times.run_ns));
            }),
            Extract::WaitNs => contents.push_value(Source::Schedstat, row, |text, row| {
                push_or_malformed(row, schedstat::parse(text).ok().map(|times| times.wait_ns));
            }),
            Extract::CmdlineFirst | Extract::CmdlineAll => command_line(column.extract, contents, row),
            Extract::Exe => contents.push_value(Source::Exe, row, |path, row| {
                push_text_or_none(row, Some(path).filter(|path| !path.is_empty()));
            }),
            Extract::Cgroup => contents.push_value(Source::Cgroup, row, |text, row| {
                push_text_or_none(row, cgroup::path(text));
            }),
            Extract::Container => contents.push_value(Source::Cgroup, row, |text, row| {
                push_text_or_none(row, cgroup::container_of(text).map(short_container_id));
            }),
            Extract::PidNs => contents.push_value(Source::PidNs, row, |link, row| {
                push_or_malformed(row, system::ns_id(link));
            }),
        }
    }

    fn user(&self, thread: &Thread<'_>, contents: &FileContents, row: &mut Observation) {
        let name = |uid: u32, row: &mut Observation| match self.users.name(uid) {
            Some(name) => row.push_text(&name),
            None => row.push_text(itoa::Buffer::new().format(uid).as_bytes()),
        };
        if let Some(uid) = thread.record_for(Source::Owner).and_then(|record| record.uid) {
            return name(uid, row);
        }
        contents.push_value(Source::Owner, row, |text, row| {
            let uid =
                status::value(text, b"Uid").and_then(status::first_number).and_then(|uid| u32::try_from(uid).ok());
            match uid {
                Some(uid) => name(uid, row),
                None => row.push_mark(Mark::Malformed),
            }
        });
    }
}

fn push_or_malformed(row: &mut Observation, number: Option<u64>) {
    match number {
        Some(number) => row.push_number(number.into()),
        None => row.push_mark(Mark::Malformed),
    }
}

fn push_text_or_none(row: &mut Observation, text: Option<&[u8]>) {
    match text {
        Some(text) => row.push_text(text),
        None => row.push_mark(Mark::None),
    }
}

/// The name of the process, which is the name of its first thread.
fn process_comm(thread: &Thread<'_>, contents: &FileContents, row: &mut Observation) {
    if thread.tid == thread.tgid {
        return row.push_text(thread.comm);
    }
    match thread.record_for(Source::Comm).and_then(TaskRecord::leader_comm) {
        Some(name) => row.push_text(name),
        None => contents.push_value(Source::Comm, row, |text, row| {
            row.push_text(text.strip_suffix(b"\n").unwrap_or(text));
        }),
    }
}

/// The name of the state. Only a kernel walk tells a thread that has a CPU from one that waits for it; through /proc both have
/// the same name.
fn state(thread: &Thread<'_>, row: &mut Observation) {
    let state = thread.state;
    let name = match thread.record {
        Some(record) if thread.is_running() && !record.is_on_cpu => {
            Some(if record.throttled { THROTTLED } else { RUNNABLE })
        }
        _ => state_name(state),
    };
    row.push_text(name.map_or(&[state], str::as_bytes));
}

/// Whether the thread waits for I/O; 0 if it does not wait at all.
fn io_wait(record: &TaskRecord<'_>, row: &mut Observation) {
    match record.io() {
        _ if !record.is_at_rest() => row.push_number(0),
        Some(is_io) => row.push_number(is_io.into()),
        None if record.has_moved => row.push_mark(Mark::Torn),
        None => row.push_mark(Mark::Unsupported),
    }
}

fn state2(thread: &Thread<'_>, row: &mut Observation) {
    if thread.record.is_none() && thread.is_running() {
        row.push_mark(Mark::Unsupported);
    } else {
        state(thread, row);
    }
}

fn stat_number(number: usize, thread: &Thread<'_>, contents: &FileContents, row: &mut Observation) {
    if is_masked(number) && thread.file_number(field::STARTCODE) == Some(1) {
        return row.push_mark(Mark::Denied);
    }
    match thread.number(number) {
        Some(number) => row.push_number(number),
        None if thread.is_blocked => row.push_mark(Mark::Blocked),
        // For a thread that a walk found, reading `stat` may have failed.
        None => row.push_mark(thread.record.and(contents.bytes(Source::Stat).err()).unwrap_or(Mark::Unsupported)),
    }
}

/// Whether `stat` shows 0 or 1 in place of the number to a reader without permission (`do_task_stat`).
const fn is_masked(number: usize) -> bool {
    matches!(number, field::STARTCODE..=field::KSTKEIP | field::START_DATA..=field::EXIT_CODE)
}

fn status_value(
    source: Source,
    key: &str,
    form: StatusForm,
    thread: &Thread<'_>,
    contents: &FileContents,
    row: &mut Observation,
) {
    if let Some(uid) = thread.record_for(source).and_then(|record| record.uid) {
        return row.push_number(uid.into());
    }
    contents.push_value(source, row, |text, row| match (status::value(text, key.as_bytes()), form) {
        // The line is missing if the kernel is older, or if it is about memory and the task has none.
        (None, _) if key.starts_with("Vm") || key.starts_with("Rss") || key == "HugetlbPages" => {
            row.push_mark(Mark::None);
        }
        (None, _) => row.push_mark(Mark::Unsupported),
        (Some(value), StatusForm::Text) => row.push_text(value),
        (Some(value), StatusForm::Name) => {
            row.push_text_with(|out| status::unescape_name(status::name(text).unwrap_or(value), out));
        }
        (Some(value), StatusForm::Number) => match status::first_number(value) {
            Some(number) => row.push_number(number),
            None => row.push_mark(Mark::Malformed),
        },
    });
}

fn wchan(thread: &Thread<'_>, contents: &FileContents, row: &mut Observation) {
    if !thread.is_waiting() {
        return row.push_text(b"0");
    }
    match thread.mark_without_wait() {
        Some(Mark::None) => return row.push_text(b"0"),
        Some(mark) => return row.push_mark(mark),
        None => {}
    }
    if thread.record_for(Source::Wchan).is_some() {
        return row.push_text(thread.wchan);
    }
    contents.push_value(Source::Wchan, row, |text, row| {
        let text = parse::trim(text);
        if !is_no_wchan(text) {
            return row.push_text(text);
        }
        match contents.bytes(Source::Stack).map(stack::wait_channel) {
            Ok(Some(function)) => row.push_text(function),
            Err(_) if wchan_was_refused(thread, contents) => row.push_mark(Mark::Denied),
            Ok(None) | Err(_) => row.push_text(b"0"),
        }
    });
}

fn kstack(thread: &Thread<'_>, contents: &FileContents, row: &mut Observation) {
    if thread.is_running() {
        return row.push_mark(Mark::Running);
    }
    if thread.has_ended() {
        return row.push_mark(Mark::None);
    }
    if let Some(mark) = thread.mark_without_wait() {
        return row.push_mark(mark);
    }
    if thread.record_for(Source::Stack).is_some() {
        return row.push_text(thread.kstack);
    }
    contents.push_value(Source::Stack, row, |text, row| {
        row.push_text_with(|out| stack::render(text, out));
    });
}

/// Whether the content of `wchan` names no function: there is none, or psn has no permission to see it.
#[must_use]
pub(super) fn is_no_wchan(text: &[u8]) -> bool {
    matches!(parse::trim(text), b"0" | b"")
}

/// Whether a `wchan` of 0 means that psn has no permission to see the function.
///
/// The kernel prints 0 both for "no symbol" and for "not permitted" (`proc_pid_wchan`). But `stat` masks addresses by the same
/// rule: `startcode` is 1 to a reader without permission (`do_task_stat`). Kernel threads have no addresses to mask; for
/// them, psn has no permission to see the function if it was refused `stack`.
#[must_use]
pub(super) fn wchan_was_refused(thread: &Thread<'_>, contents: &FileContents) -> bool {
    match thread.file_number(field::STARTCODE) {
        Some(1) => true,
        Some(0) => contents.bytes(Source::Stack) == Err(Mark::Denied),
        _ => false,
    }
}

fn command_line(extract: Extract, contents: &FileContents, row: &mut Observation) {
    contents.push_value(Source::Cmdline, row, |text, row| {
        if text.iter().all(|byte| *byte == 0) {
            row.push_mark(Mark::None);
        } else if extract == Extract::CmdlineFirst {
            row.push_text(cmdline::first_argument(text));
        } else {
            row.push_text_with(|out| cmdline::joined(text, out));
        }
    });
}

/// Container tools show 12 digits of an id.
fn short_container_id(id: &[u8]) -> &[u8] {
    let is_hash = id.len() == 64 && id.iter().all(u8::is_ascii_hexdigit);
    if is_hash { id.get(..12).unwrap_or(id) } else { id }
}

/// Appends the value of a column about a memory mapping to `row`; without a mapping, the mark that stands for it.
pub(super) fn extract_mapping(
    column: &Column,
    mapping: Option<Mapping<'_>>,
    contents: &FileContents,
    row: &mut Observation,
) {
    let (Some(mapping), Extract::Smaps(part)) = (mapping, column.extract) else {
        return row.push_mark(contents.bytes(Source::Smaps).err().unwrap_or(Mark::None));
    };
    match part {
        SmapsPart::AddressRange => row.push_text(mapping.address_range),
        SmapsPart::Perms => row.push_text(mapping.perms),
        SmapsPart::Offset => row.push_text(mapping.offset),
        SmapsPart::Dev => row.push_text(mapping.dev),
        SmapsPart::Inode => push_or_malformed(row, parse::unsigned(mapping.inode)),
        SmapsPart::Pathname if mapping.pathname.is_empty() => row.push_text(b"[anon]"),
        SmapsPart::Pathname => row.push_text(mapping.pathname),
        SmapsPart::Kb(key) => match mapping.kb(key.as_bytes()) {
            Some(kb) => row.push_number(kb.into()),
            None => row.push_mark(Mark::Unsupported),
        },
        SmapsPart::VmFlags => row.push_text(mapping.vm_flags()),
    }
}

/// The text of a value.
#[cfg(test)]
pub(crate) fn text_of(value: crate::row::observation::Value<'_>) -> String {
    use crate::row::observation::Value;
    match value {
        Value::Number(number) => number.to_string(),
        Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Mark(mark) => mark.text().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::WaitFacts;
    use crate::kernel::{RecordedCall, Registers};
    use crate::observe::call::descriptor;
    use crate::proc::parse::stack::Entry;
    use crate::proc::parse::stat::{PF_IO_WORKER, PF_KTHREAD, Stat};
    use crate::proc::syscall::Abi;

    /// A `stat` line of a user thread with plausible numbers; `startcode` at field 26.
    fn stat_line(comm: &str, state: char, flags: u64, startcode: u64) -> String {
        let mut fields = vec!["0".to_owned(); 49];
        fields[field::FLAGS - 4] = flags.to_string();
        fields[field::STARTCODE - 4] = startcode.to_string();
        fields[field::STARTSTACK - 4] = "140722000000000".to_owned();
        format!("7 ({comm}) {state} {}\n", fields.join(" "))
    }

    /// The text of the column's value, by a kernel that measures everything.
    fn text(column: &str, thread: &Thread<'_>, contents: &FileContents) -> String {
        let extractor = Extractor { users: Arc::default(), kernel_times: KernelTimes::default() };
        let mut row = Observation::default();
        extractor.extract(Column::find(column).unwrap(), thread, contents, &mut row);
        text_of(row.value(0))
    }

    fn value(column: &str, line: &str, files: &[(Source, &str)]) -> String {
        let stat = Stat::parse(line.as_bytes(), 52).unwrap();
        let mut contents = FileContents::default();
        for (source, text) in files {
            match Mark::from_text(text.as_bytes()) {
                Some(mark) => contents.set(*source, Err(mark)),
                None => contents.store(*source, text.as_bytes()),
            }
        }
        let thread = Thread::from_stat(7, &stat, 0, false);
        contents.descriptor = descriptor(&thread, &contents);
        text(column, &thread, &contents)
    }

    const FSYNC: &str = "74 0x5 0x0 0x0 0x0 0x0 0x0 0x7ffc0 0x7f00\n";

    #[test]
    fn a_running_thread_is_in_no_call_whatever_the_files_say() {
        let line = stat_line("a", 'R', 0, 4096);
        assert_eq!(value("syscall", &line, &[(Source::Syscall, FSYNC)]), "[running]");
        assert_eq!(value("syscall_id", &line, &[]), "[running]");
        assert_eq!(value("arg0", &line, &[]), "-");
        assert_eq!(value("wchan", &line, &[(Source::Wchan, "fsync_wait")]), "0");
        assert_eq!(value("filename", &line, &[]), "-");
    }

    #[test]
    fn a_sleeping_thread_that_reads_as_running_has_moved_on() {
        let line = stat_line("a", 'D', 0, 4096);
        assert_eq!(value("syscall", &line, &[(Source::Syscall, "running\n")]), "[torn]");
        assert_eq!(value("arg0", &line, &[(Source::Syscall, "running\n")]), "[torn]");
    }

    #[test]
    fn system_calls_are_named_and_their_files_shown() {
        let line = stat_line("a", 'D', 0, 4096);
        let link = (Source::Fd, "/data/ib_logfile12");
        assert_eq!(value("syscall", &line, &[(Source::Syscall, FSYNC)]), "fsync");
        assert_eq!(value("syscall_id", &line, &[(Source::Syscall, FSYNC)]), "74");
        assert_eq!(value("arg0", &line, &[(Source::Syscall, FSYNC)]), "0x5");
        assert_eq!(value("filename", &line, &[(Source::Syscall, FSYNC), link]), "/data/ib_logfile12");
        assert_eq!(value("filenamesum", &line, &[(Source::Syscall, FSYNC), link]), "/data/ib_logfile*");
        assert_eq!(value("basename", &line, &[(Source::Syscall, FSYNC), link]), "ib_logfile12");
        assert_eq!(value("dirname", &line, &[(Source::Syscall, FSYNC), link]), "/data");
        assert_eq!(value("filename", &line, &[(Source::Syscall, FSYNC), (Source::Fd, "[denied]")]), "[denied]");
        assert_eq!(value("filename", &line, &[(Source::Syscall, "[denied]")]), "[denied]");
        let openat = "257 0xffffff9c 0x0 0x0 0x0 0x0 0x0 0x1 0x2\n";
        assert_eq!(value("filename", &line, &[(Source::Syscall, openat)]), "[cwd]");
        let wait4 = "61 0xffffffffffffffff 0x0 0x0 0x0 0x0 0x0 0x1 0x2\n";
        assert_eq!(value("filename", &line, &[(Source::Syscall, wait4)]), "pid:[-1]");
        let unknown = "9999 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0x2\n";
        assert_eq!(value("syscall", &line, &[(Source::Syscall, unknown)]), "9999");
        assert_eq!(value("syscall", &line, &[(Source::Syscall, "-1 0x7ffc 0x7f00\n")]), "[kernel_direct]");
        assert_eq!(value("syscall", &line, &[(Source::Syscall, "garbage\n")]), "[malformed]");
    }

    #[test]
    fn kernel_threads_are_told_by_flag_not_by_name() {
        let kernel = stat_line("anything", 'S', PF_KTHREAD, 0);
        let zeros = (Source::Syscall, "0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n");
        assert_eq!(value("syscall", &kernel, &[zeros]), "[kernel_thread]");
        assert_eq!(value("kthread", &kernel, &[]), "1");
        let impostor = stat_line("kworker/0:0", 'S', 0, 4096);
        assert_eq!(value("syscall", &impostor, &[zeros]), "[user_worker]", "no program is at 0");
        let read = (Source::Syscall, "0 0x0 0x0 0x0 0x0 0x0 0x0 0x7ffc0 0x7f00\n");
        assert_eq!(value("syscall", &impostor, &[read]), "read");
        assert_eq!(value("kthread", &impostor, &[]), "0");
    }

    const STALE: &str = "426 0x5 0x1 0x0 0x0 0x0 0x0 0x0 0x0\n";

    #[test]
    fn a_worker_in_a_program_is_in_none_of_its_system_calls() {
        let link = (Source::Fd, "/etc/hostname");
        let io_worker = stat_line("iou-wrk-7", 'S', PF_IO_WORKER | 0x4000, 4096);
        let vhost = stat_line("vhost-7", 'S', 0x4000, 4096);
        for line in [&io_worker, &vhost] {
            assert_eq!(value("syscall", line, &[(Source::Syscall, STALE), link]), "[user_worker]");
            assert_eq!(value("syscall_id", line, &[(Source::Syscall, STALE)]), "[user_worker]");
            for column in ["filename", "filename2", "basename", "arg0", "esp"] {
                assert_eq!(value(column, line, &[(Source::Syscall, STALE), link]), "-", "{column}");
            }
            assert_eq!(value("wchan", line, &[(Source::Wchan, "io_wq_worker")]), "io_wq_worker");
        }
        // Whatever its file would say, and though it may not be read.
        assert_eq!(value("syscall", &io_worker, &[(Source::Syscall, "[denied]")]), "[user_worker]");
        assert_eq!(value("syscall", &vhost, &[(Source::Syscall, "[denied]")]), "[denied]");
        // Before they were threads of programs, they were the kernel's own.
        let older = stat_line("io_wqe_worker-0", 'S', PF_KTHREAD | PF_IO_WORKER, 0);
        assert_eq!(value("syscall", &older, &[]), "[kernel_thread]");
        assert_eq!(value("syscall", &stat_line("a", 'S', 0, 4096), &[(Source::Syscall, FSYNC)]), "fsync");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_number_is_named_by_the_way_into_the_kernel() {
        let named = |line: &str, syscall: &str, entry: Option<Entry>| {
            let stat = Stat::parse(line.as_bytes(), 52).unwrap();
            let mut contents = FileContents::default();
            contents.store(Source::Syscall, syscall.as_bytes());
            contents.entry = entry;
            text("syscall", &Thread::from_stat(7, &stat, 0, false), &contents)
        };
        let line = stat_line("a", 'S', 0, 4096);
        let int80 = "162 0x0 0x0 0x0 0x0 0x0 0x0 0x7ffc0000000 0x401000\n";
        assert_eq!(named(&line, int80, Some(Entry::Compat)), "nanosleep");
        assert_eq!(named(&line, int80, Some(Entry::Native)), "sync");
        // x32: its stacks lie where those of i386 do.
        let low = line.replace("140722000000000", "4290000000");
        let x32 = "1073741824 0x0 0x0 0x0 0x0 0x0 0x0 0xffb00000 0x401000\n";
        assert_eq!(named(&low, x32, None), "read");
        assert_eq!(named(&low, "3 0x0 0x0 0x0 0x0 0x0 0x0 0xffb00000 0x401000\n", None), "read", "i386");
    }

    #[test]
    fn a_wait_channel_of_zero_is_explained() {
        let own = stat_line("a", 'S', 0, 4096);
        let masked = stat_line("a", 'S', 0, 1);
        let kernel = stat_line("a", 'S', PF_KTHREAD, 0);
        let none = (Source::Wchan, "0");
        let stack = (Source::Stack, "[<0>] schedule+0x1/0x2\n[<0>] futex_wait+0x1/0x2\n");
        assert_eq!(value("wchan", &own, &[(Source::Wchan, "futex_do_wait")]), "futex_do_wait");
        assert_eq!(value("wchan", &own, &[none, stack]), "futex_wait");
        assert_eq!(value("wchan", &own, &[none, (Source::Stack, "[denied]")]), "0");
        assert_eq!(value("wchan", &masked, &[none, (Source::Stack, "[denied]")]), "[denied]");
        assert_eq!(value("wchan", &kernel, &[none, (Source::Stack, "[denied]")]), "[denied]");
    }

    #[test]
    fn names_keep_their_bytes_and_states_their_letters() {
        let line = stat_line("a) R 1 2", 'S', 0, 4096);
        assert_eq!(value("comm2", &line, &[]), "a) R 1 2");
        assert_eq!(value("comm", &line, &[]), "a) R * *");
        assert_eq!(value("state", &line, &[]), "Sleep (Interruptible)");
        assert_eq!(value("state", &stat_line("a", 'Q', 0, 0), &[]), "Q");
    }

    /// The value of a column of a thread that a walk found, and of which no file was read.
    fn walked_value(column: &str, record: &TaskRecord<'_>) -> String {
        let provided = [Source::Syscall, Source::Wchan, Source::Stack, Source::Owner].into_iter().collect();
        let thread = Thread::from_record(record, b"futex_do_wait", b"do_futex()->futex_do_wait()", provided);
        let mut contents = FileContents::default();
        contents.descriptor = descriptor(&thread, &contents);
        text(column, &thread, &contents)
    }

    /// A wait in this call.
    fn facts(call: RecordedCall) -> Option<&'static WaitFacts> {
        Some(Box::leak(Box::new(WaitFacts { call, ..WaitFacts::default() })))
    }

    fn values(record: &TaskRecord<'_>, columns: &str) -> String {
        columns.split(' ').map(|column| walked_value(column, record)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_record_says_what_the_files_would() {
        let registers = Registers { sp: 0x7ffc0, ip: 0x7f00 };
        let call = |number, is_compat| RecordedCall::Some { number, is_compat, args: [5, 0, 0, 0, 0, 0], registers };
        let asleep = TaskRecord { wait: facts(call(74, false)), uid: Some(12), ..TaskRecord::in_state(b'S') };
        assert_eq!(
            values(&asleep, "task comm state_id cpu flags starttime kthread uid user"),
            "7 name S 3 64 99 0 12 12"
        );
        assert_eq!(values(&asleep, "oncpu wchan kstack"), "0 futex_do_wait do_futex()->futex_do_wait()");
        assert_eq!(walked_value("state2", &asleep), "Sleep (Interruptible)");
        if Abi::native() == Abi::X86_64 {
            assert_eq!(values(&asleep, "syscall syscall_id arg0 esp"), "fsync 74 0x5 0x7ffc0");
            let compat = TaskRecord { wait: facts(call(29, true)), ..asleep };
            assert_eq!(walked_value("syscall", &compat), "pause");
        }
        assert_eq!(values(&asleep, "utime filename rchar"), "[unread] [unread] [unread]", "only files tell");
        let faulting = TaskRecord { wait: facts(RecordedCall::None(registers)), ..asleep };
        assert_eq!(values(&faulting, "syscall filename"), "[kernel_direct] -");
        let stale =
            RecordedCall::Some { number: 426, is_compat: false, args: [5; 6], registers: Registers { sp: 0, ip: 0 } };
        let worker = TaskRecord { wait: facts(stale), ..asleep };
        assert_eq!(values(&worker, "syscall syscall_id filename arg0"), "[user_worker] [user_worker] - -");
        let worker = TaskRecord { flags: PF_IO_WORKER as u32, ..asleep };
        assert_eq!(values(&worker, "syscall filename wchan"), "[user_worker] - futex_do_wait");
        let kernel = TaskRecord { flags: PF_KTHREAD as u32, wait: facts(RecordedCall::KernelThread), ..asleep };
        assert_eq!(values(&kernel, "syscall kthread wchan"), "[kernel_thread] 1 futex_do_wait");
    }

    #[test]
    fn a_record_of_a_thread_that_waits_for_nothing_says_so() {
        let running = TaskRecord { is_on_cpu: true, ..TaskRecord::in_state(b'R') };
        assert_eq!(values(&running, "syscall wchan kstack filename oncpu"), "[running] 0 [running] - 1");
        assert_eq!(walked_value("state2", &running), "Running (ON CPU)");
        let waiting = TaskRecord::in_state(b'R');
        assert_eq!(values(&waiting, "syscall wchan kstack oncpu"), "[running] 0 [running] 0");
        assert_eq!(walked_value("state2", &waiting), "Runnable (waiting for CPU)");
        assert_eq!(walked_value("state", &waiting), "Runnable (waiting for CPU)");
        assert_eq!(walked_value("state", &running), "Running (ON CPU)");
        assert_eq!(walked_value("state_id", &waiting), "R");
        let ended = TaskRecord::in_state(b'Z');
        assert_eq!(values(&ended, "syscall wchan kstack oncpu"), "- 0 - 0");
        let falling_asleep = TaskRecord { is_on_cpu: true, ..TaskRecord::in_state(b'D') };
        assert_eq!(values(&falling_asleep, "syscall wchan kstack filename oncpu"), "- 0 - - 1");
        let moved = TaskRecord { has_moved: true, ..TaskRecord::in_state(b'D') };
        assert_eq!(values(&moved, "syscall wchan kstack filename arg0"), "[torn] [torn] [torn] [torn] [torn]");
    }

    #[test]
    fn without_a_walk_its_columns_say_what_is_known() {
        assert_eq!(value("oncpu", &stat_line("a", 'S', 0, 0), &[]), "[unsupported]");
        assert_eq!(value("state2", &stat_line("a", 'R', 0, 0), &[]), "[unsupported]");
        assert_eq!(value("state2", &stat_line("a", 'D', 0, 0), &[]), "Disk (Uninterruptible)");
    }

    #[test]
    fn what_is_not_measured_or_may_not_be_known_is_no_number() {
        let line = stat_line("a", 'D', 0, 4096);
        let masked = stat_line("a", 'D', 0, 1);
        assert_eq!(value("delayacct_blkio_ticks", &line, &[]), "0");
        for column in ["startcode", "endcode", "startstack", "arg_start", "exit_code"] {
            assert_eq!(value(column, &masked, &[]), "[denied]", "{column}");
            assert_ne!(value(column, &line, &[]), "[denied]", "{column}");
        }
        assert_eq!(value("utime", &masked, &[]), "0");
        let stat = Stat::parse(line.as_bytes(), 52).unwrap();
        let measured = KernelTimes { delays: false, sched: false };
        let extractor = Extractor { users: Arc::default(), kernel_times: measured };
        for column in ["delayacct_blkio_ticks", "sched_run_ns", "sched_wait_ns"] {
            let mut row = Observation::default();
            let thread = Thread::from_stat(7, &stat, 0, false);
            extractor.extract(Column::find(column).unwrap(), &thread, &FileContents::default(), &mut row);
            assert_eq!(text_of(row.value(0)), "[unsupported]", "{column}");
        }
    }

    #[test]
    fn facts_that_do_not_exist_are_a_dash() {
        let line = stat_line("a", 'S', PF_KTHREAD, 0);
        assert_eq!(value("cmdline", &line, &[(Source::Cmdline, "")]), "-");
        assert_eq!(value("exe", &line, &[(Source::Exe, "")]), "-");
        assert_eq!(value("container", &line, &[(Source::Cgroup, "0::/user.slice\n")]), "-");
        let id = "4fe3bb200489d71428a82ddf32d053994fe3bb200489d71428a82ddf32d05399";
        let hybrid = format!("5:memory:/docker/{id}\n0::/system.slice/docker.service\n");
        assert_eq!(value("container", &line, &[(Source::Cgroup, &hybrid)]), "4fe3bb200489");
        assert_eq!(value("cgroup", &line, &[(Source::Cgroup, &hybrid)]), "/system.slice/docker.service");
        assert_eq!(value("vmrss_kb", &line, &[(Source::Status, "Name:\ta\n")]), "-");
        assert_eq!(value("seccomp", &line, &[(Source::Status, "Name:\ta\n")]), "[unsupported]");
    }
}
