//! Which thread does what in which process: decided before the first of them is started.
//!
//! Every thread of the storm has a number, its **slot**: first those of the mix, process by process, then
//! the children of the vfork threads, then the churners. The leader itself has none.

pub(crate) mod kind;
pub(crate) mod mix;
pub(crate) mod names;
pub(crate) mod rates;

use std::ops::Range;

use kind::Kind;
use rates::{ChurnRates, Churner};

/// One process: its slots, of which the first is its main thread, and its churner, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessPlan {
    pub(crate) slots: Range<usize>,
    pub(crate) churner: Option<(usize, Churner)>,
}

/// The whole storm.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    kinds: Vec<Kind>,
    /// The slots of the vfork threads, in order.
    vforks: Vec<usize>,
    churners: Vec<Churner>,
    pub(crate) processes: Vec<ProcessPlan>,
}

impl Plan {
    /// Spreads the threads of `counts` over `processes` processes, each with its share of every
    /// kind; stopped ones get a process each on top. Never more processes than threads.
    pub(crate) fn new(counts: &[(Kind, u32)], processes: u32, churn: &ChurnRates) -> Self {
        let kinds = interleave(counts);
        let vforks: Vec<usize> = (0..kinds.len()).filter(|slot| kinds[*slot] == Kind::Vfork).collect();
        let shared = kinds.iter().take_while(|kind| **kind != Kind::Stopped).count();
        let groups = (processes as usize).clamp(1, shared.max(1)).min(shared);
        let bound = |group: usize| shared * group / groups.max(1);
        let mut plans: Vec<ProcessPlan> = (0..groups)
            .map(|group| bound(group)..bound(group + 1))
            .chain((shared..kinds.len()).map(|slot| slot..slot + 1))
            .map(|slots| ProcessPlan { slots, churner: None })
            .collect();
        let mut next = kinds.len() + vforks.len();
        let mut churners = Vec::new();
        for churner in Churner::ALL {
            if churn.rate(churner) == 0 {
                continue;
            }
            // Short-lived threads belong to the first process of the mix; a churner that forks needs a process
            // with no other thread.
            let crowd = plans.first_mut().filter(|_| churner == Churner::Births && groups > 0);
            if let Some(crowd) = crowd {
                crowd.churner = Some((next, churner));
            } else {
                plans.push(ProcessPlan { slots: next..next, churner: Some((next, churner)) });
            }
            next += 1;
            churners.push(churner);
        }
        Self { kinds, vforks, churners, processes: plans }
    }

    /// The kind of a thread of the mix.
    pub(crate) fn kind(&self, slot: usize) -> Kind {
        self.kinds.get(slot).copied().unwrap_or(Kind::Harness)
    }

    /// The slot of the child of the vfork thread in `slot`.
    pub(crate) fn vfork_child(&self, slot: usize) -> Option<usize> {
        Some(self.kinds.len() + self.vforks.binary_search(&slot).ok()?)
    }

    /// The churner in a slot; `None` if the slot is another thread's.
    pub(crate) fn churner(&self, slot: usize) -> Option<Churner> {
        let first = self.kinds.len() + self.vforks.len();
        self.churners.get(slot.checked_sub(first)?).copied()
    }

    /// The number of vfork threads in a range of slots.
    pub(crate) fn vforks_in(&self, slots: &Range<usize>) -> usize {
        let before = |slot: usize| self.vforks.partition_point(|vfork| *vfork < slot);
        before(slots.end) - before(slots.start)
    }

    /// The number of threads of the complete storm, without the leader.
    pub(crate) fn slots(&self) -> usize {
        self.kinds.len() + self.vforks.len() + self.churners.len()
    }
}

/// The kinds in an order in which every range holds about its share of each; stopped ones last.
fn interleave(counts: &[(Kind, u32)]) -> Vec<Kind> {
    let shared: Vec<(Kind, u64)> = counts
        .iter()
        .filter(|(kind, _)| *kind != Kind::Stopped)
        .map(|(kind, count)| (*kind, u64::from(*count)))
        .collect();
    let total: u64 = shared.iter().map(|(_, count)| count).sum();
    let mut placed = vec![0u64; shared.len()];
    let mut kinds = Vec::with_capacity(counts.iter().map(|(_, count)| *count as usize).sum());
    for position in 1..=total {
        // The kind that is furthest behind its share of the positions so far.
        let lag = |i: &usize| {
            (u128::from(shared[*i].1) * u128::from(position)).cast_signed()
                - (u128::from(placed[*i]) * u128::from(total)).cast_signed()
        };
        let candidates = (0..shared.len()).filter(|i| placed[*i] < shared[*i].1);
        if let Some(next) = candidates.max_by_key(|i| (lag(i), usize::MAX - i)) {
            placed[next] += 1;
            kinds.push(shared[next].0);
        }
    }
    let stopped = counts.iter().filter(|(kind, _)| *kind == Kind::Stopped);
    kinds.extend(stopped.flat_map(|(kind, count)| std::iter::repeat_n(*kind, *count as usize)));
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: ChurnRates = ChurnRates { births: 0, forks: 0, execs: 0, lifetime_ms: 1 };

    #[test]
    fn every_thread_is_in_one_process() {
        let counts = [(Kind::Futex, 70), (Kind::Stopped, 3), (Kind::Vfork, 7), (Kind::Spin, 2)];
        for processes in [1, 2, 7, 79, 1000] {
            let plan = Plan::new(&counts, processes, &CALM);
            assert_eq!(plan.processes.len(), (processes as usize).min(79) + 3);
            let slots: Vec<usize> = plan.processes.iter().flat_map(|p| p.slots.clone()).collect();
            assert_eq!(slots, (0..82).collect::<Vec<_>>());
            assert_eq!(plan.slots(), 82 + 7);
            for (kind, count) in counts {
                let found = (0..82).filter(|slot| plan.kind(*slot) == kind).count();
                assert_eq!(found, count as usize, "{kind}");
            }
        }
    }

    #[test]
    fn vfork_children_have_slots_of_their_own() {
        let plan = Plan::new(&[(Kind::Vfork, 3), (Kind::Futex, 3)], 1, &CALM);
        let children: Vec<usize> = (0..6).filter_map(|slot| plan.vfork_child(slot)).collect();
        assert_eq!(children, [6, 7, 8]);
        assert_eq!(plan.vforks_in(&(0..6)), 3);
    }

    #[test]
    fn births_join_the_crowd_and_forks_live_alone() {
        let churn = ChurnRates { births: 5, forks: 5, execs: 5, lifetime_ms: 1 };
        let plan = Plan::new(&[(Kind::Futex, 4)], 1, &churn);
        assert_eq!(plan.processes.len(), 3);
        assert_eq!(plan.processes[0].churner, Some((4, Churner::Births)));
        assert_eq!(plan.processes[1].churner, Some((5, Churner::Forks)));
        let alone = Plan::new(&[(Kind::Stopped, 1)], 1, &churn);
        assert_eq!(alone.processes[1].churner, Some((1, Churner::Births)));
    }
}
