//! psn's memory is bounded in bytes, whatever names other users give to their threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::json;

/// Threads with a new name every few milliseconds, until it is dropped.
struct Renamers {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Renamers {
    fn start(count: u64) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let thread = |number: u64| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                for name in (number..).step_by(count as usize).take_while(|_| !stop.load(Ordering::Relaxed)) {
                    std::fs::write("/proc/thread-self/comm", format!("new-{name:x}")).unwrap();
                    std::thread::sleep(Duration::from_millis(5));
                }
            })
        };
        let threads = (0..count).map(thread).collect();
        Self { stop, threads }
    }
}

impl Drop for Renamers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn names_that_change_all_the_time_are_counted_as_other_within_the_memory_allowed() {
    let _renamers = Renamers::start(150);
    let pid = std::process::id().to_string();
    let args = ["-a", "-p", &pid, "--scan", "proc", "--hz", "100", "-d", "2", "--where", "comm2 ~ ^new-"];
    let report = json::sample(&[&args[..], &["-g", "comm2", "--max-memory", "1M"]].concat());
    let samples = report.samples(&["comm2"]);
    let all: u64 = samples.values().sum();
    assert_eq!(all, report.0["coverage"]["rows"].as_u64().unwrap(), "no sample is lost");
    assert!(all >= 140 * report.completed(), "{all}");
    let other = samples["[other]"];
    assert!(samples.len() > 100 && samples.len() < 4000, "{}", samples.len());
    assert!(other > all / 10, "{other} of {all}");
    let warnings = report.0["warnings"].to_string();
    assert!(warnings.contains(&format!("their {other} samples are counted together as [other]")), "{warnings}");
}
