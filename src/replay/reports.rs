//! The report on recordings.

use crate::count::memory::Memory;
use crate::record::{Header, RecordError, Recording, TickInfo};
use crate::replay::clocks::Clocks;
use crate::replay::counters::forgotten;
use crate::replay::pieces::each_piece;
use crate::replay::question::{Question, Watch};
use crate::replay::tally::Tally;
use crate::replay::warnings::warnings;
use crate::report::Report;

/// The report on all `recordings` together. With several hosts, averages are per host.
///
/// # Errors
/// When a recording cannot be read, or lacks a column.
pub fn report(
    recordings: &mut [Box<dyn Recording>],
    question: &Question,
    watch: &mut Watch<'_>,
) -> Result<Report, RecordError> {
    report_with(recordings, question, watch, &mut |_, _| Ok(()))
}

/// The same; calls `see` with every tick.
pub(super) fn report_with(
    recordings: &mut [Box<dyn Recording>],
    question: &Question,
    watch: &mut Watch<'_>,
    see: &mut dyn FnMut(&Header, &TickInfo) -> Result<(), RecordError>,
) -> Result<Report, RecordError> {
    let mut tally = Tally::new(question, &Memory::new(question.max_memory));
    let mut clocks = Clocks::default();
    let mut counters = Vec::new();
    let has_forgotten = each_piece(recordings, question, &mut counters, watch, &mut |source, piece| {
        if piece.is_last {
            clocks.see(source.header, piece.tick);
            see(source.header, piece.tick)?;
        }
        tally.add(source, piece);
        Ok(())
    })?;
    let warnings = [warnings(recordings, question)?, clocks.warnings(), forgotten(has_forgotten)].concat();
    Ok(match &*recordings {
        [recording] => tally.report(recording.facts().filter(|_| question.is_of_all()), warnings),
        _ => tally.report(None, warnings),
    })
}
