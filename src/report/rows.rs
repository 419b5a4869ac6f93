//! From the counts of groups to rows in order.

use std::cmp::Ordering;

use crate::ask::plan::{Aggregate, Plan, SortKey, Statistic};
use crate::count::intern::{InternedValue, Interner};
use crate::count::latency::{CLOCK_ERROR_NS, Claim, Pace, UnseenAges, WaitEstimates, estimate};
use crate::count::{Accumulator, Aggregator, Group};
use crate::report::facts::Facts;
use crate::report::row::{Datum, Row};
use crate::row::bounds::Bounds;
use crate::row::memory::FIXED_STATISTICS;
use crate::row::value::{Mark, OwnedValue};

/// The rows of all groups, in order.
pub(super) fn rows(plan: &Plan, aggregator: &Aggregator, facts: &Facts) -> Vec<Row> {
    let ticks = u32::try_from(facts.ticks.completed).unwrap_or(u32::MAX);
    let sampled = aggregator.ticks();
    let interner = aggregator.interner();
    let mut rows: Vec<Row> = Vec::with_capacity(aggregator.len());
    aggregator.each_group(|key, group| {
        let latency = sampled.as_ref().and_then(|(pace, unseen)| latency(plan, group, *pace, unseen));
        rows.push(row(plan, key, group, ticks, latency, interner));
    });
    mark_unmeasured(&mut rows, plan, &facts.unmeasured);
    sort(&mut rows, plan);
    rows
}

const NONE: Datum = Datum::Value(OwnedValue::Mark(Mark::None));

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn row(
    plan: &Plan,
    key: &[InternedValue],
    group: &Group,
    ticks: u32,
    latency: Option<WaitEstimates>,
    interner: &Interner,
) -> Row {
    let samples = group.samples();
    let average = if ticks == 0 { 0.0 } else { samples as f64 / f64::from(ticks) };
    let fixed: [Datum; FIXED_STATISTICS] = [samples.into(), average.into()];
    let selected = plan.selected.iter().map(|selected| match selected.statistic {
        Statistic::MaxThreads => group.max_threads().into(),
        Statistic::Ci95 => group.ci95(ticks).map_or(NONE, Datum::Decimal),
        Statistic::Measure(index) => measure(plan, index, group, interner),
        Statistic::Latency { what, is_interval, .. } => {
            latency.map_or(NONE, |latency| claimed(latency.claim(what), is_interval))
        }
    });
    Row {
        statistics: fixed.into_iter().chain(selected).collect(),
        group: key.iter().map(|value| interner.owned(*value)).collect(),
        bounds: bounds(group),
    }
}

/// What the ages of a group's waits tell; `None` if they are not wanted, there are none, or some are missing.
fn latency(plan: &Plan, group: &Group, pace: Pace, unseen: &UnseenAges) -> Option<WaitEstimates> {
    let measure = plan.selected.iter().find_map(|selected| match selected.statistic {
        Statistic::Latency { measure, .. } => Some(measure),
        _ => None,
    })?;
    match group.accumulators.get(measure)? {
        Accumulator::Ages(ages) => estimate(ages.complete()?, pace, unseen, CLOCK_ERROR_NS),
        _ => None,
    }
}

/// Which bounds are among the ages of a group's waits.
fn bounds(group: &Group) -> Bounds {
    let found = group.accumulators.iter().find_map(|accumulator| match accumulator {
        Accumulator::Bounds(bounds) => Some(*bounds),
        _ => None,
    });
    found.unwrap_or_default()
}

/// A claim, or half the width of its interval; `-` where there is none.
fn claimed(claim: Claim, is_interval: bool) -> Datum {
    claim.map_or(NONE, |found| Datum::Decimal(if is_interval { (found.high - found.low) / 2.0 } else { found.value }))
}

#[expect(clippy::cast_precision_loss, reason = "an average is shown with two decimals")]
fn measure(plan: &Plan, index: usize, group: &Group, interner: &Interner) -> Datum {
    let (Some(measure), Some(accumulator)) = (plan.measures.get(index), group.accumulators.get(index)) else {
        return NONE;
    };
    let Some(column) = plan.columns.get(measure.slot) else { return NONE };
    match accumulator {
        Accumulator::Max(None) | Accumulator::Sum { count: 0, .. } | Accumulator::Example(None) => NONE,
        Accumulator::Overflow => OwnedValue::Mark(Mark::Overflow).into(),
        Accumulator::Max(Some(max)) => OwnedValue::Number(*max).into(),
        Accumulator::Sum { sum, count } if measure.aggregate == Aggregate::Avg => {
            (*sum as f64 / *count as f64 / f64::from(column.divisor)).into()
        }
        Accumulator::Sum { sum, .. } => OwnedValue::Number(*sum).into(),
        Accumulator::Example(Some((_, _, value))) => interner.owned(*value).into(),
        Accumulator::Quantiles(quantiles) => match (measure.aggregate, quantiles.is_incomplete()) {
            (Aggregate::Percentile(percent), false) => {
                quantiles.percentile(percent).map_or(NONE, |number| OwnedValue::Number(number).into())
            }
            _ => OwnedValue::Mark(Mark::Other).into(),
        },
        // These are shown as estimates, and as signs before ages.
        Accumulator::Ages(_) | Accumulator::Bounds(_) => NONE,
        Accumulator::Distinct(different) => {
            different.number().map_or_else(|| OwnedValue::Mark(Mark::Other).into(), Datum::from)
        }
        Accumulator::Common(counts) => counts
            .iter()
            .map(|(value, count)| (*count, interner.owned(*value)))
            .max_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.cmp(&a.1)))
            .map_or(NONE, |(_, value)| value.into()),
    }
}

/// Replaces `-` by `[unsupported]` in the statistics of columns that the kernel does not measure.
fn mark_unmeasured(rows: &mut [Row], plan: &Plan, unmeasured: &[String]) {
    for (index, selected) in plan.selected.iter().enumerate() {
        let Statistic::Measure(measure) = selected.statistic else { continue };
        let column = plan.measures.get(measure).and_then(|measure| plan.columns.get(measure.slot));
        if column.is_some_and(|column| unmeasured.iter().any(|name| name == column.name)) {
            let data = rows.iter_mut().filter_map(|row| row.statistics.get_mut(FIXED_STATISTICS + index));
            data.filter(|datum| **datum == NONE).for_each(|datum| *datum = OwnedValue::Mark(Mark::Unsupported).into());
        }
    }
}

/// Sorts by the plan's key: numbers descending, texts ascending. Then by samples descending, then by the group, so that the
/// order is the same from run to run.
fn sort(rows: &mut [Row], plan: &Plan) {
    let by_statistic = |index: usize, a: &Row, b: &Row| {
        let (mine, theirs) = (a.statistics.get(index).unwrap_or(&NONE), b.statistics.get(index).unwrap_or(&NONE));
        if mine.is_text() || theirs.is_text() { mine.compare(theirs) } else { theirs.compare(mine) }
    };
    let by_dimension = |index: usize, a: &Row, b: &Row| {
        let (mine, theirs) = (a.group.get(index), b.group.get(index));
        let is_text = |value| matches!(value, Some(&OwnedValue::Text(_)));
        if is_text(mine) || is_text(theirs) { mine.cmp(&theirs) } else { theirs.cmp(&mine) }
    };
    rows.sort_by(|a, b| {
        let by_key = match plan.sort {
            SortKey::Samples => Ordering::Equal,
            SortKey::Selected(index) => by_statistic(FIXED_STATISTICS + index, a, b),
            SortKey::Dimension(index) => by_dimension(index, a, b),
        };
        by_key.then_with(|| b.samples().cmp(&a.samples())).then_with(|| a.group.cmp(&b.group))
    });
}
