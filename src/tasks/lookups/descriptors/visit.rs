//! How the reader answers the questions of a tick.

use std::cell::OnceCell;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answers::Answers;
use super::budget::TimeBudget;
use super::owners::{Owner, Owners};
use super::polled;
use super::question::{DescriptorQuestion, Found, KnownSocket, Peer, PeerWanted, Polled, Subject};
use super::sets::{ReadSet, Sets};
use super::tables::{NetNamespaces, TableStep};
use super::watch::BatchWatch;
use crate::kernel::Socket;
use crate::proc::health::Health;
use crate::proc::net::ThreadId;
use crate::proc::socket::{CLOSE, ESTABLISHED, LISTEN, SEQUENCED, STREAM, TCP, UNIX};
use crate::proc::source::Source;
use crate::proc::unix_diag::{OtherEnd, UnixDiag};
use crate::proc::{Buffer, ProcRoot, ReadError};
use crate::tasks::lookups::wait::runs;

/// UNIX sockets of these kinds are accepted.
const CONNECTIONS: [u16; 2] = [STREAM, SEQUENCED];

/// Large sets of epoll instances are read again after this time.
const LARGE_SETS: Duration = Duration::from_secs(60);

/// Answers questions, and remembers what it has read.
#[derive(Debug)]
pub(super) struct Visitor {
    root: ProcRoot,
    /// psn's own network namespace, and the kernel's answers about UNIX sockets in it. Opened for the first question about one;
    /// then `None` if the kernel does not answer.
    own: OnceCell<Option<(u64, UnixDiag)>>,
    namespaces: NetNamespaces,
    sets: Sets,
    sets_since: Instant,
    owners: Owners,
    budget: TimeBudget,
    buffer: Buffer,
    pub(super) health: Health,
}

/// A question, and what was found so far.
#[derive(Debug)]
struct Asked {
    question: DescriptorQuestion,
    found: Found,
    is_confirmed: bool,
    /// The thread's network namespace.
    namespace: Option<u64>,
    /// The inode of the one socket of a set.
    only: Option<u64>,
    socket: Option<KnownSocket>,
    /// The inode of the socket at the other end, if its owner is wanted, and the network namespace.
    other: Option<(u64, u64)>,
}

impl Asked {
    fn new(question: DescriptorQuestion) -> Self {
        Self {
            question,
            found: Found::Unread,
            is_confirmed: false,
            namespace: None,
            only: None,
            socket: None,
            other: None,
        }
    }

    /// The inode, if it is about a socket.
    const fn inode(&self) -> Option<u64> {
        match self.question.subject {
            Subject::Socket { inode, .. } => Some(inode),
            Subject::Epoll { .. } | Subject::Polled(_) => self.only,
        }
    }

    /// Notes that the socket is not known. Of a set it is known nevertheless that it has one socket.
    fn fail(&mut self, found: Found) {
        match self.question.subject {
            Subject::Socket { .. } => self.found = found,
            // It is asked for again if there is more to be known.
            Subject::Epoll { .. } | Subject::Polled(_) => self.is_confirmed &= found.is_final(),
        }
    }

    fn name_owner(&mut self, owner: Option<Option<Owner>>) {
        let Some(known) = &mut self.socket else { return };
        known.peer = match owner {
            None => Peer::Unread,
            Some(None) => Peer::None,
            Some(Some(Owner { pid, comm })) => {
                (known.socket.peer_pid, known.socket.peer_comm) = (Some(pid), comm);
                Peer::Known
            }
        };
    }

    fn answer(&self) -> (DescriptorQuestion, Found, bool) {
        let found = match (&self.socket, self.only) {
            (Some(socket), None) => Found::Socket(Arc::new(socket.clone())),
            (Some(socket), Some(_)) => Found::Only(Arc::new(socket.clone())),
            (None, _) => self.found.clone(),
        };
        (self.question, found, self.is_confirmed)
    }
}

impl Visitor {
    pub(super) fn new(root: ProcRoot) -> Self {
        Self {
            own: OnceCell::new(),
            root,
            namespaces: NetNamespaces::default(),
            sets: Sets::new(),
            sets_since: Instant::now(),
            owners: Owners::default(),
            budget: TimeBudget::new(),
            buffer: Buffer::default(),
            health: Health::default(),
        }
    }

    /// Answers the questions. `None` if the supervisor has given the reader up.
    pub(super) fn serve(
        &mut self,
        questions: &[DescriptorQuestion],
        answers: &Answers,
        watch: &BatchWatch<'_>,
    ) -> Option<()> {
        let may_be_asked = |question: &&DescriptorQuestion| watch.may_read(question.of.tgid);
        let mut asked: Vec<Asked> =
            questions.iter().filter(may_be_asked).map(|question| Asked::new(*question)).collect();
        if self.sets_since.elapsed() > LARGE_SETS {
            self.sets.forget();
            self.sets_since = Instant::now();
        }
        self.namespaces.drop_if_full();
        for asked in &mut asked {
            match asked.question.subject {
                Subject::Epoll { fd } => self.count_set(asked, fd, watch)?,
                Subject::Polled(polled) => self.count_polled(asked, polled, watch)?,
                Subject::Socket { .. } => {}
            }
        }
        self.tell_namespaces(&mut asked, watch)?;
        asked.sort_unstable_by_key(|asked| asked.namespace);
        for here in asked.chunk_by_mut(|one, other| one.namespace == other.namespace) {
            if let Some(id) = here.first().and_then(|asked| asked.namespace) {
                self.find_sockets(id, here, watch)?;
            }
        }
        for asked in &mut asked {
            let owner = asked.other.map(|(inode, namespace)| self.owners.of(inode, namespace));
            owner.into_iter().for_each(|owner| asked.name_owner(owner));
        }
        answers.keep(asked.iter().map(Asked::answer));
        self.find_owners(asked, answers, watch)
    }

    /// Finds out in which network namespaces those are that ask about sockets.
    fn tell_namespaces(&mut self, asked: &mut [Asked], watch: &BatchWatch<'_>) -> Option<()> {
        for asked in asked.iter_mut().filter(|asked| asked.inode().is_some()) {
            let Self { root, budget, health, .. } = self;
            if !budget.has_left() {
                break;
            }
            let of = asked.question.of;
            watch.enter(of.tgid)?;
            let id = budget.spend(|| root.net_namespace(of));
            watch.leave()?;
            health.record(Source::Socket, &id);
            match id {
                Ok(id) => asked.namespace = Some(id),
                Err(error) => asked.fail(Found::Failed(error)),
            }
        }
        Some(())
    }

    /// Finds the sockets of one namespace in its tables, which are read again if there is time.
    fn find_sockets(&mut self, id: u64, asked: &mut [Asked], watch: &BatchWatch<'_>) -> Option<()> {
        let read = if self.budget.has_left() { Some(self.read_tables(id, asked, watch)?) } else { None };
        let is_fresh = matches!(read, Some(Ok(())));
        for asked in asked.iter_mut() {
            if let Some(Err(error)) = read {
                asked.fail(Found::Failed(error));
                continue;
            }
            let Some(inode) = asked.inode() else { continue };
            if is_fresh {
                asked.is_confirmed = self.confirms(&asked.question, watch)?;
            }
            let Some(namespace) = self.namespaces.known(id) else { continue };
            match namespace.find(inode) {
                Some((socket, name)) if asked.is_confirmed || is_for_life(&socket) => {
                    let (name, is_current) = (name.map(Into::into), asked.is_confirmed && is_fresh);
                    asked.socket = Some(KnownSocket { socket, name, peer: Peer::None, is_current });
                }
                Some(_) => asked.fail(Found::Stale),
                None if !is_fresh => asked.fail(Found::Unread),
                None if namespace.is_cut => asked.fail(Found::Failed(ReadError::Dropped(rustix::io::Errno::NOBUFS))),
                None => asked.fail(Found::Nowhere),
            }
        }
        self.find_other_ends(id, asked, is_fresh);
        Some(())
    }

    /// Reads the tables of a namespace through one of the threads that are in it.
    fn read_tables(&mut self, id: u64, asked: &[Asked], watch: &BatchWatch<'_>) -> Option<Result<(), ReadError>> {
        /// Threads may end.
        const ATTEMPTS: usize = 3;
        let Self { root, namespaces, budget, buffer, health, .. } = self;
        let mut failure = ReadError::Gone;
        for asked in asked.iter().take(ATTEMPTS) {
            let of = asked.question.of;
            watch.enter(of.tgid)?;
            let result = budget.spend(|| {
                namespaces.read(root, id, of, buffer, &mut |step| match step {
                    TableStep::Goes => _ = watch.enter(of.tgid),
                    // Not every kernel has every table.
                    TableStep::Ended(Err(ReadError::Gone)) => health.record_ok(Source::Socket, 1),
                    TableStep::Ended(result) => health.record(Source::Socket, &result),
                })
            });
            // It may have entered another namespace meanwhile, or have ended.
            let is_there = budget.spend(|| root.net_namespace(of)) == Ok(id);
            watch.leave()?;
            match result {
                Ok(()) if is_there => return Some(Ok(())),
                Ok(()) => namespaces.drop_one(id),
                Err(error) => failure = error,
            }
        }
        Some(Err(failure))
    }

    /// Finds the sockets at the other ends, of those questions that want to know.
    fn find_other_ends(&mut self, id: u64, asked: &mut [Asked], is_fresh: bool) {
        let Self { root, own, namespaces, budget, .. } = self;
        let own = || own.get_or_init(|| root.own_net_namespace().zip(UnixDiag::open().filter(is_told)));
        let diag = || own().as_ref().filter(|(own, _)| *own == id).map(|(_, diag)| diag);
        let Some(namespace) = namespaces.known(id) else { return };
        let ends = asked.iter().filter_map(tcp_ends).collect();
        let others = budget.spend(|| namespace.other_ends(&ends));
        for asked in asked {
            if let Some(ends) = tcp_ends(asked) {
                asked.other = others.get(&ends).filter(|inode| **inode != 0).map(|inode| (*inode, id));
                if let Some(known) = asked.socket.as_mut().filter(|_| asked.other.is_none() && !is_fresh) {
                    known.peer = Peer::Unread;
                }
                continue;
            }
            let inode = asked.inode_of_unix();
            if let (Some(known), Some(inode)) = (&mut asked.socket, inode) {
                let Some(diag) = diag() else {
                    known.peer = Peer::Unsupported;
                    continue;
                };
                if !budget.has_left() {
                    known.peer = Peer::Unread;
                    continue;
                }
                match budget.spend(|| diag.peer(inode)) {
                    Some(OtherEnd::Inode(other)) => asked.other = Some((other, id)),
                    Some(OtherEnd::Nobodys) if CONNECTIONS.contains(&known.socket.kind) => {
                        known.peer = Peer::NotAccepted
                    }
                    Some(OtherEnd::Nobodys) | None => {}
                }
                if let (None, Some((other, _))) = (&known.name, asked.other) {
                    known.name = namespace.find(other).and_then(|(_, name)| name).map(Into::into);
                }
            }
        }
    }

    /// Whether the thread has not run since its row.
    fn confirms(&mut self, question: &DescriptorQuestion, watch: &BatchWatch<'_>) -> Option<bool> {
        let Self { root, budget, buffer, health, .. } = self;
        let DescriptorQuestion { of: ThreadId { tgid, tid }, runs: Some(then), .. } = *question else {
            return Some(false);
        };
        watch.enter(tgid)?;
        let now = budget.spend(|| runs(root, tgid, tid, then, health, buffer));
        watch.leave()?;
        Some(now == Ok(Some(then)))
    }

    /// Counts the files that an epoll instance watches.
    fn count_set(&mut self, asked: &mut Asked, fd: u32, watch: &BatchWatch<'_>) -> Option<()> {
        let of = asked.question.of;
        if let Some(set) = self.sets.large(of, fd) {
            (asked.found, asked.is_confirmed) = (Found::Set(set), true);
            return Some(());
        }
        let Self { root, sets, budget, buffer, health, .. } = self;
        if !budget.has_left() {
            return Some(());
        }
        watch.enter(of.tgid)?;
        let read = budget.spend(|| sets.read(root, of, fd, buffer, &mut |result| health.record(Source::Fd, &result)));
        watch.leave()?;
        asked.is_confirmed = self.confirms(&asked.question, watch)?;
        asked.found = match read {
            Ok((ReadSet { set, only }, is_as_before)) if is_as_before || asked.is_confirmed || set.has_more => {
                asked.only = only;
                Found::Set(set)
            }
            Ok(_) => Found::Stale,
            Err(found) => found,
        };
        Some(())
    }

    /// Counts the files that a thread waits for in poll(2) or select(2).
    fn count_polled(&mut self, asked: &mut Asked, polled: Polled, watch: &BatchWatch<'_>) -> Option<()> {
        let Self { root, budget, buffer, health, .. } = self;
        if !budget.has_left() {
            return Some(());
        }
        let of = asked.question.of;
        watch.enter(of.tgid)?;
        let read = budget.spend(|| polled::read(root, of, polled, buffer, health));
        watch.leave()?;
        asked.is_confirmed = self.confirms(&asked.question, watch)?;
        asked.found = match read {
            Ok(Some(ReadSet { set, only })) if asked.is_confirmed => {
                asked.only = only;
                Found::Set(set)
            }
            Ok(Some(_)) => Found::Stale,
            Ok(None) => Found::Nowhere,
            Err(error) => Found::Failed(error),
        };
        Some(())
    }

    /// Searches for the owners of the sockets at the other ends, and answers the questions about them again.
    fn find_owners(&mut self, mut asked: Vec<Asked>, answers: &Answers, watch: &BatchWatch<'_>) -> Option<()> {
        let is_open = |asked: &Asked| asked.socket.as_ref().is_some_and(|known| known.peer == Peer::Unread);
        asked.retain(|asked| asked.other.is_some() && is_open(asked));
        if asked.is_empty() {
            return Some(());
        }
        let mut likely: Vec<u32> = asked.iter().map(|asked| asked.question.of.tgid).collect();
        likely.sort_unstable();
        likely.dedup();
        let Self { root, owners, budget, health, .. } = self;
        owners.search(root, &likely, budget, health, watch)?;
        for asked in &mut asked {
            let owner = asked.other.and_then(|(inode, namespace)| owners.of(inode, namespace));
            asked.name_owner(owner);
        }
        answers.keep(asked.iter().map(Asked::answer));
        Some(())
    }
}

impl Asked {
    /// The inode, if it is about a connected UNIX socket and the other end is wanted.
    fn inode_of_unix(&self) -> Option<u64> {
        let socket = self.socket.as_ref()?.socket;
        let is_wanted = self.question.peer != PeerWanted::No && socket.family == UNIX && socket.state == ESTABLISHED;
        self.inode().filter(|_| is_wanted)
    }
}

/// The ends, if it is about a TCP connection and the other end is wanted.
fn tcp_ends(asked: &Asked) -> Option<(std::net::SocketAddr, std::net::SocketAddr)> {
    let socket = asked.socket.as_ref()?.socket;
    let is_asked = socket.protocol == TCP && asked.question.peer == PeerWanted::All;
    socket.connection().filter(|_| is_asked)
}

/// Whether a socket in this state keeps its ends until it is closed.
fn is_for_life(socket: &Socket) -> bool {
    match (socket.family, &socket.ends) {
        (UNIX, _) => socket.state != CLOSE,
        (_, Some((_, remote))) => socket.protocol == TCP && (remote.port() != 0 || socket.state == LISTEN),
        _ => true,
    }
}

/// Whether the kernel tells of UNIX sockets.
fn is_told(diag: &UnixDiag) -> bool {
    let inode = |socket: &UnixStream| rustix::fs::fstat(socket.as_fd()).ok().map(|stat| stat.st_ino);
    UnixStream::pair().is_ok_and(|(one, other)| {
        let (one, other) = (inode(&one), inode(&other));
        other.is_some() && one.and_then(|one| diag.peer(one)) == other.map(OtherEnd::Inode)
    })
}
