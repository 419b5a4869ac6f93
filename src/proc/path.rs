//! Names of files under the proc root, made without allocation.

use std::ffi::CStr;

pub(super) enum Part<'a> {
    Number(u32),
    Text(&'a str),
}

/// A short relative path, NUL-terminated on the stack.
pub(super) struct PathName {
    pub(super) bytes: [u8; Self::CAPACITY],
    pub(super) len: usize,
}

impl PathName {
    /// Room for `4294967295/task/4294967295/schedstat/4294967295` and the NUL.
    pub(super) const CAPACITY: usize = 64;

    pub(super) fn new(parts: &[Part<'_>], file: &str, number: Option<u32>) -> Self {
        let mut name = Self { bytes: [0; Self::CAPACITY], len: 0 };
        for part in parts {
            match part {
                Part::Number(number) => name.push(itoa::Buffer::new().format(*number).as_bytes()),
                Part::Text(text) => name.push(text.as_bytes()),
            }
            name.push(b"/");
        }
        name.push(file.as_bytes());
        if let Some(number) = number {
            name.push(b"/");
            name.push(itoa::Buffer::new().format(number).as_bytes());
        }
        name
    }

    pub(super) fn process(tgid: u32, file: &str) -> Self {
        Self::new(&[Part::Number(tgid)], file, None)
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        // One byte stays 0, the terminator. Every caller's parts fit; a part that did not would be
        // left out, and the open would fail with ENOENT.
        let end = self.len + bytes.len();
        if end < Self::CAPACITY
            && let Some(room) = self.bytes.get_mut(self.len..end)
        {
            room.copy_from_slice(bytes);
            self.len = end;
        }
    }

    pub(super) fn as_cstr(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}
