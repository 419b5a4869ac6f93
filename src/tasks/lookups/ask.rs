//! How rows ask for lookups, one kind after another.

use std::sync::{Arc, OnceLock};

use super::descriptors::{DescriptorQuestion, Found};
use super::held::HeldText;
use super::mounts::{AwaitedMount, MountStatus, MountView, MountsRequest};
use super::path::PathRequest;
use super::readers::LookupReaders;
use super::request::LookupRequest;
use super::wait::PathWait;
use crate::proc::ReadError;

impl LookupReaders {
    /// The path of this wait, if it was read earlier in the same wait.
    pub(crate) fn known_path(&self, wait: &PathWait) -> Option<Arc<HeldText>> {
        self.known.paths.of(wait)
    }

    /// Asks for the path of a wait.
    ///
    /// # Errors
    /// [`ReadError::TimedOut`] if its process blocks its readers, or if too many readers are stuck.
    pub(crate) fn ask_for_path(&self, wait: PathWait) -> Result<Arc<PathRequest>, ReadError> {
        let request = Arc::new(PathRequest { wait, answer: OnceLock::new() });
        self.send(LookupRequest::Path(Arc::clone(&request)))?;
        Ok(request)
    }

    /// The mount with this id, as the thread sees it.
    pub(crate) fn mount(&self, view: MountView, id: u64, tgid: u32, tid: u32) -> MountStatus {
        self.known.mounts.look(view, id, |view| {
            let request = MountsRequest { view: Arc::clone(view), tgid, tid };
            self.send(LookupRequest::Mounts(Arc::new(request))).is_ok()
        })
    }

    /// The mount that a row has waited for.
    pub(crate) fn awaited_mount(&self, awaited: &AwaitedMount) -> MountStatus {
        self.known.mounts.settle(awaited)
    }

    /// The answer to a question about a descriptor, if it is known already. Otherwise the question is put, and
    /// [`answer`](Self::answer) has the answer after [`settle`](Self::settle).
    pub(crate) fn look_at_descriptor(&self, question: &DescriptorQuestion) -> Option<Found> {
        if let Some(found) = self.known.descriptors.known(question) {
            return Some(found);
        }
        if !self.may_read(question.of.tgid) {
            return Some(Found::Failed(ReadError::TimedOut));
        }
        (!self.known.descriptors.ask(*question)).then_some(Found::Unread)
    }

    /// The answer to a question that was put.
    pub(crate) fn answer(&self, question: &DescriptorQuestion) -> Found {
        self.known.descriptors.answer(question)
    }
}
