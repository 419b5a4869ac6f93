//! The kinds of requests to the readers of lookups.
//!
//! A further kind is a variant of [`LookupRequest`], a file of its own beside this one, and a function in [`ask`](super::ask)
//! by which rows ask for it.

use std::sync::Arc;

use super::files::LookupFiles;
use super::held::KnownPaths;
use super::mounts::{MountTables, MountsRequest};
use super::path::{PathAnswer, PathRequest};
use crate::proc::ReadError;
use crate::proc::source::Source;

/// What is to be read.
#[derive(Debug, Clone)]
pub(super) enum LookupRequest {
    /// The path that a system call was given.
    Path(Arc<PathRequest>),
    /// The mounts that a thread sees.
    Mounts(Arc<MountsRequest>),
}

/// What was read and may serve other rows too, of each kind.
#[derive(Debug, Default)]
pub(super) struct KnownLookups {
    pub(super) paths: KnownPaths,
    pub(super) mounts: MountTables,
}

impl LookupRequest {
    /// The sources of all kinds. If a plan has none of them, there are no readers.
    pub(super) const SOURCES: [Source; 2] = [Source::Path, Source::Mounts];

    /// The process whose files are read. If it blocks its readers, it is asked no more for a while.
    pub(super) fn tgid(&self) -> u32 {
        match self {
            Self::Path(request) => request.wait.tgid,
            Self::Mounts(request) => request.tgid,
        }
    }

    /// The source in whose account a read that does not return is counted.
    pub(super) const fn source(&self) -> Source {
        match self {
            Self::Path(_) => Source::Path,
            Self::Mounts(_) => Source::Mounts,
        }
    }

    /// Reads what is asked for, and stores the answer. An answer that comes after [`fail`](Self::fail) has no effect on its row.
    pub(super) fn read(&self, known: &KnownLookups, files: &mut LookupFiles<'_>) {
        match self {
            Self::Path(request) => request.read(&known.paths, files),
            Self::Mounts(request) => known.mounts.read(request, files),
        }
    }

    /// Stores as the answer why it was not read.
    pub(super) fn fail(&self, known: &KnownLookups, error: ReadError) {
        match self {
            Self::Path(request) => _ = request.answer.set(PathAnswer::Failed(error)),
            Self::Mounts(request) => known.mounts.fail(&request.view, error),
        }
    }

    /// Notes that it will not be read, because no row waits for it any more.
    pub(super) fn drop_late(&self, known: &KnownLookups) {
        match self {
            Self::Path(_) => {}
            Self::Mounts(request) => known.mounts.begin(&request.view),
        }
    }
}
