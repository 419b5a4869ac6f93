//! The names of threads: the bytes that a sampler reads from `comm`.

use std::ffi::CStr;
use std::io::Write as _;

use clap::ValueEnum;

use super::kind::Kind;

/// How threads are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Names {
    /// By kind: `storm-futex`.
    #[default]
    Plain,
    /// By a corpus of names that break parsers, terminals, tables and spreadsheets.
    Hostile,
    /// By their own thread id, `t123456`: a mix-up of rows cannot go unnoticed.
    Tid,
    /// By a running number, `n0000042`: as many groups as there are threads.
    Numbered,
}

/// Names that have broken readers of `/proc`. The kernel keeps 15 bytes and knows no encoding.
pub const HOSTILE: &[&[u8]] = &[
    b"a b  c",
    b" lead trail ",
    b"a)",
    b"(((",
    b")",
    b") R 1 2",
    b"a) R 1 2 3 4 5",
    b"new\nline",
    b"cr\r\nlf",
    b"tab\there",
    b"\x1b[31mred\x1b[0m",
    b"\x1b]0;title\x07",
    b"\x1b[2J\x1b[H",
    b"\x9b31mc1",
    b"\xff\xfe\x80bad",
    b"\xed\xa0\x80surr",
    b"",
    b"cut-in-utf8-xx\xc3",
    "\u{202e}evil\u{202c}".as_bytes(),
    "\u{2066}iso\u{2069}".as_bytes(),
    "\u{65e5}\u{672c}\u{8a9e}".as_bytes(),
    "e\u{301}\u{200b}".as_bytes(),
    b"=cmd|' /C calc'",
    b"+1+1",
    b"-2+3",
    b"@SUM(A1:A9)",
    b"<script>",
    b"]]>&amp;<!--",
    b"\"quo\"\"ted\",x",
    b"'; DROP TABLE",
    b"a;b;c 17",
    b"back\\slash\\n",
    b"%s%n%x",
    b"[denied]",
    b"-",
    b"0",
    b"NULL",
    b"kworker/0:0",
    b"\x01\x02\x7f",
    b"fifteen-bytes-x",
];

/// A thread name as the kernel keeps it: at most 15 bytes and a NUL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name([u8; 16]);

impl Name {
    fn cut(bytes: &[u8]) -> Self {
        let mut name = Self::default();
        let len = bytes.len().min(15);
        name.0[..len].copy_from_slice(&bytes[..len]);
        name
    }

    fn numbered(prefix: u8, number: usize, width: usize) -> Self {
        let mut name = Self::default();
        name.0[0] = prefix;
        // A number too long for the name is cut at its end, as any long name is.
        let _ = write!(&mut name.0[1..15], "{number:0width$}");
        name
    }

    /// The bytes a reader of `comm` gets.
    #[must_use]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.as_c_str().to_bytes()
    }

    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

impl Names {
    /// The name of thread number `index` where it can be known before the thread exists.
    #[must_use]
    pub(crate) fn fixed(self, kind: Kind, index: usize) -> Option<Name> {
        match self {
            Self::Plain => {
                let mut name = *b"storm-\0\0\0\0\0\0\0\0\0\0";
                let tail = kind.name().as_bytes();
                let len = tail.len().min(9);
                name[6..6 + len].copy_from_slice(&tail[..len]);
                Some(Name(name))
            }
            Self::Hostile => Some(Name::cut(HOSTILE[index % HOSTILE.len()])),
            Self::Tid => None,
            Self::Numbered => Some(Name::numbered(b'n', index, 7)),
        }
    }

    /// Whether many threads share a name, so that counting by name makes sense.
    #[must_use]
    pub(crate) const fn groups(self) -> bool {
        matches!(self, Self::Plain | Self::Hostile)
    }

    /// Names the calling thread. Allocates nothing, as a vfork child must not.
    pub(crate) fn apply(self, kind: Kind, index: usize) {
        let name = self.fixed(kind, index).unwrap_or_else(own_tid);
        // Does not fail for a valid string.
        let _ = rustix::thread::set_name(name.as_c_str());
    }

    /// Names the calling short-lived thread.
    pub(crate) fn apply_churn(self, plain: &[u8], number: usize) {
        let name = match self {
            Self::Plain => Name::cut(plain),
            Self::Hostile => Name::cut(HOSTILE[number % HOSTILE.len()]),
            Self::Tid => own_tid(),
            Self::Numbered => Name::numbered(b'c', number, 7),
        };
        let _ = rustix::thread::set_name(name.as_c_str());
    }
}

fn own_tid() -> Name {
    let tid = rustix::thread::gettid().as_raw_nonzero().get();
    Name::numbered(b't', usize::try_from(tid).unwrap_or_default(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_survive_the_kernel_unchanged() {
        for name in HOSTILE {
            assert!(name.len() <= 15, "{name:?}");
            assert!(!name.contains(&0), "{name:?}");
            assert_eq!(Name::cut(name).bytes(), *name);
        }
    }

    #[test]
    fn the_corpus_holds_what_it_promises() {
        let has = |needle: &[u8]| HOSTILE.iter().any(|name| name.windows(needle.len().max(1)).any(|w| w == needle));
        for needle in [&b" "[..], b")", b"(((", b") R 1 2", b"\n", b"\t", b"\x1b", b"\x9b", b"<script>"] {
            assert!(has(needle), "{needle:?}");
        }
        assert!(HOSTILE.contains(&&b""[..]));
        assert!(HOSTILE.iter().any(|name| name.len() == 15 && std::str::from_utf8(name).is_err()));
        assert!(HOSTILE.iter().any(|name| name.starts_with(b"=cmd|")));
        let mut sorted = HOSTILE.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), HOSTILE.len(), "a name is there twice");
    }

    #[test]
    fn plain_numbered_and_tid_names() {
        assert_eq!(Names::Plain.fixed(Kind::VforkChild, 3).unwrap().bytes(), b"storm-vfork-chi");
        assert_eq!(Names::Numbered.fixed(Kind::Futex, 42).unwrap().bytes(), b"n0000042");
        assert_eq!(Names::Tid.fixed(Kind::Futex, 42), None);
        assert_eq!(Name::numbered(b't', 4_194_303, 0).bytes(), b"t4194303");
    }
}
