//! `psn -i`, `psn diff` and `psn export`: recordings replayed, compared and copied.

use std::ffi::OsStr;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::out::{CANNOT_WRITE, charset, in_charset, layout, print, print_report, write_out};
use super::stop::stop_on_signals;
use super::tell;
use crate::ask::plan::{Collected, Plan, PlanRequest, StateGate};
use crate::ask::select::ProcessSelection;
use crate::config::cli::{DiffArgs, ExportArgs, SampleArgs};
use crate::config::{self, UsageError};
use crate::output::{self, Format, RenderOptions};
use crate::record::open::{self, SinkOptions};
use crate::record::{RecordError, Recording};
use crate::replay::diff::{self, Side};
use crate::replay::export;
use crate::replay::slices::{self, LongForm, Matrix};
use crate::replay::{self, Question};
use crate::report::{Report, States};
use crate::session::Stop;
use crate::session::sleepers;
use crate::text::sentence::{sentence, shown};
use crate::time::moment::{TimePoint, local, nanoseconds};

/// `psn -i`: prints the report on recordings.
pub(super) fn replay(args: &SampleArgs) -> anyhow::Result<()> {
    let question = Question {
        plan: config::plan(args, Collected::Counts)?,
        filters: args.filters.clone(),
        limit: args.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        processes: config::processes(args)?,
        threads: (!args.thread.is_empty()).then(|| args.thread.iter().copied().collect()),
        from_ns: None,
        to_ns: None,
        max_memory: args.max_memory,
    };
    let stop = stop_on_signals()?;
    let mut recordings = open::recordings(&args.replay.input, &args.replay.host, &stop.flag()).context("-i")?;
    let question = within(question, args.replay.from, args.replay.to, &mut recordings)?;
    let mut bar = Bar::new(args.quiet, &stop);
    if let Some(per) = args.replay.per {
        return slices_of(args, &mut recordings, &question, nanoseconds(per), bar);
    }
    let report = report(&mut recordings, &question, &mut |done| bar.update(done));
    drop(bar);
    let report = report?;
    stop.unstoppable(|| print_report(&report, args.format, !args.quiet, args.raw_csv))?;
    tell_unseen(&recordings, args.format, args.quiet);
    check_whole(&lost(&recordings))
}

/// Prints warnings about recordings, such as damage, on standard error if the format of the report does not show them.
fn tell_unseen(recordings: &[Box<dyn Recording>], format: Format, quiet: bool) {
    let is_seen = match format {
        Format::Json => true,
        Format::Table => !quiet,
        Format::Csv | Format::Folded => false,
    };
    if !is_seen {
        recordings
            .iter()
            .flat_map(|recording| recording.warnings())
            .for_each(|warning| tell::line(&format!("warning: {warning}")));
    }
}

/// What of the recordings could not be read.
fn lost(recordings: &[Box<dyn Recording>]) -> Vec<String> {
    recordings.iter().flat_map(|recording| recording.lost()).collect()
}

/// An error if something of the recordings could not be read. It comes last, after the report on the rest.
fn check_whole(lost: &[String]) -> anyhow::Result<()> {
    if lost.is_empty() { Ok(()) } else { anyhow::bail!("{}", sentence(&lost.join("; "))) }
}

/// The report on `recordings`. If no thread was active, it tells where the others slept, if that was recorded.
fn report(
    recordings: &mut [Box<dyn Recording>],
    question: &Question,
    watch: &mut replay::Watch<'_>,
) -> Result<Report, RecordError> {
    let mut report = replay::report(recordings, question, watch)?;
    report.facts.can_show_waits = sleepers::are_told_by(recordings);
    if report.rows.is_empty() && report.states == States::Active && report.facts.sleepers.is_none() {
        report.facts.sleepers = sleepers::recorded(recordings, question, watch)?;
    }
    Ok(report)
}

/// `--per`: each group slice by slice.
fn slices_of(
    args: &SampleArgs,
    recordings: &mut [Box<dyn Recording>],
    question: &Question,
    per_ns: u64,
    mut bar: Bar<'_>,
) -> anyhow::Result<()> {
    let survey = slices::survey(recordings, question, per_ns, &mut |done| bar.update(done / 2.0))?;
    let mut watch = |done: f64| bar.update(0.5 + done / 2.0);
    let layout = layout(args.format, !args.quiet, args.raw_csv);
    if args.format == Format::Table {
        let mut matrix = Matrix::new(&survey, per_ns, layout.width);
        slices::each(recordings, question, &survey, per_ns, &mut watch, &mut |slice| {
            matrix.add(&slice);
            Ok(())
        })?;
        drop(bar);
        let (table, accounts) = matrix.finish(&survey);
        return write_out(|out| {
            output::render(&table, Format::Table, &RenderOptions { footer: false, ..layout }, out)?;
            if layout.footer {
                output::render(&accounts, Format::Table, &RenderOptions { footer: false, ..layout }, out)?;
                output::account(&survey.whole, &layout, out)?;
            }
            Ok(())
        })
        .and_then(|()| {
            tell_unseen(recordings, args.format, args.quiet);
            check_whole(&lost(recordings))
        });
    }
    let mut out = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let mut failed = None;
    let mut long = LongForm::begin(&survey, args.format, layout, &mut out).context(CANNOT_WRITE)?;
    let result = slices::each(recordings, question, &survey, per_ns, &mut watch, &mut |slice| {
        long.add(&slice).map_err(|error| {
            failed = Some(error);
            RecordError::Stopped
        })
    });
    if let Some(error) = failed {
        return Err(error).context(CANNOT_WRITE);
    }
    result?;
    long.end().and_then(|()| out.flush()).context(CANNOT_WRITE)?;
    tell_unseen(recordings, args.format, args.quiet);
    check_whole(&lost(recordings))
}

/// Limits the question to `from` and `to`. Times that count back from the end count from the last tick.
fn within(
    question: Question,
    from: Option<TimePoint>,
    to: Option<TimePoint>,
    recordings: &mut [Box<dyn Recording>],
) -> anyhow::Result<Question> {
    if from.is_none() && to.is_none() {
        return Ok(question);
    }
    let end_ns = replay::last_time(recordings)?.map_or(0, |last| last.saturating_add(1));
    // Such a window ends at the last tick: if the clock was set back, earlier ticks have later times.
    let is_from_end = matches!(from, Some(TimePoint::BeforeEnd(_) | TimePoint::OfDay(_)));
    let to_ns = to.map(|to| to.resolve(end_ns)).or(is_from_end.then_some(end_ns));
    let from_ns = from.map(|from| from.resolve(end_ns));
    if let (Some(from), Some(to)) = (from_ns, to_ns)
        && from >= to
    {
        return Err(UsageError::EmptyWindow { from: local(from), to: local(to) }.into());
    }
    let span = replay::span(recordings)?;
    let misses =
        span.is_none_or(|(first, last)| from_ns.is_some_and(|from| from > last) || to_ns.is_some_and(|to| to <= first));
    if misses {
        let (from, to) =
            (from_ns.map_or_else(|| "the start".to_owned(), local), to_ns.map_or_else(|| "the end".to_owned(), local));
        let there = replay::span_text(span);
        anyhow::bail!("--from and --to: there is nothing from {from} to {to}; there are recordings {there}");
    }
    Ok(Question { from_ns, to_ns, ..question })
}

/// `psn diff`: prints what is different between two recordings.
pub(super) fn diff(args: &DiffArgs) -> anyhow::Result<()> {
    let request = PlanRequest {
        group_by: [config::names(&args.group_by), config::names(&args.append_group_by)].concat(),
        select: vec!["ci95".to_owned()],
        filters: config::filters(&args.filters)?,
        ..PlanRequest::default()
    };
    let gate = if args.all_states { StateGate::all() } else { StateGate::active() };
    let plan = Plan::new(&request, gate).map_err(UsageError::from)?;
    let stop = stop_on_signals()?;
    let mut bar = Bar::new(args.quiet, &stop);
    let mut gone = Vec::new();
    let mut side = |given: &OsStr| -> anyhow::Result<(Side, Report)> {
        let side = Side::parse(given).map_err(UsageError::Window)?;
        let question = Question {
            plan: plan.clone(),
            filters: args.filters.clone(),
            limit: None,
            processes: ProcessSelection::All,
            threads: None,
            from_ns: None,
            to_ns: None,
            // Each side gets half.
            max_memory: args.max_memory / 2,
        };
        let mut recordings = open::recordings(std::slice::from_ref(&side.path), &args.host, &stop.flag())?;
        let question = within(question, side.from, side.to, &mut recordings)?;
        let report = replay::report(&mut recordings, &question, &mut |done| bar.update(done))?;
        gone.extend(lost(&recordings));
        tell_unseen(&recordings, args.format, args.quiet);
        Ok((side, report))
    };
    let (before, after) = (side(&args.before)?, side(&args.after)?);
    drop(bar);
    let limit = args.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let (before, after) = ((&before.0, &before.1), (&after.0, &after.1));
    let report = diff::table(before, after, args.significant, limit);
    // Without the footer: it is about one run, and these are two.
    stop.unstoppable(|| print_report(&report, args.format, false, args.raw_csv))?;
    if args.format == Format::Table && !args.quiet {
        let left_out = match report.rows_left_out {
            0 => None,
            more => Some(format!("rows: {more} more, left out by --limit")),
        };
        let notes = diff::notes(before, after).into_iter().chain(left_out);
        let text: String = notes.map(|note| format!("{}\n", sentence(&note))).collect();
        let text = format!("\n{text}");
        let text = charset(std::io::IsTerminal::is_terminal(&std::io::stdout())).text(&text);
        print(|out| out.write_all(text.as_bytes()))?;
    }
    check_whole(&gone)
}

/// `psn export`: copies recordings into another format.
pub(super) fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let stop = stop_on_signals()?;
    let mut recordings = open::recordings(std::slice::from_ref(&args.input), &args.host, &stop.flag())?;
    let options = SinkOptions { path: args.output.clone(), force: args.force, flush: None, keep: None, max_size: None };
    let mut bar = Bar::new(args.quiet, &stop);
    let result = export::copy(&mut recordings, &options, &mut |done| bar.update(done));
    drop(bar);
    let copied = result?;
    if !args.quiet {
        tell::line(&format!("copied {} rows of {} ticks to {}", copied.rows, copied.ticks, shown(&args.output)));
        for warning in copied.warnings {
            tell::line(&format!("warning: {warning}"));
        }
    }
    check_whole(&lost(&recordings))
}

/// A progress bar on standard error, shown once the work takes over a second.
struct Bar<'a> {
    bar: Option<ProgressBar>,
    stop: &'a Stop,
}

impl<'a> Bar<'a> {
    const STEPS: u64 = 1000;

    fn new(quiet: bool, stop: &'a Stop) -> Self {
        let bar = (!quiet && tell::is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(Self::STEPS), ProgressDrawTarget::hidden());
            if let Ok(style) = ProgressStyle::with_template("reading {bar:40} {percent}% {eta} left") {
                bar.set_style(in_charset(style));
            }
            bar
        });
        Self { bar, stop }
    }

    /// Shows the part that is done, from 0 to 1. An error if the user has stopped psn.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a thousand")]
    fn update(&mut self, done: f64) -> Result<(), RecordError> {
        if self.stop.is_stopped() {
            return Err(RecordError::Stopped);
        }
        if let Some(bar) = &self.bar {
            if bar.is_hidden() && bar.elapsed() > Duration::from_secs(1) {
                bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
            }
            bar.set_position((done.clamp(0.0, 1.0) * Self::STEPS as f64) as u64);
        }
        Ok(())
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
