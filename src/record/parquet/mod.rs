//! Stub.
use super::{Header, RecordError, Recording, Sink};
use std::path::Path;
use std::time::Duration;
/// Options.
#[derive(Debug, Clone)]
pub struct DatasetOptions {
    /// Part.
    pub part: Duration,
    /// Keep.
    pub keep: Option<Duration>,
    /// Size.
    pub max_size: Option<u64>,
}
impl Default for DatasetOptions {
    fn default() -> Self {
        Self { part: Duration::from_secs(10), keep: None, max_size: None }
    }
}
/// Create.
pub fn create(path: &Path, _: &Header, _: bool, _: DatasetOptions) -> Result<Box<dyn Sink>, RecordError> {
    Err(RecordError::engine(path, "not yet"))
}
/// Open.
pub fn open(path: &Path) -> Result<Vec<Box<dyn Recording>>, RecordError> {
    Err(RecordError::engine(path, "not yet"))
}
