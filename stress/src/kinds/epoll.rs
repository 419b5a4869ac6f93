//! Asleep in `epoll_pwait`, on one of a few epoll instances that watch nothing.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::event::epoll;

use super::behaviour::{Behaviour, Place};
use super::futex;

/// Few, so that RLIMIT_NOFILE does not limit the storm.
const INSTANCES: u32 = 16;

pub(super) struct Epoll {
    instances: Vec<OwnedFd>,
}

impl Epoll {
    pub(super) fn open(count: u32) -> io::Result<Self> {
        let create = |_| Ok(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        Ok(Self { instances: (0..count.min(INSTANCES)).map(create).collect::<io::Result<_>>()? })
    }
}

impl Behaviour for Epoll {
    fn run(&self, place: &Place<'_>) -> ! {
        let Some(instance) = place.pick(&self.instances) else { futex::sleep() };
        loop {
            let mut events = [MaybeUninit::<epoll::Event>::uninit()];
            let _ = epoll::wait(instance, &mut events[..], None);
        }
    }
}
