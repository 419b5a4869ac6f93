//! Lookups of a row: what it shows of its own wait that is read beside the sampling.
//!
//! A further kind of lookup is a field of [`LookupsWanted`], and a file of its own, as `path.rs` and `mount.rs` are: what is asked, what
//! is put into the contents when the answer is there, and how a column shows that.

use super::call::system_call;
use super::mount::MountWanted;
use super::path::PathWanted;
use super::plan::ObservePlan;
use super::reader::{ReadTarget, ThreadReader};
use super::thread::Thread;
use super::wait_file::DeferredWait;
use crate::proc::source::Source;
use crate::row::observation::Mark;

/// What a row shows of its wait, and what it has to wait for.
#[derive(Debug, Default)]
pub(super) struct LookupsWanted {
    path: Option<PathWanted>,
    mount: Option<MountWanted>,
    /// The wait, if the row is completed from its descriptor on.
    pub(super) wait: Option<DeferredWait>,
}

impl LookupsWanted {
    /// Whether anything is being read.
    pub(super) const fn must_wait(&self) -> bool {
        matches!(self.path, Some(PathWanted::Awaited(_)))
            || matches!(self.mount, Some(MountWanted::Awaited(_)))
            || self.wait.is_some()
    }

    /// How many bytes it takes beside itself.
    pub(super) fn bytes(&self) -> usize {
        self.wait.as_ref().map_or(0, DeferredWait::bytes)
    }
}

impl ThreadReader {
    /// Finds out what is known of the row's wait, and has the rest read.
    pub(super) fn request_lookups(
        &mut self,
        plan: &ObservePlan,
        target: &ReadTarget<'_>,
        thread: &Thread<'_>,
    ) -> LookupsWanted {
        let Some(readers) = self.lookups.take() else { return LookupsWanted::default() };
        let call = system_call(thread, &self.contents);
        if matches!(call, Err(Mark::Malformed)) {
            self.note_malformed(Source::Syscall);
        }
        let wanted = LookupsWanted {
            path: plan.wants(Source::Path).then(|| self.request_path(&readers, target, thread, call)),
            mount: plan.wants(Source::Mounts).then(|| self.request_mount(&readers, target, thread, call)),
            wait: None,
        };
        self.lookups = Some(readers);
        wanted
    }

    /// Puts what is known of the row's wait into the contents, but for what it is about, which [`restore_wait`](Self::restore_wait)
    /// puts there.
    pub(super) fn load_lookups(&mut self, wanted: LookupsWanted) {
        let LookupsWanted { path, mount, wait: _ } = wanted;
        if let Some(path) = path {
            self.load_path(path);
        }
        if let Some(mount) = mount {
            self.load_mount(mount);
        }
    }
}
