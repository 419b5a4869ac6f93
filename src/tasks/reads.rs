//! What discovery reads under the proc root, each read counted in its account.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::proc::deadline::HelperThread;
use crate::proc::health::Health;
use crate::proc::parse::system::{Loadavg, pid_name};
use crate::proc::parse::{status, unsigned};
use crate::proc::source::Source;
use crate::proc::{Buffer, ProcRoot, ReadError};

/// The proc root with discovery's buffers and its account of reads.
pub(super) struct Reads {
    pub(super) root: Arc<ProcRoot>,
    pub(super) health: Health,
    file: Buffer,
    /// The thread that reads `loadavg`.
    helper: HelperThread,
    /// Raw directory entries.
    entries: Vec<u8>,
}

impl Reads {
    pub(super) fn new(root: &ProcRoot) -> Self {
        Self {
            root: Arc::new(root.share()),
            health: Health::default(),
            file: Buffer::default(),
            helper: HelperThread::default(),
            entries: Vec::with_capacity(256 << 10),
        }
    }

    /// Takes the account of the reads since the last call.
    pub(super) fn take_health(&mut self) -> Health {
        let health = std::mem::take(&mut self.health);
        health.debug_assert_accounts_for(self.root.attempts());
        self.root.attempts().forget();
        health
    }

    /// The last pid that was given out and the number of tasks, by `loadavg`.
    pub(super) fn last_pid_and_tasks(&mut self) -> Option<(u64, u64)> {
        let text = self.root.read_host_by(&mut self.helper, c"loadavg", &mut self.file).ok()?;
        Loadavg::parse(text).ok().map(|loadavg| (loadavg.last_pid, loadavg.total))
    }

    /// Appends the pids in the proc root, ascending.
    pub(super) fn list_processes(&mut self, pids: &mut Vec<u32>) -> Result<(), ReadError> {
        self.root.list_processes(&mut self.entries, pids)
    }

    /// Appends the tids in a `task` directory, of which about `bytes` of entries are expected.
    pub(super) fn list_threads(
        &mut self,
        dir: BorrowedFd<'_>,
        bytes: usize,
        tids: &mut Vec<u32>,
    ) -> Result<(), ReadError> {
        self.entries.reserve(bytes.max(64 << 10));
        self.root.list_tasks(dir, &mut self.entries, tids)
    }

    /// The process that a thread belongs to. `/proc/TID` exists for every thread, though no listing shows it.
    pub(super) fn process_of(&mut self, tid: u32) -> Option<u32> {
        pid_name(self.status_value(tid, b"Tgid")?)
    }

    /// The parent of a process.
    pub(super) fn parent_of(&mut self, pid: u32) -> Option<u32> {
        u32::try_from(unsigned(self.status_value(pid, b"PPid")?)?).ok()
    }

    /// A line of `status`, which never blocks, unlike `stat`.
    fn status_value(&mut self, pid: u32, key: &[u8]) -> Option<&[u8]> {
        let text = self.root.read_process(pid, Source::Status, Source::Status.name(), &mut self.file);
        self.health.record(Source::Status, &text);
        status::value(text.ok()?, key)
    }

    /// The name of a process. `comm` never blocks.
    pub(super) fn name_of(&mut self, pid: u32) -> Option<&[u8]> {
        let text = self.root.read_process(pid, Source::Comm, Source::Comm.name(), &mut self.file);
        self.health.record(Source::Comm, &text);
        text.ok().map(|comm| comm.strip_suffix(b"\n").unwrap_or(comm))
    }
}
