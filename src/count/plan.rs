//! What counting needs of a plan, and the memory that a group takes under it.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::ask::plan::{Aggregate, Collected, Measure, Plan, SINCE};
use crate::count::accumulator::Accumulator;
use crate::count::batches::Batches;
use crate::count::group::{Group, LocalGroup};
use crate::count::intern::{InternedValue, Key};
use crate::row::memory::{allocation, report_row, table_entry};
use crate::row::value::{Mark, Value};

/// The parts of a plan that counting needs; shared by the aggregator and all folds.
#[derive(Debug, Clone)]
pub(super) struct CountPlan {
    /// For each dimension, the index of its column in an observation.
    pub(super) dimensions: Vec<usize>,
    pub(super) measures: Vec<Measure>,
    /// Whether one of them is of ages.
    pub(super) has_ages: bool,
    /// The index of the column that tells when a wait began.
    pub(super) since: Option<usize>,
    /// Values of an observation.
    pub(super) columns: usize,
    pub(super) collected: Collected,
    /// Hashes the groups that are not kept, so that their number can be estimated.
    hasher: foldhash::quality::RandomState,
    /// Bytes of a group in the aggregator, without tables of values.
    pub(super) group_bytes: usize,
    /// Bytes of its row in the report.
    pub(super) row_bytes: usize,
    /// Bytes of a group in a fold.
    pub(super) local_bytes: usize,
}

impl CountPlan {
    pub(super) fn new(plan: &Plan) -> Self {
        let key = allocation(plan.dimensions.len() * size_of::<InternedValue>() + 2 * size_of::<usize>());
        let beside: usize = plan.measures.iter().map(|measure| Accumulator::cost(measure.aggregate)).sum();
        let accumulators = allocation(plan.measures.len() * size_of::<Accumulator>()) + beside;
        let batches = allocation(Batches::KEPT * size_of::<u64>());
        Self {
            dimensions: plan.dimensions.clone(),
            measures: plan.measures.clone(),
            has_ages: plan.measures.iter().any(|measure| measure.aggregate == Aggregate::Ages),
            since: plan.columns.iter().position(|column| column.name == SINCE),
            columns: plan.columns.len(),
            collected: plan.collected,
            hasher: foldhash::quality::RandomState::default(),
            group_bytes: table_entry(size_of::<(Key, Group)>()) + key + accumulators + batches,
            row_bytes: report_row(plan.selected.len(), plan.dimensions.len()),
            local_bytes: table_entry(size_of::<(Key, usize)>())
                + 2 * (size_of::<LocalGroup>() + size_of::<usize>())
                + key
                + accumulators,
        }
    }

    /// The key of the group `[other]`.
    pub(super) fn other(&self) -> Key {
        self.dimensions.iter().map(|_| InternedValue::Mark(Mark::Other)).collect::<Arc<[_]>>()
    }

    /// A hash of a group's values. Every worker computes the same one for equal values.
    pub(super) fn hash<'a>(&self, values: impl Iterator<Item = Value<'a>>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        values.for_each(|value| value.hash(&mut hasher));
        hasher.finish()
    }

    pub(super) fn accumulators(&self) -> Box<[Accumulator]> {
        self.measures.iter().map(|measure| Accumulator::new(measure.aggregate)).collect()
    }
}
