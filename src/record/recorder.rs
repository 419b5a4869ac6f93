//! Hands completed ticks to a writer thread, and never waits for it.
//!
//! The queue is bounded in ticks and in bytes. If the disk is too slow, whole ticks are dropped and counted, and the ticks
//! that follow store the count: a tick is recorded with all its rows or not at all.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use super::{RecordError, Sink, TickInfo};
use crate::report::Facts;
use crate::row::rows::{Rows, SpareRows};

/// The most ticks in the queue.
const QUEUED_TICKS: usize = 4096;

/// The most bytes that the rows in the queue may take.
const QUEUED_BYTES: usize = 64 << 20;

/// How long the writer sleeps while ticks gather: waking it for each tick would cost more than writing the tick.
const PAUSE: Duration = Duration::from_millis(100);

/// If the writer has just written this many bytes, it does not sleep.
const MANY_BYTES: usize = QUEUED_BYTES / 16;

/// What was handed to the writer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Ticks.
    pub ticks: u64,
    /// Rows in them.
    pub rows: u64,
    /// Ticks that were dropped because the disk was too slow or they were too large.
    pub lost: u64,
}

enum Message {
    Tick(Box<TickInfo>, Vec<Rows>),
    Finish(Option<Box<Facts>>),
}

/// Sends the ticks of a run to its writer thread.
#[derive(Debug)]
pub struct Recorder {
    sender: Sender<Message>,
    writer: Option<JoinHandle<Result<(), RecordError>>>,
    queued_bytes: Arc<AtomicUsize>,
    has_failed: Arc<AtomicBool>,
    written: Written,
    spare: SpareRows,
}

impl Recorder {
    /// Starts the writer thread, which flushes `sink` every `flush`.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(sink: Box<dyn Sink>, flush: Duration) -> io::Result<Self> {
        let (sender, receiver) = bounded(QUEUED_TICKS);
        let queued_bytes = Arc::<AtomicUsize>::default();
        let has_failed = Arc::<AtomicBool>::default();
        let spare = SpareRows::default();
        let writer = Writer {
            sink,
            receiver,
            flush,
            queued_bytes: Arc::clone(&queued_bytes),
            has_failed: Arc::clone(&has_failed),
            spare: spare.clone(),
        };
        let writer = std::thread::Builder::new().name("psn-writer".to_owned()).spawn(move || writer.run())?;
        Ok(Self { sender, writer: Some(writer), queued_bytes, has_failed, written: Written::default(), spare })
    }

    /// Queues a completed tick; drops and counts it if the queue is full.
    pub fn tick(&mut self, mut tick: TickInfo, rows: Vec<Rows>) {
        let (count, bytes) = rows.iter().fold((0, 0), |(count, bytes), rows| (count + rows.len(), bytes + rows.size()));
        tick.lost = self.written.lost;
        let fits = self.queued_bytes.load(Ordering::Relaxed).saturating_add(bytes) <= QUEUED_BYTES;
        // A tick larger than the whole queue is accepted if the queue is empty.
        if !fits && self.queued_bytes.load(Ordering::Relaxed) > 0 {
            self.written.lost += 1;
            return;
        }
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.sender.try_send(Message::Tick(Box::new(tick), rows)).is_err() {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.written.lost += 1;
        } else {
            self.written.ticks += 1;
            self.written.rows += count as u64;
        }
    }

    /// Counts a completed tick that is not recorded.
    pub const fn leave_out(&mut self) {
        self.written.lost += 1;
    }

    /// The buffers of rows that have been written, for reuse.
    #[must_use]
    pub fn spare_rows(&self) -> SpareRows {
        self.spare.clone()
    }

    /// Whether the writer has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Ticks dropped so far.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.written.lost
    }

    /// Ends the recording with the facts of the report, and waits for the writer as long as `is_patient` holds.
    ///
    /// # Errors
    /// If not everything could be written.
    pub fn finish(mut self, facts: Option<Facts>, is_patient: &dyn Fn() -> bool) -> Result<Written, RecordError> {
        let mut message = Message::Finish(facts.map(Box::new));
        while let Err(error) = self.sender.send_timeout(message, Duration::from_millis(50)) {
            if error.is_disconnected() {
                break;
            }
            if !is_patient() {
                return Err(RecordError::TooSlow);
            }
            message = error.into_inner();
        }
        let Some(writer) = self.writer.take() else { return Ok(self.written) };
        while !writer.is_finished() {
            if !is_patient() {
                return Err(RecordError::TooSlow);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        match writer.join() {
            Ok(result) => result.map(|()| self.written),
            Err(_) => Err(RecordError::WriterPanicked),
        }
    }
}

struct Writer {
    sink: Box<dyn Sink>,
    receiver: Receiver<Message>,
    flush: Duration,
    queued_bytes: Arc<AtomicUsize>,
    has_failed: Arc<AtomicBool>,
    spare: SpareRows,
}

impl Writer {
    fn run(mut self) -> Result<(), RecordError> {
        let result = self.write();
        if result.is_err() {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Writes until the recording is finished, or until its [`Recorder`] is dropped.
    fn write(&mut self) -> Result<(), RecordError> {
        let mut unflushed: Option<Instant> = None;
        loop {
            let wait = unflushed.map_or(Duration::from_secs(3600), |since| self.flush.saturating_sub(since.elapsed()));
            let mut message = match self.receiver.recv_timeout(wait) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => {
                    self.flush_if_due(&mut unflushed)?;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return self.sink.finish(None),
            };
            let mut written = 0;
            loop {
                match message {
                    Message::Tick(tick, mut rows) => {
                        unflushed.get_or_insert_with(Instant::now);
                        let bytes: usize = rows.iter().map(Rows::size).sum();
                        self.sink.add(&tick, &mut rows)?;
                        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                        written += bytes;
                        self.spare.give(rows);
                    }
                    Message::Finish(facts) => return self.sink.finish(facts.as_deref()),
                }
                self.flush_if_due(&mut unflushed)?;
                message = match self.receiver.try_recv() {
                    Ok(message) => message,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return self.sink.finish(None),
                };
            }
            if written < MANY_BYTES {
                std::thread::sleep(PAUSE.min(self.flush));
            }
        }
    }

    /// Flushes if the oldest unflushed tick is old enough.
    fn flush_if_due(&mut self, unflushed: &mut Option<Instant>) -> Result<(), RecordError> {
        if unflushed.is_some_and(|since| since.elapsed() >= self.flush) {
            self.sink.flush()?;
            *unflushed = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::row::observation::Value;

    /// A sink that waits at each tick until it may go on.
    struct Slow {
        ticks: Given,
        go: Receiver<()>,
        fails: bool,
    }

    impl Sink for Slow {
        fn add(&mut self, tick: &TickInfo, rows: &mut Vec<Rows>) -> Result<(), RecordError> {
            let _ = self.go.recv();
            if self.fails {
                return Err(RecordError::Stopped);
            }
            let rows = rows.iter().map(Rows::len).sum::<usize>() as u64;
            self.ticks.lock().unwrap().push((tick.due, tick.lost * 1000 + rows));
            Ok(())
        }
        fn flush(&mut self) -> Result<(), RecordError> {
            Ok(())
        }
        fn finish(&mut self, facts: Option<&Facts>) -> Result<(), RecordError> {
            self.ticks.lock().unwrap().push((0, facts.is_some().into()));
            Ok(())
        }
    }

    /// What the sink was given: of each tick, when it was due, and 1000 times the ticks dropped so far plus its rows.
    type Given = Arc<Mutex<Vec<(u64, u64)>>>;

    fn slow(fails: bool) -> (Recorder, Sender<()>, Given) {
        let (sender, go) = bounded(1 << 20);
        let ticks = Given::default();
        let sink = Slow { ticks: Arc::clone(&ticks), go, fails };
        (Recorder::start(Box::new(sink), Duration::from_secs(1)).unwrap(), sender, ticks)
    }

    fn tick(due: u64) -> TickInfo {
        TickInfo { due, ..TickInfo::default() }
    }

    fn rows(count: usize) -> Vec<Rows> {
        let mut rows = Rows::new(1);
        (0..count).for_each(|number| rows.push(Value::Number(number as i128)));
        vec![rows]
    }

    #[test]
    fn a_slow_disk_loses_whole_ticks_and_says_which() {
        let (mut recorder, go, ticks) = slow(false);
        let large = QUEUED_BYTES / size_of::<[u64; 2]>() / 2 + 1;
        for due in 1..=4 {
            recorder.tick(tick(due), rows(large));
        }
        assert!(recorder.lost() >= 2, "no queue holds them all");
        let lost = recorder.lost();
        (0..10).for_each(|_| go.send(()).unwrap());
        until(|| recorder.queued_bytes.load(Ordering::Relaxed) == 0);
        recorder.tick(tick(5), rows(1));
        let written = recorder.finish(Some(Facts::default()), &|| true).unwrap();
        assert_eq!((written.ticks + written.lost, written.lost), (5, lost));
        let ticks = ticks.lock().unwrap();
        assert_eq!(ticks[ticks.len() - 2], (5, lost * 1000 + 1), "{ticks:?}");
        assert_eq!(ticks[ticks.len() - 1], (0, 1));
    }

    fn until(is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_full_disk_is_told_at_the_end_and_holds_nobody_up() {
        let (mut recorder, go, _) = slow(true);
        recorder.tick(tick(1), rows(1));
        go.send(()).unwrap();
        until(|| recorder.has_failed());
        (2..10).for_each(|due| recorder.tick(tick(due), rows(1)));
        assert!(matches!(recorder.finish(None, &|| true), Err(RecordError::Stopped)));
    }

    #[test]
    fn a_disk_that_hangs_is_not_waited_for_for_ever() {
        let (mut recorder, _go, _) = slow(false);
        recorder.tick(tick(1), rows(1));
        let begin = Instant::now();
        let result = recorder.finish(None, &|| begin.elapsed() < Duration::from_millis(20));
        assert!(result.unwrap_err().to_string().contains("did not take all of it in time"));
    }

    #[test]
    fn a_recorder_that_is_dropped_ends_its_recording() {
        let (recorder, _go, ticks) = slow(false);
        drop(recorder);
        until(|| !ticks.lock().unwrap().is_empty());
        assert_eq!(*ticks.lock().unwrap(), [(0, 0)]);
    }
}
