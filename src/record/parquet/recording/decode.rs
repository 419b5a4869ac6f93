//! Decodes the rows of a recording on a thread of its own, some thousand rows ahead of the visitor.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use crate::record::parquet::find::{PartLocation, SkippedFiles};
use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::info::{OpenedPart, PartInfo};
use crate::record::parquet::read::rows::{RowReader, WantedColumn};
use crate::record::parquet::ticks::{TickReader, TickSummary};
use crate::record::{PIECE_ROWS, Piece, Query, RecordError, TickInfo, Visit};
use crate::row::rows::Rows;
use crate::text::sentence::shown;

/// The most ticks of a parcel.
const PARCEL_TICKS: usize = 512;

/// The size of rows, in bytes, after which a parcel is sent.
const PARCEL_BYTES: usize = 4 << 20;

/// How many parcels may wait.
const PARCELS_AHEAD: usize = 2;

/// The most memory, in bytes, for buffers that are kept for reuse.
const SPARE_BYTES: usize = 8 << 20;

/// How often the visitor's thread checks whether to stop while it waits.
const PATIENCE: Duration = Duration::from_millis(100);

/// A part of a recording.
#[derive(Debug, Clone)]
pub(super) struct FoundPart {
    pub location: PartLocation,
    pub ticks: TickSummary,
}

/// The recording to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunToRead<'a> {
    pub path: &'a Path,
    pub run: &'a str,
    pub parts: &'a [FoundPart],
}

/// Calls `visit` for the ticks of `query`, with the columns `wanted`. Also returns warnings about what could not be read.
pub(super) fn read(
    of: RunToRead<'_>,
    query: &Query,
    wanted: &[WantedColumn],
    stop: &AtomicBool,
    visit: &mut Visit<'_>,
) -> (Result<(), RecordError>, Vec<String>) {
    let (full, parcels) = bounded(PARCELS_AHEAD);
    let (back, empty) = unbounded();
    let mut decoder = Decoder {
        of,
        query,
        wanted,
        last: None,
        rows_done: 0,
        rows_total: of.parts.iter().fold(0, |rows, part| rows.saturating_add(part.ticks.rows)),
        parcel: Parcel::default(),
        full,
        empty,
        skipped: SkippedFiles::default(),
        halt: Arc::default(),
    };
    let halt = Arc::clone(&decoder.halt);
    std::thread::scope(|scope| {
        let decode = move || {
            // It fails only if the visitor's thread wants no more, and that knows why.
            let _ = decoder.decode();
            decoder.skipped.sentences("not all of it can be read")
        };
        let thread = std::thread::Builder::new().name("psn-decode".to_owned()).spawn_scoped(scope, decode);
        let thread = thread.map_err(|error| RecordError::io(of.path, error));
        let result = hand_out(parcels, &back, stop, visit);
        halt.store(true, Ordering::Relaxed);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(warnings)) => (result, warnings),
            Ok(Err(_)) => (result, vec![format!("{}: not all of it can be read", shown(of.path))]),
            Err(error) => (Err(error), Vec::new()),
        }
    })
}

/// Calls `visit` for what comes, and sends the parcels back.
fn hand_out(
    parcels: Receiver<Parcel>,
    back: &Sender<Parcel>,
    stop: &AtomicBool,
    visit: &mut Visit<'_>,
) -> Result<(), RecordError> {
    loop {
        let parcel = match parcels.recv_timeout(PATIENCE) {
            Ok(parcel) => parcel,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => return Err(RecordError::Stopped),
            Err(RecvTimeoutError::Timeout) => continue,
        };
        for OwnedPiece { tick, rows, is_last, progress } in &parcel.pieces {
            if stop.load(Ordering::Relaxed) {
                return Err(RecordError::Stopped);
            }
            visit(Piece { tick, rows, is_last: *is_last, progress: *progress })?;
        }
        // The decoder may have ended.
        let _ = back.send(parcel);
    }
}

/// Pieces on their way from the decoder. Their buffers are reused.
#[derive(Default)]
struct Parcel {
    pieces: Vec<OwnedPiece>,
    /// Buffers for further pieces.
    spare: Vec<OwnedPiece>,
    /// The rows of all pieces, and their size in bytes.
    rows: usize,
    bytes: usize,
}

struct OwnedPiece {
    tick: TickInfo,
    rows: Rows,
    is_last: bool,
    progress: f64,
}

/// Reads parts for the visitor's thread.
struct Decoder<'a> {
    of: RunToRead<'a>,
    query: &'a Query,
    wanted: &'a [WantedColumn],
    /// The number of the last tick that was read.
    last: Option<u64>,
    rows_done: u64,
    rows_total: u64,
    parcel: Parcel,
    full: Sender<Parcel>,
    empty: Receiver<Parcel>,
    skipped: SkippedFiles,
    /// Set when nothing more is wanted.
    halt: Arc<AtomicBool>,
}

/// Why the reading of a part ended.
enum PartEnd {
    /// The rest of the part cannot be read.
    Damage(Damage),
    /// Nothing more is wanted.
    Unwanted,
}

impl From<Damage> for PartEnd {
    fn from(damage: Damage) -> Self {
        if matches!(damage, Damage::Stopped) { Self::Unwanted } else { Self::Damage(damage) }
    }
}

impl Decoder<'_> {
    fn decode(&mut self) -> Result<(), PartEnd> {
        for part in self.of.parts {
            let result = match self.part(part) {
                Err(PartEnd::Damage(damage)) if damage.is_absence() => match self.successor(part) {
                    Some(successor) => self.part(&successor),
                    None => Err(PartEnd::Damage(damage)),
                },
                result => result,
            };
            match result {
                Ok(()) => {}
                Err(PartEnd::Damage(damage)) => self.skipped.add(part.location.path(), &damage),
                Err(PartEnd::Unwanted) => return Err(PartEnd::Unwanted),
            }
        }
        self.send()
    }

    /// The part that `part` was merged into after it was found.
    fn successor(&self, part: &FoundPart) -> Option<FoundPart> {
        let has_it = |info: &PartInfo| {
            info.header.parse().is_ok_and(|header| header.run == self.of.run) && info.ticks.covers(&part.ticks)
        };
        let names = part.location.siblings().ok()?;
        names.into_iter().find_map(|name| {
            let location = part.location.beside(&name);
            let info = location.open().and_then(OpenedPart::of).ok()?.info;
            if !has_it(&info) {
                return None;
            }
            Some(FoundPart { location, ticks: info.ticks })
        })
    }

    /// Reads a part, unless all of it is outside the query.
    fn part(&mut self, part: &FoundPart) -> Result<(), PartEnd> {
        let Query { from_ns, to_ns, .. } = *self.query;
        let is_known = self.last.is_some_and(|last| part.ticks.last <= last);
        if part.ticks.count == 0 || part.ticks.to_ns < from_ns || part.ticks.from_ns >= to_ns || is_known {
            self.rows_done = self.rows_done.saturating_add(part.ticks.rows);
            return Ok(());
        }
        let OpenedPart { file, footer, info } = part.location.open().and_then(OpenedPart::of)?;
        let mut ticks = TickReader::new(&file, &info.ticks, &self.halt)?;
        let mut rows = RowReader::new(&file, footer, self.wanted, &self.halt)?;
        while let Some(tick) = ticks.next()? {
            let is_new = self.last.is_none_or(|last| tick.number > last);
            if is_new && (from_ns..to_ns).contains(&tick.info.time_ns) {
                self.tick(&tick.info, tick.rows, &mut rows)?;
            } else {
                rows.skip(tick.rows);
                self.rows_done = self.rows_done.saturating_add(tick.rows);
            }
            self.last = self.last.max(Some(tick.number));
        }
        Ok(())
    }

    /// Reads a tick. It has all its rows or is skipped, unless it is larger than a piece.
    fn tick(&mut self, info: &TickInfo, mut left: u64, rows: &mut RowReader) -> Result<(), PartEnd> {
        loop {
            let mut piece = self.parcel.spare.pop().unwrap_or_else(|| OwnedPiece {
                tick: TickInfo::default(),
                rows: Rows::new(self.wanted.len()),
                is_last: true,
                progress: 0.0,
            });
            piece.rows.clear();
            let count = rows.read(usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_ROWS), &mut piece.rows)?;
            left -= count as u64;
            self.rows_done = self.rows_done.saturating_add(count as u64);
            #[expect(clippy::cast_precision_loss, reason = "progress to be shown")]
            let progress = (self.rows_done as f64 / self.rows_total.max(1) as f64).min(1.0);
            piece.tick.clone_from(info);
            (piece.is_last, piece.progress) = (left == 0, progress);
            self.parcel.rows += count;
            self.parcel.bytes += piece.rows.size();
            self.parcel.pieces.push(piece);
            let Parcel { rows, bytes, pieces, .. } = &self.parcel;
            if *rows >= PIECE_ROWS || *bytes >= PARCEL_BYTES || pieces.len() >= PARCEL_TICKS {
                self.send()?;
            }
            if left == 0 {
                return Ok(());
            }
        }
    }

    /// Sends the parcel.
    fn send(&mut self) -> Result<(), PartEnd> {
        let mut next = self.empty.try_recv().unwrap_or_default();
        next.spare.append(&mut next.pieces);
        let mut bytes = 0;
        next.spare.retain(|piece| {
            bytes += piece.rows.capacity();
            bytes <= SPARE_BYTES
        });
        (next.rows, next.bytes) = (0, 0);
        let full = std::mem::replace(&mut self.parcel, next);
        self.full.send(full).map_err(|_| PartEnd::Unwanted)
    }
}
