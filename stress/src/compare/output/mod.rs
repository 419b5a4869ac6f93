//! The output of a comparison: raw figures, table, charts, targets, and figures in documentation.

mod charts;
mod docs;
pub(super) mod table;
pub(super) mod targets;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use super::figures::Comparison;

/// Writes the raw file, the table and the charts of a comparison, and updates the document in `update_docs`.
pub(super) fn write(update_docs: Option<&Path>, comparison: &Comparison, base: &Path) -> Result<(), Box<dyn Error>> {
    let file = |suffix: &str| PathBuf::from(format!("{}{suffix}", base.display()));
    let name = base.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    fs::write(file(".json"), serde_json::to_vec_pretty(comparison)?)?;
    fs::write(file(".md"), table::document(comparison, &name))?;
    fs::write(file("-cost.svg"), charts::cost(comparison))?;
    fs::write(file("-throughput.svg"), charts::throughput(comparison))?;
    if let Some(path) = update_docs {
        let text = docs::update(&fs::read_to_string(path)?, comparison, base)?;
        fs::write(path, text)?;
    }
    Ok(())
}
