//! The mounts that threads see, by the id that `fdinfo` has of an open file.
//!
//! A table of mounts is that of one view: a mount namespace, seen from one root directory. It serves all threads of that view for a
//! second, or for five while the reader is late, because the kernel gives the id of a mount that has ended to the next one. An id that it does not have is looked for in a new
//! table. One that is not in that either belongs to no mount of the view: memory files lie on none, and a file may have come from
//! another namespace.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::files::LookupFiles;
use crate::proc::health::Health;
use crate::proc::parse::{mountinfo, system};
use crate::proc::source::Source;
use crate::proc::{ProcRoot, ReadError, TaskDir};

/// Tables are read again after this time.
const MAX_AGE: Duration = Duration::from_secs(1);

/// If that takes too long for a row, a table that is not older than this tells it.
const MAX_AGE_LATE: Duration = Duration::from_secs(5);

/// No more of a `mountinfo` is read. Whoever may make a user namespace may have 100,000 mounts with long names in it.
const READ_BYTES: usize = 8 << 20;

/// The most bytes of all tables together.
const MAX_BYTES: usize = 32 << 20;

/// What an entry takes beside its texts.
const ENTRY_BYTES: usize = 128;

/// The most ids of a table that are known to be none of its mounts.
const MAX_ABSENT: usize = 4096;

/// From where mounts are seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct MountView {
    /// The mount namespace's id.
    pub(crate) namespace: u64,
    /// The root directory of the process, as its link tells.
    pub(crate) root: Box<[u8]>,
}

impl MountView {
    /// The view of a thread.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn of(root: &ProcRoot, dir: TaskDir<'_>, tid: u32, health: &mut Health) -> Result<Self, ReadError> {
        let link = root.read_link_for(Source::Mounts, dir, tid, "ns/mnt");
        let namespace = link.and_then(|link| system::ns_id(&link).ok_or(ReadError::Malformed));
        health.record(Source::Mounts, &namespace);
        let namespace = namespace?;
        let link = root.read_link_for(Source::Mounts, dir, tid, "root");
        health.record(Source::Mounts, &link);
        Ok(Self { namespace, root: link?.into() })
    }
}

/// A mount.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where it is mounted, as its threads see it.
    pub(crate) point: Box<[u8]>,
    /// What it lies on.
    pub(crate) device: Box<[u8]>,
}

/// What is known of the mount of a file.
#[derive(Debug)]
pub(crate) enum MountStatus {
    /// The mount.
    Known(Arc<Mount>),
    /// It is none that the thread sees.
    Absent,
    /// A reader reads it.
    Awaited(AwaitedMount),
    /// It could not be read.
    Failed(ReadError),
    /// It is not known.
    Unread,
}

/// A mount that a row waits for.
#[derive(Debug)]
pub(crate) struct AwaitedMount {
    view: Arc<MountView>,
    id: u64,
    since: Instant,
}

/// A table of mounts to be read of a thread that sees it.
#[derive(Debug)]
pub(super) struct MountsRequest {
    pub(super) view: Arc<MountView>,
    pub(super) tgid: u32,
    pub(super) tid: u32,
}

/// A table of mounts, or why it could not be read.
#[derive(Debug)]
struct MountTable {
    mounts: HashMap<u64, Arc<Mount>, RandomState>,
    /// Ids that are none of its mounts.
    absent: HashSet<u64, RandomState>,
    bytes: usize,
    is_cut: bool,
    failed: Option<ReadError>,
    /// When its reading began; `None` before the first.
    read_at: Option<Instant>,
    used_at: Instant,
    /// Whether a reading was asked for and has not begun.
    is_asked: bool,
}

impl MountTable {
    fn empty() -> Self {
        Self {
            mounts: HashMap::default(),
            absent: HashSet::default(),
            bytes: 0,
            is_cut: false,
            failed: None,
            read_at: None,
            used_at: Instant::now(),
            is_asked: false,
        }
    }

    fn is_within(&self, age: Duration) -> bool {
        self.read_at.is_some_and(|at| at.elapsed() <= age)
    }

    /// Adds the mount in a line; false if there is no more room.
    fn add(&mut self, line: &[u8]) -> bool {
        let Some(mount) = mountinfo::mount(line) else { return true };
        let device = mount.device();
        self.bytes += ENTRY_BYTES + mount.point.len() + device.len();
        if self.bytes > MAX_BYTES / 2 {
            return false;
        }
        let known = Mount { point: (&*mount.point).into(), device: device.into() };
        self.mounts.insert(mount.id, Arc::new(known));
        true
    }
}

/// The tables of all views.
#[derive(Debug, Default)]
pub(super) struct MountTables(Mutex<HashMap<Arc<MountView>, MountTable, RandomState>>);

impl MountTables {
    /// The mount with this id. If it has to be read, `ask` asks for that once, and returns whether it will be read.
    pub(super) fn look(&self, view: MountView, id: u64, ask: impl FnOnce(&Arc<MountView>) -> bool) -> MountStatus {
        let mut tables = self.lock();
        let since = Instant::now();
        let view = match tables.get_key_value(&view) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::new(view),
        };
        let table = tables.entry(Arc::clone(&view)).or_insert_with(MountTable::empty);
        table.used_at = since;
        if table.is_within(MAX_AGE) {
            if let Some(mount) = table.mounts.get(&id) {
                return MountStatus::Known(Arc::clone(mount));
            }
            if table.absent.contains(&id) {
                return MountStatus::Absent;
            }
            if table.is_cut {
                return MountStatus::Failed(ReadError::Dropped(rustix::io::Errno::FBIG));
            }
        }
        if !table.is_asked {
            table.is_asked = ask(&view);
        }
        if table.is_asked { MountStatus::Awaited(AwaitedMount { view, id, since }) } else { MountStatus::Unread }
    }

    /// The mount that a row has waited for.
    pub(super) fn settle(&self, awaited: &AwaitedMount) -> MountStatus {
        let mut tables = self.lock();
        let Some(table) = tables.get_mut(&awaited.view).filter(|table| table.is_within(MAX_AGE_LATE)) else {
            return MountStatus::Unread;
        };
        if let Some(mount) = table.mounts.get(&awaited.id) {
            return MountStatus::Known(Arc::clone(mount));
        }
        if table.read_at.is_none_or(|at| at < awaited.since) {
            // It was read before the row was made.
            return MountStatus::Unread;
        }
        match table.failed {
            Some(error) => MountStatus::Failed(error),
            None if table.is_cut => MountStatus::Failed(ReadError::Dropped(rustix::io::Errno::FBIG)),
            None => {
                if table.absent.len() < MAX_ABSENT {
                    table.absent.insert(awaited.id);
                }
                MountStatus::Absent
            }
        }
    }

    /// Notes that the reading of a table begins, or will not begin: it may be asked for again.
    pub(super) fn begin(&self, view: &Arc<MountView>) {
        if let Some(table) = self.lock().get_mut(view) {
            table.is_asked = false;
        }
    }

    /// Notes why a table was not read.
    pub(super) fn fail(&self, view: &Arc<MountView>, error: ReadError) {
        let table = MountTable { failed: Some(error), read_at: Some(Instant::now()), ..MountTable::empty() };
        self.keep(view, table);
    }

    fn keep(&self, view: &Arc<MountView>, mut table: MountTable) {
        let mut tables = self.lock();
        table.is_asked = tables.get(view).is_some_and(|known| known.is_asked);
        let mut bytes = table.bytes + tables.values().map(|table| table.bytes + ENTRY_BYTES).sum::<usize>();
        while bytes > MAX_BYTES {
            // That which has not been used for the longest time.
            let oldest = tables.iter().filter(|(other, _)| *other != view).min_by_key(|(_, table)| table.used_at);
            let Some(oldest) = oldest.map(|(view, _)| Arc::clone(view)) else { break };
            bytes -= tables.remove(&oldest).map_or(0, |table| table.bytes + ENTRY_BYTES);
        }
        tables.insert(Arc::clone(view), table);
    }

    /// Reads the table of a view, and checks that the thread still sees it.
    pub(super) fn read(&self, request: &MountsRequest, files: &mut LookupFiles<'_>) {
        let MountsRequest { view, tgid, tid } = request;
        self.begin(view);
        let read_at = Instant::now();
        let result = table(request, files).and_then(|table| {
            let seen = MountView::of(files.root, TaskDir { tgid: *tgid, dir: None }, *tid, files.health)?;
            // It has entered another namespace, or its id belongs to another thread now.
            if seen == **view { Ok(table) } else { Err(ReadError::Gone) }
        });
        match result {
            Ok(table) => self.keep(view, MountTable { read_at: Some(read_at), ..table }),
            Err(error) => self.fail(view, error),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<MountView>, MountTable, RandomState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn table(request: &MountsRequest, files: &mut LookupFiles<'_>) -> Result<MountTable, ReadError> {
    let LookupFiles { root, health, buffer, goes_on, .. } = files;
    let mut table = MountTable::empty();
    let mut line = Vec::new();
    let mut read = 0;
    let result = root.stream(request.tgid, Some(request.tid), Source::Mounts, buffer, &mut |piece| {
        read += piece.len();
        let mut rest = piece;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            line.extend_from_slice(rest.get(..end).unwrap_or_default());
            table.is_cut |= !table.add(&line);
            line.clear();
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        line.extend_from_slice(rest);
        table.is_cut |= read > READ_BYTES;
        if table.is_cut || !goes_on() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    health.record(Source::Mounts, &result);
    result.map(|()| table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Buffer;

    fn view(namespace: u64) -> MountView {
        MountView { namespace, root: (*b"/").into() }
    }

    fn table_of(lines: &[&str]) -> MountTable {
        let mut table = MountTable { read_at: Some(Instant::now()), ..MountTable::empty() };
        assert!(lines.iter().all(|line| table.add(line.as_bytes())));
        table
    }

    const ROOT: &str = "30 1 8:1 / / rw - ext4 /dev/sda1 rw";

    #[test]
    fn a_table_answers_for_its_view_and_is_asked_for_once() {
        let tables = MountTables::default();
        let MountStatus::Awaited(awaited) = tables.look(view(1), 30, |_| true) else { panic!("nothing was read") };
        let MountStatus::Awaited(other) = tables.look(view(1), 31, |_| panic!("asked twice")) else { panic!() };
        assert!(matches!(tables.settle(&awaited), MountStatus::Unread));
        tables.begin(&awaited.view);
        tables.keep(&awaited.view, table_of(&[ROOT]));
        let MountStatus::Known(mount) = tables.settle(&awaited) else { panic!("it was read") };
        assert_eq!((&*mount.point, &*mount.device), (&b"/"[..], &b"/dev/sda1"[..]));
        assert!(matches!(tables.settle(&other), MountStatus::Absent));
        assert!(matches!(tables.look(view(1), 30, |_| panic!()), MountStatus::Known(_)));
        assert!(matches!(tables.look(view(1), 31, |_| panic!()), MountStatus::Absent));
        assert!(matches!(tables.look(view(2), 30, |_| false), MountStatus::Unread), "another namespace");
        let MountStatus::Awaited(new) = tables.look(view(1), 32, |_| true) else { panic!("it may be a new mount") };
        assert!(matches!(tables.settle(&new), MountStatus::Unread), "the table is older than the row");
    }

    #[test]
    fn a_failure_is_of_the_rows_that_waited_and_of_no_others() {
        let tables = MountTables::default();
        let MountStatus::Awaited(awaited) = tables.look(view(1), 30, |_| true) else { panic!() };
        tables.begin(&awaited.view);
        tables.fail(&awaited.view, ReadError::Denied);
        assert!(matches!(tables.settle(&awaited), MountStatus::Failed(ReadError::Denied)));
        assert!(matches!(tables.look(view(1), 30, |_| true), MountStatus::Awaited(_)), "it is tried again");
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes() {
        let tables = MountTables::default();
        let long = format!("{} 1 8:1 / /{} rw - ext4 /dev/sda1 rw", 7, "x".repeat(4000));
        let full = || {
            let mut table = table_of(&[]);
            while table.add(long.as_bytes()) {}
            table.bytes = table.bytes.min(MAX_BYTES / 2);
            table
        };
        for namespace in 0..6 {
            let _ = tables.look(view(namespace), 7, |_| true);
            tables.keep(&Arc::new(view(namespace)), full());
            let bytes: usize = tables.lock().values().map(|table| table.bytes).sum();
            assert!(bytes <= MAX_BYTES, "{bytes}");
            assert!(matches!(tables.look(view(namespace), 7, |_| panic!()), MountStatus::Known(_)));
        }
    }

    #[test]
    fn ones_own_mounts_are_read() {
        let root = ProcRoot::open(crate::proc::DEFAULT_ROOT.as_ref()).unwrap();
        let tgid = std::process::id();
        let (mut health, mut buffer) = (Health::default(), Buffer::default());
        let view = MountView::of(&root, TaskDir { tgid, dir: None }, tgid, &mut health).unwrap();
        let tables = MountTables::default();
        let MountStatus::Awaited(awaited) = tables.look(view, u64::MAX, |_| true) else { panic!() };
        let request = MountsRequest { view: Arc::clone(&awaited.view), tgid, tid: tgid };
        let (goes_on, may_read) = (|| true, |_| true);
        let mut files = LookupFiles {
            root: &root,
            health: &mut health,
            buffer: &mut buffer,
            goes_on: &goes_on,
            may_read: &may_read,
        };
        tables.read(&request, &mut files);
        assert!(matches!(tables.settle(&awaited), MountStatus::Absent));
        let points: Vec<_> = tables.lock()[&awaited.view].mounts.values().map(|mount| mount.point.clone()).collect();
        assert!(points.contains(&(*b"/proc").into()), "{points:?}");
    }
}
