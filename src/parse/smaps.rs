//! `/proc/PID/smaps`: for each mapping a header as in `maps`, then `Key:  value` lines (proc(5); `show_smap` in the kernel's
//! `fs/proc/task_mmu.c`).

use super::{cut, status};

/// One mapping of the process's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping<'a> {
    /// `start-end`, in hexadecimal.
    pub address_range: &'a [u8],
    /// `rwxp`, or `s` for the last when shared.
    pub perms: &'a [u8],
    /// Offset into the file, in hexadecimal.
    pub offset: &'a [u8],
    /// `major:minor` of the file's device, in hexadecimal.
    pub dev: &'a [u8],
    /// The file's inode number, in decimal; 0 for none.
    pub inode: &'a [u8],
    /// A path, `[heap]`, `[stack]` and the like, or nothing. Newlines in it are printed as `\012` and are left so.
    pub pathname: &'a [u8],
    /// The lines that follow the header.
    pub body: &'a [u8],
}

impl<'a> Mapping<'a> {
    /// The size on the line `key` (`Rss`, `Pss`, as the kernel prints it), in kB; `None` where the kernel has no such line.
    #[must_use]
    pub fn kb(&self, key: &[u8]) -> Option<u64> {
        u64::try_from(status::first_number(status::value(self.body, key)?)?).ok()
    }

    /// The two-letter flags of the line `VmFlags` with spaces between them; nothing before Linux 3.8.
    #[must_use]
    pub fn vm_flags(&self) -> &'a [u8] {
        status::value(self.body, b"VmFlags").unwrap_or_default()
    }

    /// The mapping whose header is the line `header`, so far without its body.
    fn from_header(header: &'a [u8]) -> Option<Self> {
        let (address_range, rest) = cut(header, b' ')?;
        let (perms, rest) = cut(rest, b' ')?;
        let (offset, rest) = cut(rest, b' ')?;
        let (dev, rest) = cut(rest, b' ')?;
        let (inode, pathname) = cut(rest, b' ').unwrap_or((rest, &[]));
        memchr::memchr(b'-', address_range)?;
        let pathname = strip_padding(pathname);
        Some(Self {
            address_range,
            perms,
            offset,
            dev,
            inode,
            pathname,
            body: &[],
        })
    }
}

/// `pathname` without the spaces that align it; no path starts with one, though some end with one.
fn strip_padding(mut pathname: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = pathname {
        pathname = rest;
    }
    pathname
}

/// The mappings in the order of their addresses. Lines before the first header are left out, and so are malformed headers with
/// what follows them.
pub fn mappings(text: &[u8]) -> impl Iterator<Item = Mapping<'_>> {
    Mappings { rest: text }
}

struct Mappings<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Mappings<'a> {
    type Item = Mapping<'a>;

    fn next(&mut self) -> Option<Mapping<'a>> {
        while !self.rest.is_empty() {
            let header = self.take_line();
            if !is_header(header) {
                continue;
            }
            let body = self.take_body();
            if let Some(mapping) = Mapping::from_header(header) {
                return Some(Mapping { body, ..mapping });
            }
        }
        None
    }
}

impl<'a> Mappings<'a> {
    fn take_line(&mut self) -> &'a [u8] {
        let (line, rest) = cut(self.rest, b'\n').unwrap_or((self.rest, &[]));
        self.rest = rest;
        line
    }

    /// Takes the lines up to the next header.
    fn take_body(&mut self) -> &'a [u8] {
        let text = self.rest;
        while !self.rest.is_empty() && !is_header(self.rest) {
            self.take_line();
        }
        let len = text.len().saturating_sub(self.rest.len());
        text.get(..len).unwrap_or(text)
    }
}

/// Whether a line is a header: those start with a lower-case hexadecimal digit, and keys with a capital.
fn is_header(line: &[u8]) -> bool {
    matches!(line, [b'0'..=b'9' | b'a'..=b'f', ..])
}
