//! Injected failures for psn's calls under the proc root, and a count of all calls that were made.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use psn::proc::source::Source;
use psn::proc::{Call, Fault, Faults};
use rustix::io::Errno;

/// Which calls of one kind fail.
#[derive(Debug, Clone, Copy)]
struct Rule {
    call: Call,
    source: Option<Source>,
    fault: Fault,
    /// The index of the first call that fails, from 0, and the number of calls that fail.
    from: u64,
    count: u64,
}

/// Makes calls fail, and counts all of them.
#[derive(Debug, Default)]
pub struct Script {
    rules: Vec<Rule>,
    calls: Mutex<BTreeMap<(bool, Option<Source>), u64>>,
}

impl Script {
    /// No call fails.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every call of this kind fails.
    pub fn always(self, call: Call, source: Source, fault: Fault) -> Self {
        self.times(call, Some(source), fault, 0, u64::MAX)
    }

    /// After `from` calls of this kind that succeed, `count` calls fail. Without a source, the kind is calls on directories and
    /// on files of the whole system.
    pub fn times(mut self, call: Call, source: Option<Source>, fault: Fault, from: u64, count: u64) -> Self {
        self.rules.push(Rule { call, source, fault, from, count });
        self
    }

    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }

    /// How many calls of this kind were made.
    pub fn calls(&self, call: Call, source: Option<Source>) -> u64 {
        self.calls.lock().unwrap().get(&(call == Call::Open, source)).copied().unwrap_or(0)
    }
}

impl Faults for Script {
    fn fault(&self, call: Call, source: Option<Source>) -> Option<Fault> {
        let mut calls = self.calls.lock().unwrap();
        let seen = calls.entry((call == Call::Open, source)).or_default();
        let number = *seen;
        *seen += 1;
        let rule = self.rules.iter().find(|rule| {
            rule.call == call && rule.source == source && number >= rule.from && number - rule.from < rule.count
        });
        rule.map(|rule| rule.fault)
    }
}

/// The errno name of an injected error.
pub fn errno_name(errno: Errno) -> &'static str {
    const NAMES: [(Errno, &str); 9] = [
        (Errno::ACCESS, "EACCES"),
        (Errno::PERM, "EPERM"),
        (Errno::SRCH, "ESRCH"),
        (Errno::NOENT, "ENOENT"),
        (Errno::MFILE, "EMFILE"),
        (Errno::NFILE, "ENFILE"),
        (Errno::NOMEM, "ENOMEM"),
        (Errno::IO, "EIO"),
        (Errno::INTR, "EINTR"),
    ];
    NAMES.iter().find(|(known, _)| *known == errno).unwrap_or_else(|| panic!("{errno} has no name here")).1
}
