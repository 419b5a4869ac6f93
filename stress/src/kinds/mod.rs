//! What the threads of each kind do, for ever: a file for each kind.

pub(crate) mod behaviour;
mod epoll;
mod fsync;
mod futex;
pub(crate) mod measured;
mod nanosleep;
mod pipe;
mod spin;
mod stopped;
mod timed;
mod vfork;

use std::io;
use std::path::Path;

use behaviour::{Behaviour, Place};

use crate::plan::kind::Kind;
use measured::MeasuredWaits;
use timed::{Lengths, SleepCall, Timed};

/// Opens what `count` threads of a kind sleep on. Files without a name go into `dir`.
fn open(kind: Kind, count: u32, dir: &Path) -> io::Result<Box<dyn Behaviour>> {
    Ok(match kind {
        Kind::Epoll => Box::new(epoll::Epoll::open(count)?),
        Kind::Nanosleep => Box::new(nanosleep::Nanosleep),
        Kind::Pipe => Box::new(pipe::Pipe::open(count)?),
        Kind::Spin => Box::new(spin::Spin),
        Kind::Vfork => Box::new(vfork::Vfork),
        Kind::Stopped => Box::new(stopped::Stopped),
        Kind::Fsync => Box::new(fsync::Fsync::open(count, dir)?),
        Kind::NapConstant => Box::new(Timed::open(SleepCall::Nap, Lengths::Constant)?),
        Kind::NapExponential => Box::new(Timed::open(SleepCall::Nap, Lengths::Exponential)?),
        Kind::NapHumps => Box::new(Timed::open(SleepCall::Nap, Lengths::TwoHumps)?),
        Kind::FutexConstant => Box::new(Timed::open(SleepCall::Futex, Lengths::Constant)?),
        Kind::FutexExponential => Box::new(Timed::open(SleepCall::Futex, Lengths::Exponential)?),
        Kind::FutexHumps => Box::new(Timed::open(SleepCall::Futex, Lengths::TwoHumps)?),
        // No mix names the last two.
        Kind::Futex | Kind::VforkChild | Kind::Harness => Box::new(futex::Futex),
    })
}

/// What the threads of every kind in a storm do.
pub(crate) struct Behaviours(Vec<(Kind, Box<dyn Behaviour>)>);

impl Behaviours {
    /// Opens what the threads of the kinds in `counts` sleep on.
    pub(crate) fn open(counts: &[(Kind, u32)], dir: &Path) -> io::Result<Self> {
        counts.iter().map(|(kind, count)| Ok((*kind, open(*kind, *count, dir)?))).collect::<io::Result<_>>().map(Self)
    }

    /// What the threads of the kinds that measure their waits have measured up to now.
    pub(crate) fn measured(&self) -> impl Iterator<Item = (Kind, MeasuredWaits)> {
        self.0.iter().filter_map(|(kind, behaviour)| Some((*kind, behaviour.measured()?)))
    }

    /// Turns the calling thread into one of this kind: names it, says that it has arrived, and does what
    /// its kind does.
    pub(crate) fn run(&self, kind: Kind, place: &Place<'_>) -> ! {
        place.names.apply(kind, place.slot);
        place.board.arrive(place.slot, kind);
        match self.0.iter().find(|(known, _)| *known == kind) {
            Some((_, behaviour)) => behaviour.run(place),
            None => futex::sleep(),
        }
    }
}
