//! psn's reports in JSON, as the program prints them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::child::{Ended, run};

/// A report.
#[derive(Debug)]
pub struct Json(pub Value);

/// Runs psn with `--format json` and these arguments; panics if psn fails.
#[track_caller]
pub fn sample(args: &[&str]) -> Json {
    parse(&run(&[&["--format", "json"], args].concat()))
}

/// Parses the output of a run with `--format json`.
#[track_caller]
pub fn parse(ended: &Ended) -> Json {
    assert!(ended.status.success(), "{ended:?}");
    Json(serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout)))
}

impl Json {
    pub fn rows(&self) -> &[Value] {
        self.0["rows"].as_array().unwrap()
    }

    /// Ticks completed.
    pub fn completed(&self) -> u64 {
        let completed = self.0["ticks"]["completed"].as_u64().unwrap();
        assert!(completed > 0, "{}", self.0);
        completed
    }

    /// Samples by the values of `columns`, joined by ` | `.
    pub fn samples(&self, columns: &[&str]) -> BTreeMap<String, u64> {
        let mut groups = BTreeMap::new();
        for row in self.rows() {
            let key: Vec<String> = columns.iter().map(|column| text(&row[column])).collect();
            *groups.entry(key.join(" | ")).or_default() += row["samples"].as_u64().unwrap();
        }
        groups
    }

    /// The account of one file: the number of reads in each class.
    pub fn health(&self, file: &str) -> BTreeMap<String, u64> {
        let health = self.0["health"].as_array().unwrap().iter().find(|entry| entry["source"] == file);
        let classes = health.and_then(Value::as_object).into_iter().flatten();
        classes.filter_map(|(class, count)| Some((class.clone(), count.as_u64()?))).collect()
    }
}

/// A string without its quotes, any other value as JSON.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
