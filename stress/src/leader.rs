//! The leader: builds the storm, checks it, tells the truth about it, holds it and takes it down.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitOptions, WaitStatus, getpid, kill_process, set_child_subreaper, waitpid};

use crate::audit::{self, Look};
use crate::board::{Board, Cause, Failure};
use crate::children::Children;
use crate::cli::{Check, Cli};
use crate::host::limits;
use crate::kinds::Behaviours;
use crate::plan::kind::Kind;
use crate::plan::mix::MixError;
use crate::plan::rates::ChurnRates;
use crate::plan::{Plan, ProcessPlan};
use crate::report;
use crate::sys::process::{fork, tie_to};
use crate::truth::Ending;
use crate::watch::{Event, Watch};
use crate::worker;
use crate::worker::context::{self, Context};

/// How many processes are forked between two looks at signals and at the memory that is left.
const FORK_BATCH: usize = 128;

/// How long the leader waits for the child that looks at it.
const OBSERVER_TIME: Duration = Duration::from_secs(5);

/// Why a storm did not come about or did not hold.
#[derive(Debug)]
pub enum StormError {
    /// The arguments contradict each other.
    Usage(MixError),
    /// A system call failed that nothing can do without.
    Io(&'static str, io::Error),
    /// A limit was hit; the text says which, how far the storm got, and how to raise it.
    Limit(String),
    /// The storm did not come to be what it should be, or a process of it died.
    Broken(String),
    /// It was ended before it was complete.
    Ended(&'static str),
}

impl StormError {
    /// The exit status of the program.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for StormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => write!(f, "--mix: {error}"),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
            Self::Limit(text) | Self::Broken(text) => f.write_str(text),
            Self::Ended(by) => write!(f, "ended by {by} before it was complete"),
        }
    }
}

impl std::error::Error for StormError {}

/// Runs a storm from beginning to end in the calling process, which must have one thread and no
/// children: all it forks is killed and reaped, and what it writes goes to standard output.
pub fn run(cli: &Cli) -> Result<(), StormError> {
    let start = Instant::now();
    if audit::threads_of(std::process::id()).is_ok_and(|threads| threads > 1) {
        return Err(StormError::Broken("a storm cannot start in a process with threads".to_owned()));
    }
    let total = cli.threads.or_else(|| cli.mix.own_total()).unwrap_or(100);
    let counts = cli.mix.counts(total).map_err(StormError::Usage)?;
    let watch = Watch::start(cli.parent).map_err(|e| StormError::Io("cannot watch", e))?;
    set_child_subreaper(Some(getpid())).map_err(|e| StormError::Io("PR_SET_CHILD_SUBREAPER", e.into()))?;
    let churn = ChurnRates { births: cli.births, forks: cli.forks, execs: cli.execs, lifetime_ms: cli.lifetime };
    let plan = Plan::new(&counts, cli.processes, &churn);
    let dir = cli.dir.clone().unwrap_or_else(std::env::temp_dir);
    let context = context::set(Context {
        leader: getpid(),
        names: cli.names,
        board: Board::new(plan.slots()).map_err(|e| StormError::Io("shared memory", e))?,
        behaviours: Behaviours::open(&counts, &dir).map_err(|e| StormError::Io("cannot open", e))?,
        churn,
        plan,
        stacks: std::sync::OnceLock::new(),
    })
    .ok_or_else(|| StormError::Broken("a storm runs in this process already".to_owned()))?;
    let mut leader = Leader { context, watch, children: Children::default(), start };
    let result = leader.build_and_hold(cli, total);
    let gone = leader.children.end(&leader.watch);
    let ending = result?;
    if !gone {
        return Err(StormError::Broken("some processes have not ended in 60 s".to_owned()));
    }
    match print(&ending) {
        // Who would have read it is gone.
        Err(_) if ending.reason == "parent" => Ok(()),
        printed => printed,
    }
}

struct Leader {
    context: &'static Context,
    watch: Watch,
    children: Children,
    start: Instant,
}

impl Leader {
    fn build_and_hold(&mut self, cli: &Cli, total: u32) -> Result<Ending, StormError> {
        let deadline = self.start + Duration::from_secs_f64(cli.timeout);
        self.fork_all(cli.best_effort)?;
        self.await_arrivals(cli.best_effort, deadline)?;
        let full = cli.check == Check::Full;
        if full {
            // Before anything spins or comes and goes: so it is quick, and the count is exact.
            self.settle(deadline, |kind| kind != Kind::Spin)?;
            audit::recount(&self.context.board).map_err(StormError::Broken)?;
        }
        self.context.board.open_gate();
        let gate_opened = Instant::now();
        if full {
            self.settle(deadline, |kind| kind == Kind::Spin)?;
        }
        let own_look = self.look_at_self()?;
        let mut truth = report::truth(self.context, own_look, cli.list);
        truth.threads_requested = total;
        truth.limit_hit = self.context.board.failure().map(|failure| self.limit_text(failure));
        if let Some(text) = &truth.limit_hit {
            // Standard error may be closed; the text is in the ground truth too.
            let _ = writeln!(io::stderr(), "psn-storm: {text}");
        }
        truth.startup_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        print(&truth)?;
        let reason = self.hold(cli.duration.map(Duration::from_secs_f64))?;
        Ok(report::ending(self.context, reason, gate_opened.elapsed()))
    }

    /// Starts every process of the plan, or as many as can be had.
    fn fork_all(&mut self, best_effort: bool) -> Result<(), StormError> {
        let context = self.context;
        let processes = &context.plan.processes;
        for (i, process) in processes.iter().enumerate() {
            let mut forked = Err(io::ErrorKind::OutOfMemory.into());
            let mut cause = Cause::Memory;
            let look_around = i % FORK_BATCH == 0;
            if !(look_around && limits::memory_is_short()) {
                forked = fork(|| worker::run(context, process));
                cause = Cause::Fork;
            }
            match forked {
                Ok(pid) => self.children.add(pid),
                Err(error) => {
                    let missing = processes[i..].iter().map(|process| planned(context, process));
                    let errno = error.raw_os_error().unwrap_or(libc::ENOMEM);
                    context.board.give_up(missing.sum(), cause, errno);
                    return Ok(());
                }
            }
            if look_around {
                self.go_on(best_effort, Duration::ZERO)?;
            }
        }
        Ok(())
    }

    fn await_arrivals(&mut self, best_effort: bool, deadline: Instant) -> Result<(), StormError> {
        let board = &self.context.board;
        let wanted = self.context.plan.slots();
        loop {
            // In this order: a thread that gives up after it arrived was counted before.
            let here = board.absent() + board.arrived();
            self.go_on(best_effort, Duration::ZERO)?;
            if here >= wanted {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let arrived = board.arrived();
                return Err(StormError::Broken(format!(
                    "{arrived} of {wanted} threads have arrived in time; see --timeout"
                )));
            }
            self.go_on(best_effort, Duration::from_millis(5))?;
        }
    }

    /// Looks for reasons to end, for as long as `time` says.
    fn go_on(&mut self, best_effort: bool, time: Duration) -> Result<(), StormError> {
        if let (Some(failure), false) = (self.context.board.failure(), best_effort) {
            return Err(StormError::Limit(self.limit_text(failure)));
        }
        let event = self.watch.wait(Some(time));
        self.heed(event)
    }

    fn heed(&mut self, event: Option<Event>) -> Result<(), StormError> {
        match event {
            Some(Event::Child) => self.check_children(),
            Some(Event::Told(signal)) => Err(StormError::Ended(signal)),
            Some(Event::ParentEnded) => Err(StormError::Ended("its parent's end")),
            Some(Event::Readable) | None => Ok(()),
        }
    }

    fn check_children(&mut self) -> Result<(), StormError> {
        let Some((pid, status)) = self.children.reap() else {
            return Ok(());
        };
        Err(StormError::Broken(format!("process {} of the storm {}", pid.as_raw_nonzero(), end(status))))
    }

    /// Waits until the threads of some kinds are in the state they should be in.
    fn settle(&mut self, deadline: Instant, wanted: impl Fn(Kind) -> bool) -> Result<(), StormError> {
        let board = &self.context.board;
        let mut trouble = None;
        let settled = audit::settle(board, deadline, wanted, || {
            trouble = self.go_on(true, Duration::ZERO).err();
            trouble.is_some()
        });
        trouble.map_or(settled.map_err(StormError::Broken), Err)
    }

    /// How the leader looks while it holds: seen from a short-lived child while it sleeps in the very
    /// call it will hold in.
    fn look_at_self(&mut self) -> Result<Look, StormError> {
        let known = Look { state: Some('S'), syscall_nr: Some(libc::SYS_ppoll), ..Look::default() };
        let Ok((reader, writer)) = pipe_with(PipeFlags::CLOEXEC) else {
            return Ok(known);
        };
        let leader = self.context.leader;
        let observer = fork(|| {
            if tie_to(Some(leader)).is_ok() {
                let look = look_until_asleep(leader.as_raw_nonzero().get().unsigned_abs());
                let _ = rustix::io::write(&writer, &serde_json::to_vec(&look).unwrap_or_default());
            }
            0
        });
        drop(writer);
        let Ok(observer) = observer else {
            return Ok(known);
        };
        let mut event = self.watch.wait_or_readable(&reader, OBSERVER_TIME);
        if event == Some(Event::Child) {
            // Of one that has stopped, which is as it should be, or it will be noticed below.
            event = self.watch.wait_or_readable(&reader, OBSERVER_TIME);
        }
        let mut seen = Vec::new();
        if event == Some(Event::Readable) {
            let _ = std::fs::File::from(reader).read_to_end(&mut seen);
        }
        let _ = kill_process(observer, Signal::KILL);
        let _ = waitpid(Some(observer), WaitOptions::empty());
        self.heed(event)?;
        Ok(match serde_json::from_slice::<Look>(&seen) {
            // Where the kernel does not let a child look at its parent, what is known must do.
            Ok(look) if look.state == known.state => Look { syscall_nr: look.syscall_nr.or(known.syscall_nr), ..look },
            _ => known,
        })
    }

    /// Sleeps until it is time to end, and says why it is.
    fn hold(&mut self, duration: Option<Duration>) -> Result<&'static str, StormError> {
        let start = Instant::now();
        loop {
            let left = duration.map(|duration| duration.saturating_sub(start.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok("duration");
            }
            match self.watch.wait(left) {
                Some(Event::Told(signal)) => return Ok(signal),
                Some(Event::ParentEnded) => return Ok("parent"),
                Some(Event::Child) => self.check_children()?,
                Some(Event::Readable) | None => {}
            }
        }
    }

    /// Says which limit was hit, how far the storm got, and how to raise it.
    fn limit_text(&self, failure: Failure) -> String {
        let wanted = self.context.plan.slots();
        let what = match failure.cause {
            Cause::Fork => "a process could not be forked",
            Cause::Thread => "a thread could not be started",
            Cause::Stacks => "address space for stacks could not be had",
            Cause::Memory => "memory is short",
            Cause::Vfork => "a vfork child could not be started",
        };
        let error = io::Error::from_raw_os_error(failure.errno);
        let mut text =
            format!("{} of {wanted} threads have been started, then {what} ({error}): ", self.context.board.arrived());
        let limits = limits::limits(failure.pid);
        let mut spaces = Vec::new();
        if failure.cause == Cause::Stacks {
            // The stacks come in one piece: what is too small for them need not be nearly full.
            spaces = limits::address_space(failure.pid);
        }
        if let Some(limit) = spaces.first().or_else(|| limits::nearest(&limits)) {
            text += &format!(
                "{} is {} and {} are in use; to raise it: {}",
                limit.name,
                limit.value,
                limit.in_use.unwrap_or(0),
                limit.raise
            );
        } else {
            text += "no limit that is known seems reached:";
            for limit in &limits {
                let in_use = limit.in_use.map_or("?".to_owned(), |in_use| in_use.to_string());
                text += &format!(" {} {in_use} of {};", limit.name, limit.value);
            }
        }
        text
    }
}

/// How many slots a process fills when it is complete.
fn planned(context: &Context, process: &ProcessPlan) -> usize {
    let vforks = context.plan.vforks_in(&process.slots);
    process.slots.len() + vforks + usize::from(process.churner.is_some())
}

/// Two equal looks in a row are of one sleep, not of the way into it.
fn look_until_asleep(pid: u32) -> Look {
    let mut look = audit::look(pid, pid);
    for _ in 0..200 {
        crate::sys::nap(Duration::from_millis(2));
        let last = std::mem::replace(&mut look, audit::look(pid, pid));
        if last == look && look.state == Kind::Futex.settled_state() {
            break;
        }
    }
    look
}

fn end(status: WaitStatus) -> String {
    match (status.terminating_signal(), status.exit_status()) {
        (Some(9), _) => "was killed by SIGKILL, perhaps for want of memory".to_owned(),
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(code)) => format!("exited with status {code}"),
        (None, None) => "ended".to_owned(),
    }
}

fn print(value: &impl serde::Serialize) -> Result<(), StormError> {
    let failed = |error| StormError::Io("standard output", error);
    let mut line = serde_json::to_vec(value).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line).and_then(|()| stdout.flush()).map_err(failed)
}
