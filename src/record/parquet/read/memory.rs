//! What the columns of a reader share: buffers, and the account of the memory that they take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::record::parquet::format::damage::Damage;

/// The most memory, in bytes, of all columns of a reader and of the file's metadata. A column that psn writes takes 2 MiB at
/// most, and most take a tenth of it.
pub(super) const MAX_HELD: usize = 112 << 20;

/// The buffers that all columns use in turn.
pub(crate) struct ReadMemory {
    pub(super) decompressor: zstd::bulk::Decompressor<'static>,
    pub(super) compressed: Vec<u8>,
    pub(super) levels: Vec<u32>,
    pub(super) places: Vec<u32>,
    pub(super) numbers: Vec<i64>,
    /// The bytes that the pages and dictionaries of all columns take.
    pub(super) held: usize,
    /// Ends the reading when it is set.
    pub(super) stop: Arc<AtomicBool>,
}

impl ReadMemory {
    /// For a reader that ends once `stop` is set. `held` bytes are taken already.
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

    /// The flag that ends the reading.
    #[cfg(test)]
    pub fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// Fails if the reading is to end.
    pub(crate) fn go_on(&self) -> Result<(), Damage> {
        if self.stop.load(Ordering::Relaxed) { Err(Damage::Stopped) } else { Ok(()) }
    }

    /// Accounts for a buffer of `before` bytes that is to have `now` bytes.
    pub(super) fn hold(&mut self, before: &mut usize, now: usize) -> Result<(), Damage> {
        let more = now.saturating_sub(*before);
        if self.held.saturating_add(more) > MAX_HELD {
            return Err(Damage::Form("its columns take more memory than those of any recording"));
        }
        self.held += more;
        // Buffers do not shrink.
        *before += more;
        Ok(())
    }
}
