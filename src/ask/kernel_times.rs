//! Which times the kernel records. /proc shows those that it does not record as 0, which would look like a measurement.

use crate::ask::column::{Column, Extract};
use crate::ask::registry::COLUMNS;
use crate::proc::parse::stat::field;
use crate::proc::parse::{schedstat, trim};
use crate::proc::{Buffer, ProcRoot};

/// Which times the kernel records. Times of which psn cannot find out are taken to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelTimes {
    /// How long threads wait for block I/O (`kernel.task_delayacct`, off by default since Linux 5.14).
    pub delays: bool,
    /// How long threads run and wait for a CPU. A kernel without `CONFIG_SCHEDSTATS` records these only if it records
    /// `delays`.
    pub sched: bool,
}

impl Default for KernelTimes {
    fn default() -> Self {
        Self { delays: true, sched: true }
    }
}

impl KernelTimes {
    /// The times that the kernel behind `root` records.
    #[must_use]
    pub fn by(root: &ProcRoot) -> Self {
        let mut buffer = Buffer::default();
        let delays = root.read_host(c"sys/kernel/task_delayacct", &mut buffer).ok().map(trim) != Some(b"0");
        // psn itself has run, so its own times are 0 only if the kernel does not record them.
        let own = root.read_host(c"self/schedstat", &mut buffer).ok().and_then(|text| schedstat::parse(text).ok());
        let sched = own.is_none_or(|times| (times.run_ns, times.wait_ns, times.timeslices) != (0, 0, 0));
        Self { delays, sched }
    }

    /// Whether the kernel records the times of `column`; true for a column that is not such a time.
    #[must_use]
    pub(crate) const fn covers(self, column: &Column) -> bool {
        match column.extract {
            Extract::StatNumber(field::DELAYACCT_BLKIO_TICKS) => self.delays,
            Extract::RunNs | Extract::WaitNs => self.sched,
            _ => true,
        }
    }

    /// The names of the columns whose times the kernel does not record.
    pub(crate) fn lacks(self) -> impl Iterator<Item = &'static str> {
        COLUMNS.iter().filter(move |column| !self.covers(column)).map(|column| column.name)
    }

    /// The warning if `columns` contains times that the kernel does not record, with how to have them recorded.
    #[must_use]
    pub(crate) fn warning(self, columns: &[&'static Column]) -> Option<String> {
        let is_asked = |extract: Extract| columns.iter().any(|column| column.extract == extract);
        if !self.delays && is_asked(Extract::StatNumber(field::DELAYACCT_BLKIO_TICKS)) {
            return Some(
                "delayacct_blkio_ticks is [unsupported]: the kernel does not record it; sysctl kernel.task_delayacct=1 \
                 makes it do so for threads that start afterwards"
                    .to_owned(),
            );
        }
        if !self.sched && (is_asked(Extract::RunNs) || is_asked(Extract::WaitNs)) {
            return Some(
                "sched_run_ns and sched_wait_ns are [unsupported]: this kernel records them only with \
                 sysctl kernel.task_delayacct=1"
                    .to_owned(),
            );
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_unrecorded_times_are_listed() {
        let off = KernelTimes { delays: false, ..KernelTimes::default() };
        let lacks = |measured: KernelTimes| measured.lacks().collect::<Vec<_>>().join(" ");
        assert_eq!(lacks(KernelTimes::default()), "");
        assert_eq!(lacks(off), "delayacct_blkio_ticks");
        let columns = |names: &[&str]| names.iter().filter_map(|name| Column::find(name)).collect::<Vec<_>>();
        assert!(off.warning(&columns(&["comm", "delayacct_blkio_ticks"])).unwrap().contains("kernel.task_delayacct=1"));
        assert_eq!(off.warning(&columns(&["comm", "sched_run_ns"])), None);
        let none = KernelTimes { delays: false, sched: false };
        assert!(none.warning(&columns(&["sched_wait_ns"])).unwrap().contains("sched_run_ns"));
    }
}
