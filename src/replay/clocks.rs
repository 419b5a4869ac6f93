//! Detects clocks that were set back during a recording.

use crate::record::{Header, TickInfo};
use crate::time::moment::{length, local};

/// The hosts whose clocks were set back.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    /// The run and the time of the last tick.
    last: Option<(String, u64)>,
    set_back: Vec<SetBack>,
}

#[derive(Debug)]
struct SetBack {
    host: String,
    /// When it was set back for the first time.
    at_ns: u64,
    /// How often.
    count: u64,
    /// By how much at most.
    most_ns: u64,
}

impl Clocks {
    /// Hosts that are kept, at most.
    const MAX: usize = 10;

    /// Compares the tick's time with that of the run's last tick.
    pub(super) fn see(&mut self, header: &Header, tick: &TickInfo) {
        match &mut self.last {
            Some((run, last)) if *run == header.run => {
                let by_ns = last.saturating_sub(tick.time_ns);
                if by_ns > 0 {
                    let at_ns = *last;
                    self.note(header, at_ns, by_ns);
                }
                if let Some((_, last)) = &mut self.last {
                    *last = tick.time_ns;
                }
            }
            _ => self.last = Some((header.run.clone(), tick.time_ns)),
        }
    }

    fn note(&mut self, header: &Header, at_ns: u64, by_ns: u64) {
        if let Some(known) = self.set_back.iter_mut().find(|known| known.host == header.host) {
            known.count += 1;
            known.most_ns = known.most_ns.max(by_ns);
        } else if self.set_back.len() < Self::MAX {
            self.set_back.push(SetBack { host: header.host.clone(), at_ns, count: 1, most_ns: by_ns });
        }
    }

    /// A warning for each host whose clock was set back.
    pub(super) fn warnings(&self) -> Vec<String> {
        let sentence = |SetBack { host, at_ns, count, most_ns }: &SetBack| {
            let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
            format!(
                "the clock of {host} was set back {times} while it was recorded, by up to {}, first at {}: the times \
                 before and after overlap",
                length(most_ns.next_multiple_of(1_000_000)),
                local(*at_ns)
            )
        };
        self.set_back.iter().map(sentence).collect()
    }
}
