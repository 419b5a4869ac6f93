//! The questions of a tick, which one reader answers together.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::answers::Answers;
use super::question::{DescriptorQuestion, Found};
use super::visit::Visitor;
use super::watch::BatchWatch;
use crate::tasks::lookups::files::LookupFiles;

/// Questions, and the process whose files are being read for them.
#[derive(Debug)]
pub(in crate::tasks::lookups) struct Batch {
    questions: Vec<DescriptorQuestion>,
    reads: AtomicU32,
}

impl Batch {
    /// The process whose files are being read.
    pub(in crate::tasks::lookups) fn tgid(&self) -> u32 {
        self.reads.load(Ordering::Acquire)
    }
}

/// Questions of rows, answers, and what is remembered to find further ones.
#[derive(Debug, Default)]
pub(in crate::tasks::lookups) struct Descriptors {
    pub(super) answers: Answers,
    /// Whoever reads a batch takes it, and puts it back unless it is given up.
    visitor: Mutex<Option<Box<Visitor>>>,
    /// Whether a batch is neither answered nor given up.
    is_busy: AtomicBool,
}

impl Descriptors {
    /// The questions of a tick that has ended; `None` if there are none, or if a reader is still busy with earlier ones.
    pub(in crate::tasks::lookups) fn take_batch(&self) -> Option<Arc<Batch>> {
        let questions = self.answers.take_questions();
        let is_next = !questions.is_empty() && !self.is_busy.swap(true, Ordering::AcqRel);
        is_next.then(|| Arc::new(Batch { questions, reads: AtomicU32::new(0) }))
    }

    /// The answer to an earlier question about the same wait, if there is nothing to add to it.
    pub(in crate::tasks::lookups) fn known(&self, question: &DescriptorQuestion) -> Option<Found> {
        self.answers.known(question)
    }

    /// Puts a question; false if there are too many.
    pub(in crate::tasks::lookups) fn ask(&self, question: DescriptorQuestion) -> bool {
        self.answers.ask(question)
    }

    /// The answer to a question that was put.
    pub(in crate::tasks::lookups) fn answer(&self, question: &DescriptorQuestion) -> Found {
        self.answers.answer(question)
    }

    /// Answers the questions of a batch.
    pub(in crate::tasks::lookups) fn read(&self, batch: &Batch, files: &mut LookupFiles<'_>) {
        let taken = self.visitor.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut visitor = taken.unwrap_or_else(|| Box::new(Visitor::new(files.root.share())));
        let watch = BatchWatch { reads: &batch.reads, goes_on: files.goes_on, may_read: files.may_read };
        let served = visitor.serve(&batch.questions, &self.answers, &watch);
        files.health.take(&mut visitor.health);
        if served.is_some() {
            *self.visitor.lock().unwrap_or_else(PoisonError::into_inner) = Some(visitor);
            self.give_up();
        }
    }

    /// Notes that a batch is answered or will not be: the next one may be read.
    pub(in crate::tasks::lookups) fn give_up(&self) {
        self.is_busy.store(false, Ordering::Release);
    }

    /// A sentence for each limit that was met.
    pub(in crate::tasks::lookups) fn warnings(&self) -> Vec<String> {
        let left_out = self.answers.left_out();
        let sentence = || {
            let most = Answers::MAX;
            format!("{left_out} samples show no connection: psn finds out at most {most} of them at a time")
        };
        (left_out > 0).then(sentence).into_iter().collect()
    }
}
