//! Recordings, as their user meets them: replay, comparison, copies.

use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{in_charset, print_report, stop_on_signals};
use crate::cli::{DiffArgs, ExportArgs, SampleArgs};
use crate::config::{self, UsageError};
use crate::diff::{self, Side};
use crate::moment::{Moment, nanoseconds};
use crate::output::Format;
use crate::output::escape::printable;
use crate::plan::{Keep, Plan, PlanRequest, StateGate};
use crate::record::open::{self, SinkOptions};
use crate::record::{RecordError, Recording};
use crate::replay::{self, Question};
use crate::report::{Report, States};
use crate::select::ProcessSelection;
use crate::session::Stop;
use crate::{export, sleepers, slices};

/// `psn -i`: the report on recordings.
pub fn replay(args: &SampleArgs) -> anyhow::Result<()> {
    let question = Question {
        plan: config::plan(args, Keep::Counts)?,
        filters: args.filters.clone(),
        limit: args.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        processes: config::processes(args)?,
        threads: (!args.thread.is_empty()).then(|| args.thread.iter().copied().collect()),
        from_ns: None,
        to_ns: None,
    };
    let stop = stop_on_signals()?;
    let mut recordings = open::recordings(&args.replay.input, &args.replay.host).context("-i")?;
    let question = within(question, args.replay.from, args.replay.to, &mut recordings)?;
    let mut bar = Bar::new(args.quiet, &stop);
    let report = match args.replay.per {
        None => report(&mut recordings, &question, &mut |done| bar.update(done)),
        Some(per) => replay::slices(&mut recordings, &question, nanoseconds(per), &mut |done| bar.update(done))
            .map(|slices| slices::table(slices, args.format == Format::Table)),
    };
    drop(bar);
    print_report(&report?, args.format, !args.quiet, args.raw_csv)
}

/// The report on `recordings`; without an active thread, with what the others did if that was recorded.
fn report(
    recordings: &mut [Box<dyn Recording>],
    question: &Question,
    watch: &mut replay::Watch<'_>,
) -> Result<Report, RecordError> {
    let mut report = replay::report(recordings, question, watch)?;
    if report.rows.is_empty() && report.states == States::Active && report.sleepers.is_none() {
        report.sleepers = sleepers::recorded(recordings, question, watch)?;
    }
    Ok(report)
}

/// The question about a part of the time only; the end that times may count back from is that of the recordings.
fn within(
    question: Question,
    from: Option<Moment>,
    to: Option<Moment>,
    recordings: &mut [Box<dyn Recording>],
) -> anyhow::Result<Question> {
    if from.is_none() && to.is_none() {
        return Ok(question);
    }
    let span = replay::span(recordings)?;
    let end_ns = span.map_or(0, |(_, last)| last.saturating_add(1));
    let (from_ns, to_ns) = (from.map(|from| from.resolve(end_ns)), to.map(|to| to.resolve(end_ns)));
    if let (Some(from), Some(to)) = (from_ns, to_ns)
        && from >= to
    {
        anyhow::bail!(UsageError::EmptyWindow);
    }
    let misses =
        span.is_none_or(|(first, last)| from_ns.is_some_and(|from| from > last) || to_ns.is_some_and(|to| to <= first));
    if misses {
        anyhow::bail!(
            "--from and --to: there is nothing in that time; there are recordings {}",
            replay::span_text(span)
        );
    }
    Ok(Question { from_ns, to_ns, ..question })
}

/// `psn diff`: what has changed.
pub fn diff(args: &DiffArgs) -> anyhow::Result<()> {
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
    let mut side = |given: &str| -> anyhow::Result<(Side, Report)> {
        let side = Side::parse(given).map_err(UsageError::Window)?;
        let question = Question {
            plan: plan.clone(),
            filters: args.filters.clone(),
            limit: None,
            processes: ProcessSelection::All,
            threads: None,
            from_ns: None,
            to_ns: None,
        };
        let mut recordings = open::recordings(std::slice::from_ref(&side.path), &args.host)?;
        let question = within(question, side.from, side.to, &mut recordings)?;
        let report = replay::report(&mut recordings, &question, &mut |done| bar.update(done))?;
        Ok((side, report))
    };
    let (before, after) = (side(&args.before)?, side(&args.after)?);
    drop(bar);
    let limit = args.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let (before, after) = ((&before.0, &before.1), (&after.0, &after.1));
    let report = diff::table(before, after, args.significant, limit);
    // The account of one run would say nothing of two.
    print_report(&report, args.format, false, args.raw_csv)?;
    if args.format == Format::Table && !args.quiet {
        let left_out = match report.rows_left_out {
            0 => None,
            more => Some(format!("rows: {more} more, left out by --limit")),
        };
        let notes = diff::notes(before, after).into_iter().chain(left_out);
        let text: String = notes.map(|note| format!("{}\n", printable(note.as_bytes()))).collect();
        let text = format!("\n{text}");
        let text = super::charset(io::stdout().is_terminal()).text(&text);
        return super::print(|out| out.write_all(text.as_bytes()));
    }
    Ok(())
}

/// `psn export`: the same recordings in another format.
pub fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let stop = stop_on_signals()?;
    let mut recordings = open::recordings(std::slice::from_ref(&args.input), &args.host)?;
    let options = SinkOptions { path: args.output.clone(), force: args.force, flush: None, keep: None, max_size: None };
    let mut bar = Bar::new(args.quiet, &stop);
    let result = export::copy(&mut recordings, &options, &mut |done| bar.update(done));
    drop(bar);
    let copied = result?;
    if !args.quiet {
        eprintln_ignoring_errors(&format!(
            "copied {} rows of {} ticks to {}",
            copied.rows,
            copied.ticks,
            args.output.display()
        ));
        for warning in copied.warnings {
            eprintln_ignoring_errors(&format!("warning: {warning}"));
        }
    }
    Ok(())
}

/// With standard error gone there is nobody left to tell.
fn eprintln_ignoring_errors(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// A bar on standard error, for what takes over a second.
struct Bar<'a> {
    bar: Option<ProgressBar>,
    stop: &'a Stop,
}

impl<'a> Bar<'a> {
    const STEPS: u64 = 1000;

    fn new(quiet: bool, stop: &'a Stop) -> Self {
        let bar = (!quiet && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(Self::STEPS), ProgressDrawTarget::hidden());
            if let Ok(style) = ProgressStyle::with_template("reading {bar:40} {percent}% {eta} left") {
                bar.set_style(in_charset(style));
            }
            bar
        });
        Self { bar, stop }
    }

    /// Shows how much is done, from 0 to 1; an error once the user has had enough.
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
