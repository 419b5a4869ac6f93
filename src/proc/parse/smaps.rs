//! `/proc/PID/smaps`: for each mapping a header as in `maps`, then `Key:  value` lines (proc(5); `show_smap` in the kernel's
//! `fs/proc/task_mmu.c`).

use std::sync::Arc;

use crate::proc::parse::{cut, status};

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
        Some(Self { address_range, perms, offset, dev, inode, pathname, body: &[] })
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

/// The keys of the size lines to keep; `None` for all.
pub type SmapsKeys = Option<Arc<[&'static str]>>;

/// A short form of a long text that is read in pieces: the headers and the lines to keep, without padding. [`mappings`] reads it
/// like the whole text.
#[derive(Debug)]
pub struct Digest {
    keys: SmapsKeys,
    text: Vec<u8>,
    /// The beginning of a line whose end is in the next piece.
    line: Vec<u8>,
    /// Whether that line is longer than any valid one. The rest of it is left out.
    is_overlong: bool,
}

impl Digest {
    /// No valid line is longer: a path has 4,096 bytes, and each takes four if it is escaped.
    const LINE: usize = 32 << 10;

    /// An empty digest that keeps the size lines with these `keys`.
    #[must_use]
    pub const fn new(keys: SmapsKeys) -> Self {
        Self { keys, text: Vec::new(), line: Vec::new(), is_overlong: false }
    }

    /// The number of bytes kept.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether nothing was kept.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Takes the next piece.
    pub fn push(&mut self, mut piece: &[u8]) {
        while let Some((end, rest)) = cut(piece, b'\n') {
            piece = rest;
            let mut line = std::mem::take(&mut self.line);
            if line.is_empty() && !self.is_overlong {
                self.keep(end);
            } else if !self.is_overlong {
                line.extend_from_slice(end);
                self.keep(&line);
            }
            line.clear();
            (self.line, self.is_overlong) = (line, false);
        }
        self.is_overlong |= self.line.len().saturating_add(piece.len()) > Self::LINE;
        if !self.is_overlong {
            self.line.extend_from_slice(piece);
        }
    }

    /// What was kept, without a line that did not end.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.text
    }

    fn keep(&mut self, line: &[u8]) {
        if is_header(line) {
            // Five words; then the path, behind the spaces that align it.
            let place = memchr::memchr_iter(b' ', line).nth(4).unwrap_or(line.len());
            let (numbers, path) = line.split_at_checked(place).unwrap_or((line, &[]));
            self.text.extend_from_slice(numbers);
            let path = strip_padding(path);
            if !path.is_empty() {
                self.text.push(b' ');
                self.text.extend_from_slice(path);
            }
            self.text.push(b'\n');
            return;
        }
        let Some((key, value)) = cut(line, b':') else { return };
        let is_wanted = |keys: &Arc<[&'static str]>| keys.iter().any(|wanted| wanted.as_bytes() == key);
        if self.keys.as_ref().is_none_or(is_wanted) {
            self.text.extend_from_slice(key);
            self.text.push(b':');
            self.text.extend_from_slice(crate::proc::parse::trim(value));
            self.text.push(b'\n');
        }
    }
}

/// Whether a line is a header: those start with a lower-case hexadecimal digit, and keys with a capital.
fn is_header(line: &[u8]) -> bool {
    matches!(line, [b'0'..=b'9' | b'a'..=b'f', ..])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    /// Mappings of `head` and of a shell on Linux 6.18, shortened.
    const SMAPS: &[u8] = b"55dd92bc3000-55dd92bc5000 r--p 00000000 fe:00 247282                     /usr/bin/head\n\
        Size:                  8 kB\nRss:                   4 kB\nTHPeligible:           0\nVmFlags: rd mr mw me \n\
        55dd92bc5000-55dd92bcb000 r-xp 00002000 fe:00 247282                     /tmp/a name\\012b (deleted)\n\
        Rss:                  24 kB\nProtectionKey:         0\n\
        7f45c0c72000-7f45c0c94000 rw-p 00000000 00:00 0 \n\
        Rss:                  20 kB\nVmFlags: rd wr mr mw me ac \n\
        ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

    #[test]
    fn each_header_starts_a_mapping() {
        let found: Vec<_> = mappings(SMAPS).collect();
        assert_eq!(found.len(), 4);
        let first = found[0];
        assert_eq!(first.address_range, b"55dd92bc3000-55dd92bc5000");
        assert_eq!(first.perms, b"r--p");
        assert_eq!(first.offset, b"00000000");
        assert_eq!(first.dev, b"fe:00");
        assert_eq!(first.inode, b"247282");
        assert_eq!(first.pathname, b"/usr/bin/head");
        assert!(first.body.starts_with(b"Size:") && first.body.ends_with(b"me \n"));
    }

    #[test]
    fn a_pathname_may_hold_spaces_escapes_or_nothing() {
        let names: Vec<_> = mappings(SMAPS).map(|mapping| mapping.pathname).collect();
        assert_eq!(names, [b"/usr/bin/head".as_slice(), b"/tmp/a name\\012b (deleted)", b"", b"[vsyscall]"]);
    }

    #[test]
    fn sizes_and_flags_are_those_of_their_own_mapping() {
        let found: Vec<_> = mappings(SMAPS).map(|mapping| (mapping.kb(b"Rss"), mapping.vm_flags())).collect();
        let expected: [(Option<u64>, &[u8]); 4] =
            [(Some(4), b"rd mr mw me"), (Some(24), b""), (Some(20), b"rd wr mr mw me ac"), (None, b"")];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_rollup_is_one_mapping() {
        let rollup =
            b"55dd92bc3000-7ffd2e4cf000 ---p 00000000 00:00 0                          [rollup]\nRss:    1692 kB\n";
        let found: Vec<_> = mappings(rollup).collect();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].pathname, found[0].kb(b"Rss")), (b"[rollup]".as_slice(), Some(1692)));
    }

    #[test]
    fn a_digest_is_read_as_the_whole_would_be_in_pieces_of_any_length() {
        let whole: Vec<_> = mappings(SMAPS).collect();
        for piece in 1..SMAPS.len() {
            let mut digest = Digest::new(Some(["Rss", "VmFlags"].into()));
            SMAPS.chunks(piece).for_each(|piece| digest.push(piece));
            let text = digest.finish();
            assert!(memchr::memmem::find(&text, b"Size").is_none() && text.len() < SMAPS.len());
            let kept: Vec<_> = mappings(&text).collect();
            assert_eq!(kept.len(), whole.len(), "{piece}");
            for (kept, whole) in kept.iter().zip(&whole) {
                assert_eq!(Mapping { body: &[], ..*kept }, Mapping { body: &[], ..*whole });
                assert_eq!((kept.kb(b"Rss"), kept.vm_flags()), (whole.kb(b"Rss"), whole.vm_flags()));
            }
        }
        let mut all = Digest::new(None);
        all.push(SMAPS);
        assert_eq!(mappings(&all.finish()).next().unwrap().kb(b"Size"), Some(8));
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut digest = Digest::new(None);
        (0..100).for_each(|_| digest.push(&[b'x'; 4096]));
        assert!(digest.line.capacity() <= 2 * Digest::LINE);
        digest.push(b"\n1000-2000 r--p 0 0:0 7\nRss: 3 kB\nRss: 4");
        let text = digest.finish();
        assert_eq!(text, b"1000-2000 r--p 0 0:0 7\nRss:3 kB\n");
    }

    #[test]
    fn malformed_headers_are_left_out_with_their_lines() {
        let text = b"Rss: 1 kB\nbad header\nRss: 2 kB\n1000-2000 r--p 0 0:0 7\nRss: 3 kB\nabc\n";
        let found: Vec<_> = mappings(text).collect();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].inode, found[0].kb(b"Rss")), (b"7".as_slice(), Some(3)));
        assert_eq!(mappings(b"").count(), 0);
    }
}
