//! What a hostile process or a sick kernel can show to psn: a corpus of named cases, run by a few tests. A test that fails
//! prints the names of its failed cases.

mod files;
mod lives;
mod names;
mod oracle;
mod outputs;

use std::collections::BTreeSet;

use crate::{capabilities, faults};

/// The outcome of a case: a message if it fails.
type Verdict = Result<(), String>;

/// Returns this message as an error unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}
use ensure;

/// Panics with the names of the failed cases.
#[track_caller]
fn judge(verdicts: impl IntoIterator<Item = (String, Verdict)>) {
    let failures: Vec<String> =
        verdicts.into_iter().filter_map(|(name, verdict)| Some(format!("{name}: {}", verdict.err()?))).collect();
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_corpus_is_large_and_no_two_cases_have_one_name() {
    let families = [
        ("names", outputs::cases()),
        ("files", files::cases()),
        ("lives", lives::cases()),
        ("permissions", capabilities::cases()),
        ("faults", faults::cases()),
    ];
    let tally: Vec<(&str, usize)> = families.iter().map(|(family, cases)| (*family, cases.len())).collect();
    let all: Vec<&String> = families.iter().flat_map(|(_, cases)| cases).collect();
    let unique: BTreeSet<&String> = all.iter().copied().collect();
    assert_eq!(unique.len(), all.len(), "two cases have one name: {tally:?}");
    for (family, cases) in &families {
        let is_named = |case: &String| case.strip_prefix(family).is_some_and(|rest| rest.starts_with('/'));
        assert!(!cases.is_empty() && cases.iter().all(is_named), "{family}");
    }
    println!("{} cases: {tally:?}", all.len());
    // Each family must be large by itself.
    let least = [("names", 400), ("files", 80), ("lives", 30), ("permissions", 25), ("faults", 120)];
    for ((family, count), (wanted, least)) in tally.iter().zip(least) {
        assert!(*family == wanted && *count >= least, "{family}: {count} of {least} in {tally:?}");
    }
}
