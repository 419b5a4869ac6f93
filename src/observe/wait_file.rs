//! Asks side readers about the descriptor that a thread waits on, and keeps its wait until they have answered.

use super::call::system_call;
use super::contents::{Descriptor, KeptWait};
use super::epoll;
use super::plan::ObservePlan;
use super::reader::{ReadTarget, ThreadReader};
use super::socket::open_file;
use super::thread::Thread;
use crate::proc::net::ThreadId;
use crate::proc::parse::fd_link;
use crate::proc::source::Source;
use crate::proc::syscall;
use crate::row::observation::Mark;
use crate::tasks::facts::RunCount;
use crate::tasks::lookups::{DescriptorQuestion, Found, PeerWanted, Subject};

/// The system calls that wait for the files of an epoll instance.
const EPOLLS: [&str; 3] = ["epoll_wait", "epoll_pwait", "epoll_pwait2"];

/// Sources of columns that come after those about the descriptor, and the sources of these.
const KEPT: [Source; 5] = [Source::Fd, Source::Wchan, Source::Owner, Source::Cgroup, Source::PidNs];

/// The wait of a thread whose row is completed once it is known what the thread waits on.
#[derive(Debug)]
pub(super) struct DeferredWait {
    question: DescriptorQuestion,
    kept: KeptWait,
    descriptor: Descriptor,
    contents: Vec<(Source, KeptText)>,
}

/// What was read of a source.
type KeptText = Result<Box<[u8]>, Mark>;

impl DeferredWait {
    /// How many bytes it takes beside itself.
    pub(super) fn bytes(&self) -> usize {
        let texts = self.contents.iter().filter_map(|(_, text)| text.as_ref().ok());
        size_of_val(&*self.contents) + texts.map(|text| text.len()).sum::<usize>()
    }
}

impl ThreadReader {
    /// Notes what is known of the descriptor that the thread waits on. If it has to be found out, returns the question, which was
    /// put.
    pub(super) fn ask_about_descriptor(
        &mut self,
        plan: &ObservePlan,
        target: &mut ReadTarget<'_>,
        thread: &Thread<'_>,
    ) -> Option<DescriptorQuestion> {
        if !plan.asks_about_descriptors {
            return None;
        }
        let subject = self.unknown_subject(plan, thread)?;
        let runs = match thread.record {
            Some(record) => record.is_at_rest().then_some(RunCount::Switches(record.switches)),
            None => self.switches_of_row(target),
        };
        let of = ThreadId { tgid: thread.tgid, tid: thread.tid };
        let question = DescriptorQuestion { of, runs, subject, peer: plan.peer };
        self.contents.found = self.lookups.as_ref()?.look_at_descriptor(&question);
        self.contents.found.is_none().then_some(question)
    }

    /// What the thread waits on, if the link or a walk says too little of it.
    fn unknown_subject(&self, plan: &ObservePlan, thread: &Thread<'_>) -> Option<Subject> {
        let Descriptor::Fd(fd) = self.contents.descriptor else {
            let call = system_call(thread, &self.contents).ok().filter(|_| plan.counts_sets)?;
            return epoll::polled(&call).map(Subject::Polled);
        };
        if let Some(file) = open_file(thread, &self.contents)
            && let Some(socket) = file.socket
        {
            let ends = socket.connection().filter(|_| plan.peer == PeerWanted::All)?;
            return Some(Subject::Socket { inode: file.inode, ends: Some(ends) });
        }
        if let Some(set) = thread.record.and_then(|record| record.epoll()) {
            return (plan.shows_sets && epoll::is_worth_asking(set)).then_some(Subject::Epoll { fd });
        }
        let link = self.contents.bytes(Source::Fd).ok()?;
        if let Some(inode) = fd_link::socket_inode(link) {
            return Some(Subject::Socket { inode, ends: None });
        }
        let is_set = plan.counts_sets && link == b"anon_inode:[eventpoll]";
        let call = system_call(thread, &self.contents).ok().filter(|_| is_set)?;
        let name = syscall::name(call.abi, call.number)?;
        EPOLLS.contains(&name).then_some(Subject::Epoll { fd })
    }

    /// What has to be kept of the thread's wait until the question is answered.
    pub(super) fn keep_wait(
        &mut self,
        plan: &ObservePlan,
        target: &mut ReadTarget<'_>,
        thread: &Thread<'_>,
        question: DescriptorQuestion,
    ) -> Option<DeferredWait> {
        let call = system_call(thread, &self.contents).ok()?;
        let mut contents = Vec::new();
        for source in KEPT.into_iter().filter(|source| plan.wants(*source)) {
            let record = thread.record_for(source);
            let kept = match source {
                Source::Wchan if record.is_some() => Ok(thread.wchan.into()),
                Source::Owner if record.is_some() => match record.and_then(|record| record.uid) {
                    Some(uid) => Ok(format!("Uid:\t{uid}\n").into_bytes().into()),
                    None => Err(Mark::Unread),
                },
                Source::Fd | Source::Wchan => self.contents.bytes(source).map(Into::into),
                _ => {
                    self.read(target, source);
                    self.contents.bytes(source).map(Into::into)
                }
            };
            contents.push((source, kept));
        }
        let kept = KeptWait {
            call,
            file: open_file(thread, &self.contents),
            epoll: thread.record.and_then(|record| record.epoll()),
        };
        Some(DeferredWait { question, kept, descriptor: self.contents.descriptor, contents })
    }

    /// Puts what was kept into the contents, with the answer.
    pub(super) fn restore_wait(&mut self, wait: DeferredWait) {
        let DeferredWait { question, kept, descriptor, contents } = wait;
        for (source, content) in contents {
            match content {
                Ok(bytes) => self.contents.store(source, &bytes),
                Err(mark) => self.contents.set(source, Err(mark)),
            }
        }
        self.contents.found = Some(self.lookups.as_ref().map_or(Found::Unread, |readers| readers.answer(&question)));
        self.contents.kept = Some(kept);
        self.contents.descriptor = descriptor;
    }
}
