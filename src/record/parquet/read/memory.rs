//! What the columns of one reading share: buffers, and the account of the memory they take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::record::parquet::format::damage::Damage;

/// Memory in bytes that all columns of a reading may take together, and what their file says of itself. Columns that psn
/// writes take two MiB each at most, and most of them a tenth.
pub(super) const MAX_HELD: usize = 112 << 20;

/// What all columns of a reading use in turn.
pub(crate) struct ReadMemory {
    pub(super) decompressor: zstd::bulk::Decompressor<'static>,
    pub(super) compressed: Vec<u8>,
    pub(super) levels: Vec<u32>,
    pub(super) places: Vec<u32>,
    pub(super) numbers: Vec<i64>,
    /// Bytes that the pages and dictionaries of all columns take.
    pub(super) held: usize,
    /// Whether nobody waits for the rest.
    pub(super) stop: Arc<AtomicBool>,
}

impl ReadMemory {
    /// For a reading that ends early once `stop` is set. Beside it, `held` bytes are taken.
    pub(crate) fn new(held: usize, stop: Arc<AtomicBool>) -> Result<Self, Damage> {
        Ok(Self {
            decompressor: zstd::bulk::Decompressor::new()?,
            compressed: Vec::new(),
            levels: Vec::new(),
            places: Vec::new(),
            numbers: Vec::new(),
            held,
            stop,
        })
    }

    /// What ends the reading.
    #[cfg(test)]
    pub fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// Whether the reading is to go on.
    pub(crate) fn go_on(&self) -> Result<(), Damage> {
        if self.stop.load(Ordering::Relaxed) { Err(Damage::Stopped) } else { Ok(()) }
    }

    /// Takes account of what was `before` and is `now`.
    pub(super) fn hold(&mut self, before: &mut usize, now: usize) -> Result<(), Damage> {
        let more = now.saturating_sub(*before);
        if self.held.saturating_add(more) > MAX_HELD {
            return Err(Damage::Form("its columns take more memory than those of any recording"));
        }
        self.held += more;
        // Buffers are emptied, and never given back.
        *before += more;
        Ok(())
    }
}
