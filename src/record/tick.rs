//! A tick as all formats store it. `TickInfo::NAMES` is the one table of its numbers. SQLite and Parquet have a column for
//! each, CSV a key in the JSON of a tick, all under these names and in this order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sample::StateCounts;

/// Defines [`TickInfo`] together with the table of its numbers.
macro_rules! tick_info {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// A completed tick. Most numbers count from the start of the run: what happened between two recorded ticks is the
        /// difference of their counts.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct TickInfo {
            $($(#[$doc])* pub $name: u64,)+
            /// Threads seen in each state, by letter, also in states that were not recorded.
            pub states: StateTotals,
        }

        impl TickInfo {
            /// The names of the numbers.
            pub(crate) const NAMES: [&str; [$(stringify!($name)),+].len()] = [$(stringify!($name)),+];

            /// The numbers, in the order of [`TickInfo::NAMES`].
            pub(crate) const fn numbers(&self) -> [u64; Self::NAMES.len()] {
                [$(self.$name),+]
            }

            /// The tick of these numbers, in the order of [`TickInfo::NAMES`].
            pub(crate) const fn of([$($name),+]: [u64; Self::NAMES.len()], states: StateTotals) -> Self {
                Self { $($name,)+ states }
            }
        }
    };
}

tick_info! {
    /// Start of the pass, nanoseconds since 1970.
    time_ns,
    /// How long after its due time the pass started.
    late_ns,
    /// Duration of the pass.
    pass_ns,
    /// Ticks due, this one included.
    due,
    /// Ticks skipped to keep within `--max-cpu`.
    throttled,
    /// Ticks that were begun and discarded.
    abandoned,
    /// Ticks that were completed and not written, because the disk was too slow.
    lost,
    /// Processes in the task list (not cumulative).
    processes,
    /// Threads visited (not cumulative).
    threads,
}

/// How many threads are in each state, by state letter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StateTotals(pub BTreeMap<char, u64>);

impl From<&StateCounts> for StateTotals {
    fn from(counts: &StateCounts) -> Self {
        Self(counts.iter().map(|(letter, count)| (char::from(letter), count)).collect())
    }
}

impl std::fmt::Display for StateTotals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (letter, count)) in self.0.iter().enumerate() {
            write!(f, "{}{letter}:{count}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl StateTotals {
    /// Parses what `Display` writes; parts in another form are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.split(' ').filter_map(|pair| pair.split_once(':'));
        Self(pairs.filter_map(|(letter, count)| letter.chars().next().zip(count.parse().ok())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_they_are_written() {
        let states = StateTotals(BTreeMap::from([('R', 2), ('S', 100)]));
        assert_eq!(states.to_string(), "R:2 S:100");
        assert_eq!(StateTotals::parse("R:2 S:100"), states);
        assert_eq!(StateTotals::parse(""), StateTotals::default());
    }

    #[test]
    fn numbers_are_in_the_order_of_their_names() {
        let numbers: [u64; TickInfo::NAMES.len()] = std::array::from_fn(|place| place as u64);
        let tick = TickInfo::of(numbers, StateTotals::default());
        assert_eq!((tick.time_ns, tick.due, tick.threads), (0, 3, 8));
        assert_eq!(tick.numbers(), numbers);
        let json = serde_json::to_value(&tick).unwrap();
        assert!((0_u64..).zip(TickInfo::NAMES).all(|(number, name)| json[name] == number), "{json}");
    }
}
