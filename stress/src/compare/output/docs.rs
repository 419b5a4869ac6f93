//! Figures in documentation: replaces the text between two marks by figures of a comparison.
//!
//! ```text
//! <!-- figures: targets -->
//! …
//! <!-- end of figures -->
//! ```

use std::fmt::Write as _;
use std::path::Path;

use super::table;
use crate::compare::figures::{Comparison, StormFigures};

const START: &str = "<!-- figures: ";
const START_END: &str = " -->";
const END: &str = "<!-- end of figures -->";

/// Replaces the figures in `text` by those of `comparison`, whose files' names begin with `base`.
pub(super) fn update(text: &str, comparison: &Comparison, base: &Path) -> Result<String, String> {
    let mut updated = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(START) {
        let (before, from) = rest.split_at(start);
        let name_end = from.find(START_END).ok_or("a figures mark does not end")?;
        let name = &from[START.len()..name_end];
        let end = from.find(END).ok_or_else(|| format!("the figures '{name}' do not end"))?;
        updated += before;
        let _ = write!(updated, "{START}{name}{START_END}\n{}\n{END}", block(name, comparison, base)?.trim_end());
        rest = &from[end + END.len()..];
    }
    Ok(updated + rest)
}

/// The figures called `name`.
fn block(name: &str, comparison: &Comparison, base: &Path) -> Result<String, String> {
    let file = |suffix: &str| format!("../{}{suffix}", base.display());
    match name {
        "machine" => {
            Ok(format!("{} Raw figures: [{}]({}).", table::machine(comparison), base.display(), file(".json")))
        }
        "targets" => Ok(table::targets_table(comparison)),
        "charts" => Ok(format!(
            "![CPU time per thread and tick, by number of threads]({})\n\n![Threads visited per second, by workers]({})",
            file("-cost.svg"),
            file("-throughput.svg"),
        )),
        "cost" => Ok(storms(comparison, table::steady)),
        "throughput" => Ok(storms(comparison, table::throughput)),
        _ => Err(format!("there are no figures called '{name}'")),
    }
}

fn storms(comparison: &Comparison, table: impl Fn(&StormFigures) -> String) -> String {
    let mut text = String::new();
    for storm in &comparison.storms {
        let _ = write!(text, "**{}**\n\n{}\n", storm.title(), table(storm));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::figures::tests::comparison;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = "a\n<!-- figures: targets -->\nold\n<!-- end of figures -->\nb\n";
        let once = update(text, &comparison(), "stress/runs/x".as_ref()).unwrap();
        assert!(
            once.starts_with("a\n<!-- figures: targets -->\n| what |")
                && once.ends_with("<!-- end of figures -->\nb\n")
        );
        assert!(!once.contains("old"));
        assert_eq!(update(&once, &comparison(), "stress/runs/x".as_ref()).unwrap(), once);
    }

    #[test]
    fn bad_marks_are_refused() {
        let update = |text: &str| update(text, &comparison(), "x".as_ref()).unwrap_err();
        assert!(update("<!-- figures: wrong -->\n<!-- end of figures -->").contains("'wrong'"));
        assert!(update("<!-- figures: targets -->\n").contains("do not end"));
    }
}
