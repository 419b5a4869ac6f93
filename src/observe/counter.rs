//! Makes the row of a thread, filters it, and counts it.

use std::ops::Range;
use std::sync::Arc;

use super::contents::FileContents;
use super::coverage::Coverage;
use super::deferred::DeferredRows;
use super::extract::extract_mapping;
use super::plan::ObservePlan;
use super::reader::ThreadReader;
use super::thread::Thread;
use super::tick::TickTime;
use crate::count::Fold;
use crate::proc::parse::smaps::mappings;
use crate::proc::source::{Source, SourceSet};
use crate::row::last::LastValues;
use crate::row::observation::{Mark, Observation};
use crate::tasks::facts::SideReaders;

/// The counts of one worker, and the row that is being made.
#[derive(Debug)]
pub(crate) struct Counter {
    /// The counts by group.
    pub(crate) fold: Fold,
    /// How many rows lack a value, and why.
    pub(crate) coverage: Coverage,
    /// Rows that are counted at the end of the pass, complete up to the facts of their processes.
    pub(super) deferred: DeferredRows,
    /// The same, complete up to the descriptors that their threads wait on.
    pub(super) deferred_waits: DeferredRows,
    pub(super) row: Observation,
}

impl Counter {
    pub(super) fn new(plan: &ObservePlan, fold: Fold) -> Self {
        Self {
            fold,
            coverage: Coverage::default(),
            deferred: DeferredRows::new(plan.fact_slots().start),
            deferred_waits: DeferredRows::new(plan.descriptor_slots().start),
            row: Observation::default(),
        }
    }

    /// Drops the rows that are to be counted at the end of the pass.
    pub(crate) fn drop_deferred(&mut self) {
        self.deferred.clear();
        self.deferred_waits.clear();
    }

    /// Whether rows are to be counted at the end of the pass.
    #[must_use]
    pub(crate) const fn has_deferred(&self) -> bool {
        !self.deferred.is_empty() || !self.deferred_waits.is_empty()
    }

    /// Whether a row waits for what it asks of its own wait.
    #[must_use]
    pub(crate) fn waits_for_lookups(&self) -> bool {
        self.deferred.wait_for_lookups() || self.deferred_waits.wait_for_lookups()
    }

    /// The side readers that rows wait for facts from.
    #[must_use]
    pub(crate) fn readers(&self) -> Option<&Arc<SideReaders>> {
        self.deferred.readers().or_else(|| self.deferred_waits.readers())
    }

    /// Whether a row waits for mappings.
    #[must_use]
    pub(crate) fn waits_for_mappings(&self) -> bool {
        self.deferred.wait_for_mappings() || self.deferred_waits.wait_for_mappings()
    }

    /// Begins the row of a thread, with the values that need no detail file. False if a filter rejects it.
    pub(super) fn begin(&mut self, plan: &ObservePlan, reader: &mut ThreadReader, thread: &Thread<'_>) -> bool {
        self.row.clear();
        self.row.tid = thread.tid;
        self.row.tgid = thread.tgid;
        self.row.starttime_ticks = thread.starttime_ticks;
        self.row.state = thread.state;
        self.fill(plan, reader, thread, plan.cheap_slots())
    }

    /// Fills the slots of the row. False if a filter rejects it.
    pub(super) fn fill(
        &mut self,
        plan: &ObservePlan,
        reader: &mut ThreadReader,
        thread: &Thread<'_>,
        slots: Range<usize>,
    ) -> bool {
        let passes = slots.into_iter().all(|slot| match plan.run.columns.get(slot) {
            Some(column) => {
                plan.extractor.extract(column, thread, &reader.contents, &mut self.row);
                if self.row.has_mark(slot, Mark::Malformed) {
                    // A column about the descriptor is malformed if the system call is.
                    let source = if column.source == Source::Fd { Source::Syscall } else { column.source };
                    reader.note_malformed(source);
                }
                let holds = plan.run.may_hold(&self.row, slot);
                self.coverage.refused += u64::from(!holds && self.row.has_mark(slot, Mark::Denied));
                holds
            }
            None => true,
        });
        self.coverage.rejected += u64::from(!passes);
        passes
    }

    /// Counts the row, which is complete but for the columns about mappings.
    pub(super) fn count(
        &mut self,
        plan: &ObservePlan,
        contents: &mut FileContents,
        last: &mut LastValues,
        at: TickTime,
    ) {
        self.coverage.rows += 1;
        self.count_refusals(plan);
        if plan.mapping_columns().is_empty() {
            self.fold.add(&self.row, at.tick, last);
        } else {
            self.count_mappings(plan, contents, last, at);
        }
    }

    /// Counts the row for each source whose refusal it shows.
    fn count_refusals(&mut self, plan: &ObservePlan) {
        let mut counted = SourceSet::default();
        for (slot, column) in plan.run.columns.iter().enumerate() {
            if self.row.has_mark(slot, Mark::Denied) && !counted.contains(column.source) {
                counted.insert(column.source);
                self.coverage.denied[column.source] += 1;
            }
        }
    }

    /// Counts one observation for each mapping, and one with a mark if some or all mappings are not known.
    fn count_mappings(&mut self, plan: &ObservePlan, contents: &mut FileContents, last: &mut LastValues, at: TickTime) {
        let missing = match &contents.mappings {
            Ok(mappings) => mappings.is_cut.then_some(Mark::Dropped),
            Err(mark) => Some(*mark),
        };
        match missing {
            Some(mark) => contents.set(Source::Smaps, Err(mark)),
            None => contents.store(Source::Smaps, &[]),
        }
        if missing == Some(Mark::Denied) {
            self.coverage.denied[Source::Smaps] += 1;
        }
        let contents = &*contents;
        let text = contents.mappings.as_ref().map_or(&[][..], |mappings| &mappings.text);
        let columns = plan.mapping_columns();
        let first_slot = plan.fact_slots().end;
        let mut has_any = false;
        for mapping in mappings(text).map(Some).chain(std::iter::once(None)) {
            if mapping.is_none() && has_any && missing.is_none() {
                break;
            }
            has_any = true;
            self.row.truncate(first_slot);
            let row = &mut self.row;
            let passes = (first_slot..).zip(columns).all(|(slot, column)| {
                extract_mapping(column, mapping, contents, row);
                plan.run.may_hold(row, slot)
            });
            if passes {
                self.fold.add(row, at.tick, last);
            }
        }
    }
}
