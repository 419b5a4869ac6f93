//! What psn notes in the metadata of a part: read from many parts at once, in bounded memory, before any of their rows.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::record::Header;
use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::format::footer::Footer;
use crate::record::parquet::format::range::FileRange;
use crate::record::parquet::format::schema;
use crate::record::parquet::ticks::TickSummary;

/// The most bytes of a run's header. A hundred columns take seven thousand; the rest is the command line.
const MAX_HEADER: usize = 4 << 20;

/// The most bytes of a run's facts.
const MAX_FACTS: usize = 4 << 20;

/// The most columns of a run; there are far fewer.
const MAX_COLUMNS: usize = 1024;

/// What psn notes in the metadata of a part.
#[derive(Debug)]
pub(super) struct PartInfo {
    pub ticks: TickSummary,
    pub header: HeaderJson,
    /// The facts of the report as JSON, in the last part of a run.
    pub facts: Option<String>,
    /// The names of the parts that were merged into this one.
    pub replaces: Vec<String>,
}

/// A run's header as JSON. The parts of a run share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct HeaderJson(Arc<str>);

impl HeaderJson {
    /// Parses the header.
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

    /// The JSON.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// A part that is open, with what is read before its rows.
pub(super) struct OpenedPart {
    pub file: FileRange,
    /// The metadata of the file.
    pub footer: Footer,
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
    /// Parses what psn noted in the metadata of a part.
    pub(super) fn of(footer: &Footer) -> Result<Self, Damage> {
        const FOREIGN: Damage = Damage::Form("psn did not write it");
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

/// The most memory for the notes of all parts, in bytes: enough for a hundred thousand parts.
const MAX_HELD: usize = 64 << 20;

/// Metadata of more bytes are read in one thread at a time.
const LARGE: u64 = 256 << 10;

/// Reads the notes of many parts. Several threads may use it.
#[derive(Debug, Default)]
pub(super) struct PartReader {
    headers: Mutex<HashSet<Arc<str>>>,
    large: Mutex<()>,
    held: AtomicUsize,
}

impl PartReader {
    /// Reads the notes of the part in `file`.
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

    /// Accounts for memory that is kept. Fails if it is too much altogether.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), Damage> {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= MAX_HELD {
            return Ok(());
        }
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        Err(Damage::Form("the metadata of all parts take more memory than those of any dataset; ask for fewer parts"))
    }
}
