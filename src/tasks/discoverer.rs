//! The discovery thread.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::proc::ReadError;
use crate::proc::health::Health;
use crate::tasks::discover::{Discovered, Discovery};
use crate::time::clock::monotonic_ns;

/// A refresh that takes longer may be stuck: the report says that the task list is old.
const STUCK: Duration = Duration::from_secs(2);

/// The coordinator's handle of the discovery thread.
pub struct Discoverer {
    sets: Receiver<Result<Discovered, ReadError>>,
    health: Arc<Mutex<Health>>,
    /// Closing this channel ends the thread.
    _stop: Sender<()>,
    tick: Arc<AtomicU32>,
    /// When the current refresh began; 0 between refreshes.
    busy_ns: Arc<AtomicU64>,
}

impl Discoverer {
    /// Starts the thread. It is never joined, because it may be stuck in the kernel.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(mut discovery: Discovery) -> std::io::Result<Self> {
        let (set_sender, sets) = bounded(1);
        let health = Arc::<Mutex<Health>>::default();
        let account = Arc::clone(&health);
        let (stop, stopped) = bounded::<()>(0);
        let tick = Arc::new(AtomicU32::new(0));
        let sampler_tick = Arc::clone(&tick);
        let busy_ns = Arc::new(AtomicU64::new(0));
        let busy = Arc::clone(&busy_ns);
        std::thread::Builder::new().name("psn-discover".to_owned()).spawn(move || {
            loop {
                let started = monotonic_ns();
                busy.store(started, Ordering::Relaxed);
                let found = discovery.refresh(sampler_tick.load(Ordering::Relaxed)).transpose();
                account.lock().unwrap_or_else(PoisonError::into_inner).take(&mut discovery.take_health());
                busy.store(0, Ordering::Relaxed);
                if let Some(found) = found
                    && !deliver(&set_sender, &stopped, found)
                {
                    return;
                }
                let spent = Duration::from_nanos(monotonic_ns().saturating_sub(started));
                match stopped.recv_timeout(discovery.pause_after(spent)) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return,
                }
            }
        })?;
        Ok(Self { sets, health, _stop: stop, tick, busy_ns })
    }

    /// How old the task list is at least, if the thread seems to be stuck.
    #[must_use]
    pub(crate) fn stuck_since(&self) -> Option<Duration> {
        let began = self.busy_ns.load(Ordering::Relaxed);
        let since = Duration::from_nanos(monotonic_ns().saturating_sub(began));
        (began != 0 && since > STUCK).then_some(since)
    }

    /// The newest task set, if one was made since the last call. `tick` is the sampler's.
    #[must_use]
    pub(crate) fn newest(&self, tick: u32) -> Option<Result<Discovered, ReadError>> {
        self.tick.store(tick, Ordering::Relaxed);
        self.sets.try_recv().ok()
    }

    /// Waits for a task set, at most for `patience`.
    #[must_use]
    pub fn wait(&self, patience: Duration) -> Option<Result<Discovered, ReadError>> {
        self.sets.recv_timeout(patience).ok()
    }

    /// Takes the account of the reads since the last call.
    #[must_use]
    pub fn take_health(&self) -> Health {
        std::mem::take(&mut *self.health.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Sends a new set; false when the coordinator has ended.
fn deliver(
    sets: &Sender<Result<Discovered, ReadError>>,
    stopped: &Receiver<()>,
    found: Result<Discovered, ReadError>,
) -> bool {
    match sets.try_send(found) {
        Ok(()) => true,
        Err(TrySendError::Disconnected(_)) => false,
        // The coordinator is in a long pass: wait until it has fetched the set before this one.
        Err(TrySendError::Full(found)) => crossbeam_channel::select! {
            send(sets, found) -> sent => sent.is_ok(),
            recv(stopped) -> _ => false,
        },
    }
}
