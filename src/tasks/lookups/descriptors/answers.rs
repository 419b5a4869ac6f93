//! The questions of a tick, and the answers that are kept.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use super::question::{DescriptorQuestion, Found, PeerWanted};

#[derive(Debug)]
struct Answer {
    question: DescriptorQuestion,
    found: Found,
    /// Whether the thread had not run between its row and the reading.
    is_confirmed: bool,
    /// The last tick with questions in which a row had it.
    used: u64,
}

#[derive(Debug, Default)]
struct KeptAnswers {
    questions: Vec<DescriptorQuestion>,
    /// By the thread's id: a thread waits on one descriptor at a time.
    answers: HashMap<u32, Answer, RandomState>,
    ticks: u64,
    /// Questions that were not put, for lack of room.
    left_out: u64,
}

/// Questions and answers.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<KeptAnswers>);

impl Answers {
    /// The most questions of a tick, and the most answers that are kept. An answer takes some 300 bytes.
    pub(super) const MAX: usize = 1 << 17;

    fn inner(&self) -> MutexGuard<'_, KeptAnswers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to an earlier question about the same wait, if there is nothing to add to it.
    pub(super) fn known(&self, question: &DescriptorQuestion) -> Option<Found> {
        let mut inner = self.inner();
        let ticks = inner.ticks;
        let answer = inner.answers.get_mut(&question.of.tid)?;
        let DescriptorQuestion { of, runs, subject, peer } = answer.question;
        let is_same = (of, runs, subject) == (question.of, question.runs, question.subject) && runs.is_some();
        let is_enough = peer == question.peer || question.peer == PeerWanted::No;
        (is_same && is_enough && answer.is_confirmed && answer.found.is_final()).then(|| {
            answer.used = ticks;
            answer.found.clone()
        })
    }

    /// Puts a question; false if there are too many.
    pub(super) fn ask(&self, question: DescriptorQuestion) -> bool {
        let mut inner = self.inner();
        let has_room = inner.questions.len() < Self::MAX;
        if has_room {
            inner.questions.push(question);
        } else {
            inner.left_out += 1;
        }
        has_room
    }

    /// The questions of a tick that has ended.
    pub(super) fn take_questions(&self) -> Vec<DescriptorQuestion> {
        let mut inner = self.inner();
        inner.ticks += 1;
        std::mem::take(&mut inner.questions)
    }

    /// The answer to a question that was put.
    pub(super) fn answer(&self, question: &DescriptorQuestion) -> Found {
        let inner = self.inner();
        let answer = inner.answers.get(&question.of.tid).filter(|answer| answer.question == *question);
        answer.map_or(Found::Unread, |answer| answer.found.clone())
    }

    /// Keeps answers.
    pub(super) fn keep(&self, answers: impl Iterator<Item = (DescriptorQuestion, Found, bool)>) {
        let mut inner = self.inner();
        let used = inner.ticks;
        if inner.answers.len() >= Self::MAX {
            inner.answers.retain(|_, answer| answer.used + 2 >= used);
        }
        for (question, found, is_confirmed) in answers {
            if inner.answers.len() < Self::MAX || inner.answers.contains_key(&question.of.tid) {
                inner.answers.insert(question.of.tid, Answer { question, found, is_confirmed, used });
            } else {
                inner.left_out += 1;
            }
        }
    }

    /// How many questions had no room.
    pub(super) fn left_out(&self) -> u64 {
        self.inner().left_out
    }
}

#[cfg(test)]
mod tests {
    use super::super::question::{KnownSet, Subject};
    use super::*;
    use crate::proc::net::ThreadId;
    use crate::tasks::facts::RunCount;

    fn question(runs: u64, fd: u32) -> DescriptorQuestion {
        let of = ThreadId { tgid: 7, tid: 7 };
        DescriptorQuestion {
            of,
            runs: Some(RunCount::Switches(runs)),
            subject: Subject::Epoll { fd },
            peer: PeerWanted::No,
        }
    }

    #[test]
    fn an_answer_is_of_one_wait_on_one_descriptor() {
        let answers = Answers::default();
        assert_eq!(answers.known(&question(1, 3)), None);
        assert!(answers.ask(question(1, 3)));
        assert_eq!(answers.answer(&question(1, 3)), Found::Unread);
        assert_eq!(answers.take_questions(), [question(1, 3)]);
        let found = Found::Set(KnownSet { sockets: 2, ..KnownSet::default() });
        answers.keep([(question(1, 3), found.clone(), true)].into_iter());
        assert_eq!(answers.answer(&question(1, 3)), found);
        assert_eq!(answers.known(&question(1, 3)), Some(found.clone()));
        assert_eq!((answers.known(&question(2, 3)), answers.known(&question(1, 4))), (None, None));
        answers.keep([(question(2, 3), found.clone(), false)].into_iter());
        assert_eq!(answers.answer(&question(2, 3)), found, "for the row that asked");
        assert_eq!(answers.known(&question(2, 3)), None, "but not for the next: it may have run");
    }
}
