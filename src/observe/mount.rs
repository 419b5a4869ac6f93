//! The mount that the file of a thread's descriptor lies on.

use std::sync::Arc;

use super::call::mark_of_file;
use super::contents::{Descriptor, FileContents, SystemCall};
use super::reader::{ReadTarget, ThreadReader};
use super::thread::Thread;
use crate::ask::column::MountPart;
use crate::proc::ReadError;
use crate::proc::parse::fdinfo;
use crate::proc::source::Source;
use crate::row::observation::{Mark, Observation};
use crate::tasks::lookups::{AwaitedMount, LookupReaders, Mount, MountStatus, MountView};

/// What is known of the mount, or what is awaited.
#[derive(Debug)]
pub(super) enum MountWanted {
    Known(Result<Arc<Mount>, Mark>),
    Awaited(AwaitedMount),
}

impl ThreadReader {
    /// Reads which mount the open file is on, if the file has a path.
    pub(super) fn read_mount_id(&mut self, target: &mut ReadTarget<'_>, number: u32) {
        if !self.contents.bytes(Source::Fd).is_ok_and(|link| link.starts_with(b"/")) {
            return;
        }
        if target.memory.refused.contains(Source::Fdinfo) {
            return self.contents.set(Source::Fdinfo, Err(Mark::Denied));
        }
        let (dir, tid) = (target.process.task_dir(), target.task.tid);
        self.current_file.enter(Source::Fdinfo);
        let result = self.root.read_fdinfo(dir, tid, number, self.contents.buffer(Source::Fdinfo)).map(drop);
        self.health.record(Source::Fdinfo, &result);
        if result == Err(ReadError::Denied) {
            target.memory.refused.insert(Source::Fdinfo);
        }
        self.contents.set(Source::Fdinfo, result.map_err(Mark::from));
    }

    /// Finds out what is known of the mount, and has the table of mounts read if it is not known.
    pub(super) fn request_mount(
        &mut self,
        readers: &LookupReaders,
        target: &ReadTarget<'_>,
        thread: &Thread<'_>,
        call: Result<SystemCall, Mark>,
    ) -> MountWanted {
        let wanted = self.mount_id(call).and_then(|id| {
            self.current_file.enter(Source::Mounts);
            let view = MountView::of(&self.root, target.process.task_dir(), thread.tid, &mut self.health)?;
            Ok((view, id))
        });
        match wanted {
            Err(mark) => MountWanted::Known(Err(mark)),
            Ok((view, id)) => match readers.mount(view, id, thread.tgid, thread.tid) {
                MountStatus::Awaited(awaited) => MountWanted::Awaited(awaited),
                known => MountWanted::Known(mount_or_mark(known)),
            },
        }
    }

    /// The id of the mount, or the mark that stands for it.
    fn mount_id(&self, call: Result<SystemCall, Mark>) -> Result<u64, Mark> {
        call.map_err(mark_of_file)?;
        match self.contents.descriptor {
            Descriptor::Fd(_) => {}
            Descriptor::WorkingDirectory => return Err(Mark::WorkingDirectory),
            Descriptor::Pid(_) | Descriptor::None => return Err(Mark::None),
        }
        if !self.contents.bytes(Source::Fd)?.starts_with(b"/") {
            return Err(Mark::None);
        }
        // Linux 3.15 has it.
        fdinfo::mount_id(self.contents.bytes(Source::Fdinfo)?).ok_or(Mark::Unsupported)
    }

    /// Puts what is known of the mount into the contents.
    pub(super) fn load_mount(&mut self, mount: MountWanted) {
        self.contents.mount = match mount {
            MountWanted::Known(known) => known,
            MountWanted::Awaited(awaited) => match &self.lookups {
                Some(readers) => mount_or_mark(readers.awaited_mount(&awaited)),
                None => Err(Mark::Unread),
            },
        };
    }
}

fn mount_or_mark(status: MountStatus) -> Result<Arc<Mount>, Mark> {
    match status {
        MountStatus::Known(mount) => Ok(mount),
        MountStatus::Absent => Err(Mark::None),
        MountStatus::Failed(error) => Err(error.into()),
        MountStatus::Awaited(_) | MountStatus::Unread => Err(Mark::Unread),
    }
}

/// Appends a part of the mount of the thread's file to `row`.
pub(super) fn extract_mount(part: MountPart, contents: &FileContents, row: &mut Observation) {
    match (&contents.mount, part) {
        (Ok(mount), MountPart::Point) => row.push_text(&mount.point),
        (Ok(mount), MountPart::Device) => row.push_text(&mount.device),
        (Err(mark), _) => row.push_mark(*mark),
    }
}
