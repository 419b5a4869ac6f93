//! Asleep in `read`, on one of a few empty pipes.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};

use super::behaviour::{Behaviour, Place};
use super::futex;

/// Few, so that neither RLIMIT_NOFILE nor the pipe quota limits the storm.
const PIPES: u32 = 16;

pub(super) struct Pipe {
    /// Both ends, so that a reader never sees the end of the file.
    pipes: Vec<(OwnedFd, OwnedFd)>,
}

impl Pipe {
    pub(super) fn open(count: u32) -> io::Result<Self> {
        let create = |_| Ok(pipe_with(PipeFlags::CLOEXEC)?);
        Ok(Self { pipes: (0..count.min(PIPES)).map(create).collect::<io::Result<_>>()? })
    }
}

impl Behaviour for Pipe {
    fn run(&self, place: &Place<'_>) -> ! {
        let Some((reader, _)) = place.pick(&self.pipes) else { futex::sleep() };
        loop {
            let _ = rustix::io::read(reader, &mut [0u8; 1][..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_share_few_pipes() {
        assert_eq!(Pipe::open(100).unwrap().pipes.len(), 16);
        assert_eq!(Pipe::open(3).unwrap().pipes.len(), 3);
    }
}
