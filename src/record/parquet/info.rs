//! What parts say of themselves, read before any of their rows: of many parts at once, in bounded memory.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::record::Header;
use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::format::footer::Footer;
use crate::record::parquet::format::range::FileRange;
use crate::record::parquet::format::schema;
use crate::record::parquet::ticks::TickSummary;

/// What the header of a run may have in bytes: a hundred columns take seven thousand, and the rest is the command line.
const MAX_HEADER: usize = 4 << 20;

/// What the facts of a run may have in bytes.
const MAX_FACTS: usize = 4 << 20;

/// Columns of a run: a multiple of those that there are.
const MAX_COLUMNS: usize = 1024;

/// What a part says of itself.
#[derive(Debug)]
pub(super) struct PartInfo {
    /// Of its ticks.
    pub ticks: TickSummary,
    /// Of its run.
    pub header: HeaderJson,
    /// The facts of the run's report, JSON, if it is its last part.
    pub facts: Option<String>,
    /// The parts that it says it replaces.
    pub replaces: Vec<String>,
}

/// A run's header as it is in a part; parts of one run share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct HeaderJson(Arc<str>);

impl HeaderJson {
    /// The header.
    pub(super) fn parse(&self) -> Result<Header, Damage> {
        let header: Header =
            serde_json::from_str(&self.0).map_err(|_| Damage::Form("its header is not one of psn's"))?;
        let mut names = HashSet::new();
        if header.columns.len() > MAX_COLUMNS {
            return Err(Damage::Form("it has more columns than any recording"));
        }
        match header.columns.iter().all(|column| names.insert(column.name.as_str())) {
            true => Ok(header),
            false => Err(Damage::Form("two of its columns have one name")),
        }
    }

    /// Its text.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// A part that is open, with all that is read of it before its rows.
pub(super) struct OpenedPart {
    /// The file.
    pub file: FileRange,
    /// The file's own metadata.
    pub footer: Footer,
    /// What psn noted in them.
    pub info: PartInfo,
}

impl OpenedPart {
    /// Reads the metadata of the part in `file`.
    pub(super) fn of(file: FileRange) -> Result<Self, Damage> {
        let footer = Footer::read(&file)?;
        let info = PartInfo::of(&footer)?;
        Ok(Self { file, footer, info })
    }
}

impl PartInfo {
    /// What psn noted in the metadata of a part.
    pub(super) fn of(footer: &Footer) -> Result<Self, Damage> {
        const FOREIGN: Damage = Damage::Form("no psn wrote it");
        let ticks = footer.note(schema::TICKS_NOTE).and_then(|note| serde_json::from_str(note).ok());
        let ticks: TickSummary = ticks.ok_or(FOREIGN)?;
        if ticks.rows != footer.rows() {
            return Err(Damage::Form("its rows are not those of its ticks"));
        }
        let header = footer.note(schema::HEADER_NOTE).ok_or(FOREIGN)?;
        if header.len() > MAX_HEADER {
            return Err(Damage::Form("its header is longer than that of any recording"));
        }
        let facts = footer.note(schema::FACTS_NOTE).filter(|facts| facts.len() <= MAX_FACTS).map(str::to_owned);
        let replaces = footer.note(schema::REPLACES_NOTE).and_then(|names| serde_json::from_str(names).ok());
        Ok(Self { ticks, header: HeaderJson(header.into()), facts, replaces: replaces.unwrap_or_default() })
    }
}

/// Memory in bytes for what all parts say together: of a hundred thousand parts.
const MAX_HELD: usize = 64 << 20;

/// A file that says more of itself is looked at while no other such is.
const LARGE: u64 = 256 << 10;

/// Looks at many parts, in threads of any number.
#[derive(Debug, Default)]
pub(super) struct PartReader {
    headers: Mutex<HashSet<Arc<str>>>,
    large: Mutex<()>,
    held: AtomicUsize,
}

impl PartReader {
    /// What `file` says of itself.
    pub(super) fn read(&self, file: &FileRange) -> Result<PartInfo, Damage> {
        let mut info = match Footer::read_within(file, LARGE) {
            Err(Damage::Long) => {
                let _alone = self.large.lock().unwrap_or_else(PoisonError::into_inner);
                PartInfo::of(&Footer::read(file)?)?
            }
            footer => PartInfo::of(&footer?)?,
        };
        let mut headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes =
            info.facts.as_ref().map_or(0, String::len) + info.replaces.iter().map(String::capacity).sum::<usize>();
        if let Some(known) = headers.get(&*info.header.0) {
            info.header = HeaderJson(Arc::clone(known));
        } else {
            bytes += info.header.0.len();
        }
        self.hold(bytes)?;
        headers.insert(Arc::clone(&info.header.0));
        Ok(info)
    }

    /// Takes account of memory that is kept.
    ///
    /// # Errors
    /// When it is too much together.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), Damage> {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= MAX_HELD {
            return Ok(());
        }
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        Err(Damage::Form(
            "what the parts say of themselves takes more memory together than that of any dataset; ask for fewer",
        ))
    }
}
