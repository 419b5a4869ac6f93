//! An input file. Its first bytes tell the format, whatever its name. The descriptor stays open, so that every reading is of
//! the same file even if its name leads elsewhere by then.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};

use super::RecordError;

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// An empty file.
    Empty,
    /// An SQLite database.
    Sqlite,
    /// A Parquet file.
    Parquet,
    /// psn's CSV.
    Csv,
    /// Compressed by gzip, as CSV may be.
    Gzip,
    /// None of these.
    Unknown,
}

impl Content {
    /// How many bytes are looked at.
    const LEN: usize = 16;

    fn of(first: &[u8]) -> Self {
        match first {
            [] => Self::Empty,
            _ if first.starts_with(b"SQLite format 3\0") => Self::Sqlite,
            _ if first.starts_with(b"PAR1") => Self::Parquet,
            _ if first.starts_with(b"#recording") => Self::Csv,
            [0x1f, 0x8b, ..] => Self::Gzip,
            _ => Self::Unknown,
        }
    }
}

/// A regular file that is open, or a copy of what came by a pipe.
#[derive(Debug, Clone)]
pub(super) struct InputFile {
    /// The path it was opened by.
    pub path: PathBuf,
    file: Arc<File>,
    len: u64,
    /// Whether it is a copy of a pipe, so that it cannot be opened by its path again.
    pub is_copy: bool,
}

impl InputFile {
    /// Opens the regular file at `path`. Standard input and open descriptors under their names (`/dev/fd/3`) may also be
    /// pipes, which are copied until `stop` is set. Other pipes, and devices, are refused without waiting for them.
    pub(super) fn open(path: &Path, stop: &AtomicBool) -> Result<Self, RecordError> {
        let failed = |error| RecordError::io(path, error);
        let name = if path.as_os_str() == "-" { Path::new("/dev/stdin") } else { path };
        let is_descriptor = is_descriptor(name);
        // Checked before the file is opened: opening a device may have effects.
        let found = fs::metadata(name).map_err(failed)?;
        if !(found.is_file() || (is_descriptor && (found.file_type().is_fifo() || found.file_type().is_socket()))) {
            return Err(refused(path, &found));
        }
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file =
            fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(name).map_err(failed)?;
        let opened = file.metadata().map_err(failed)?;
        let source = |file, len, is_copy| Self { path: path.to_owned(), file: Arc::new(file), len, is_copy };
        if opened.is_file() {
            return Ok(source(file, opened.len(), false));
        }
        if !is_descriptor {
            return Err(refused(path, &opened));
        }
        let (copy, len) = copy(&file, stop).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => RecordError::Stopped,
            _ => failed(error),
        })?;
        Ok(source(copy, len, true))
    }

    /// The format.
    pub(super) fn content(&self) -> io::Result<Content> {
        let mut first = [0; Content::LEN];
        let len = self.file.read_at(&mut first, 0)?;
        Ok(Content::of(first.get(..len).unwrap_or_default()))
    }

    /// The bytes from the start, decompressed if need be, and the share of the file that has been read.
    pub(super) fn bytes(&self) -> io::Result<(Box<dyn Read>, ReadShare)> {
        let taken = ReadShare { at: Arc::default(), len: self.len };
        let plain = PositionedReader { file: Arc::clone(&self.file), at: Arc::clone(&taken.at) };
        Ok(match self.content()? {
            Content::Gzip => (Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(1 << 16, plain))), taken),
            _ => (Box::new(plain), taken),
        })
    }
}

/// Whether `path` names an open descriptor, as the pipes of a shell do.
fn is_descriptor(path: &Path) -> bool {
    ["/dev/stdin", "/dev/fd", "/proc/self/fd"].iter().any(|prefix| path.starts_with(prefix))
}

fn refused(path: &Path, found: &fs::Metadata) -> RecordError {
    let kind = found.file_type();
    let reason = if kind.is_fifo() {
        "it is a pipe; what comes by one is read with -i -, as in psn -i - < PIPE"
    } else if kind.is_dir() {
        "it is a directory"
    } else if kind.is_socket() {
        "it is a socket"
    } else {
        "it is a device, not a regular file"
    };
    RecordError::not_recording(path, reason)
}

/// Copies a pipe to an unnamed file, so that it can be read more than once.
fn copy(pipe: &File, stop: &AtomicBool) -> io::Result<(File, u64)> {
    let mut copy = unnamed()?;
    let mut piece = vec![0; 1 << 16];
    let mut len = 0;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        let mut ready = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
        match poll(&mut ready, Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        match (&*pipe).read(&mut piece) {
            Ok(0) => return Ok((copy, len)),
            Ok(read) => {
                copy.write_all(piece.get(..read).unwrap_or_default())?;
                len += read as u64;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file that nobody else can open and that is gone when it is closed. It is on disk rather than in memory, unless TMPDIR
/// says otherwise.
fn unnamed() -> io::Result<File> {
    let directory = std::env::var_os("TMPDIR").filter(|name| !name.is_empty()).map_or("/var/tmp".into(), PathBuf::from);
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let made = rustix::fs::open(&directory, flags, Mode::RUSR | Mode::WUSR);
    made.map(File::from).map_err(|error| {
        let reason = io::Error::from(error);
        let directory = crate::text::sentence::shown(&directory);
        io::Error::new(reason.kind(), format!("what is read from a pipe is kept in {directory} (TMPDIR): {reason}"))
    })
}

/// Reads a file from its start, independently of other readers.
struct PositionedReader {
    file: Arc<File>,
    at: Arc<AtomicU64>,
}

impl Read for PositionedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buffer, self.at.load(Ordering::Relaxed))?;
        self.at.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

/// How much of a file has been read.
#[derive(Debug)]
pub(super) struct ReadShare {
    at: Arc<AtomicU64>,
    len: u64,
}

impl ReadShare {
    /// The share, from 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "progress to be shown")]
    pub(super) fn share(&self) -> f64 {
        self.at.load(Ordering::Relaxed) as f64 / (self.len as f64).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture::Directory;

    #[test]
    fn the_first_bytes_say_what_it_is() {
        for (first, content) in [
            (&b""[..], Content::Empty),
            (b"SQLite format 3\0\x10\0", Content::Sqlite),
            (b"PAR1\x15\x04", Content::Parquet),
            (b"#recording,\"{", Content::Csv),
            (b"\x1f\x8b\x08", Content::Gzip),
            (b"tick,time", Content::Unknown),
        ] {
            assert_eq!(Content::of(first), content);
        }
    }

    #[test]
    fn pipes_and_devices_are_refused_and_not_waited_for() {
        let root = Directory::new();
        let pipe = root.path.join("pipe.csv");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let said = |path: &Path| InputFile::open(path, &AtomicBool::new(false)).unwrap_err().to_string();
        assert!(said(&pipe).contains("it is a pipe") && said(&pipe).contains("-i -"));
        assert!(said(Path::new("/dev/null")).contains("device"));
        assert!(said(&root.path).contains("directory"));
    }

    #[test]
    fn it_is_the_same_file_whatever_its_name_leads_to() {
        let root = Directory::new();
        let path = root.path.join("a.csv");
        fs::write(&path, "first").unwrap();
        let source = InputFile::open(&path, &AtomicBool::new(false)).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "second").unwrap();
        for _ in 0..2 {
            let (mut bytes, taken) = source.bytes().unwrap();
            let mut text = String::new();
            bytes.read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), taken.share()), ("first", 1.0));
        }
    }
}
