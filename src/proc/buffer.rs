//! The buffer that files are read into.

/// A reusable read buffer. It grows and never shrinks.
#[derive(Debug, Default)]
pub struct Buffer {
    pub(super) bytes: Vec<u8>,
    pub(super) len: usize,
}

impl Buffer {
    /// One page: of all files of a thread, only a deep `stack` or a long `status` is larger.
    pub(super) const INITIAL: usize = 4096;
    /// The size of the pieces in which long files are read.
    pub(super) const PIECE: usize = 64 << 10;
    /// No more of a file is read: no file that psn reads is larger, unless somebody attacks its memory.
    pub(super) const MAX: usize = 16 << 20;

    /// The bytes of the last read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Stores `bytes` as if they had been read.
    pub(crate) fn store(&mut self, bytes: &[u8]) {
        if self.bytes.len() < bytes.len() {
            self.bytes.resize(bytes.len(), 0);
        }
        if let Some(room) = self.bytes.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.len = bytes.len();
    }
}
