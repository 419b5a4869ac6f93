//! Paths of files under the proc root, made without allocation.

use std::ffi::CStr;

/// A directory in a path: a pid or tid, or `task`.
pub(super) enum Component<'a> {
    Number(u32),
    Text(&'a str),
}

/// A short relative path, NUL-terminated on the stack.
pub(super) struct PathName {
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

impl PathName {
    /// Room for `4294967295/task/4294967295/schedstat/4294967295` and the NUL.
    const CAPACITY: usize = 64;

    /// The path `directories/file`, or `directories/file/number`.
    pub(super) fn new(directories: &[Component<'_>], file: &str, number: Option<u32>) -> Self {
        let mut name = Self { bytes: [0; Self::CAPACITY], len: 0 };
        for directory in directories {
            match directory {
                Component::Number(number) => name.push(itoa::Buffer::new().format(*number).as_bytes()),
                Component::Text(text) => name.push(text.as_bytes()),
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

    /// The path `tgid/file`.
    pub(super) fn process(tgid: u32, file: &str) -> Self {
        Self::new(&[Component::Number(tgid)], file, None)
    }

    fn push(&mut self, bytes: &[u8]) {
        // The last byte stays 0. The names of all callers fit; one that did not would lack its end, and the open would fail with ENOENT.
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
