//! Where the threads sleep, for a run or a replay that saw no active one.
//!
//! During a run only the state of a sleeping thread is read. So a few samples of what threads sleep in are taken when the run is
//! over. A replay uses the sleeping threads that were recorded.

use std::sync::Arc;
use std::time::Duration;

use crate::ask::column::Column;
use crate::ask::filter::Filter;
use crate::ask::plan::{Plan, PlanRequest, StateGate};
use crate::config::Config;
use crate::count::Aggregator;
use crate::observe::Context;
use crate::proc::ProcRoot;
use crate::record::{Header, RecordError, Recording};
use crate::replay::{self, Question, Watch};
use crate::report::{Facts, Report, Sleepers, Ticks};
use crate::row::value::{Mark, OwnedValue};
use crate::sample::Sampler;
use crate::tasks::users::Users;
use crate::tasks::{Process, TaskSet};
use crate::time::clock::{monotonic_ns, sleep_until};
use crate::time::moment::nanoseconds;

/// Samples taken.
const SAMPLES: u32 = 3;

/// Time between two samples.
const PERIOD: Duration = Duration::from_millis(10);

/// The longest time for all samples together.
const PATIENCE: Duration = Duration::from_secs(1);

/// The most threads sampled. Of more, every n-th is taken.
const MAX_THREADS: usize = 1024;

/// Samples the sleeping threads of `set`, except in processes that block their readers, as `blocks` says. `None` if there are
/// none, or if the conditions exclude sleeping threads.
pub(super) fn look(
    config: &Config,
    root: &ProcRoot,
    users: &Arc<Users>,
    set: &TaskSet,
    blocks: &dyn Fn(u32) -> bool,
) -> Option<Sleepers> {
    let plan = plan(&config.filters, &WAITS)?;
    let sample = Arc::new(thinned(set, blocks));
    let root = Arc::new(root.share());
    let context = Context { root, plan: plan.clone(), users: Arc::clone(users), lookups: None, links: Arc::default() };
    let aggregator = Arc::new(Aggregator::new(&plan));
    let mut sampler = Sampler::new(Arc::new(context), Arc::clone(&aggregator), config.workers.min(2)).ok()?;
    let deadline = monotonic_ns().saturating_add(nanoseconds(PATIENCE));
    let is_over = || monotonic_ns() > deadline;
    let mut samples = 0;
    while samples < SAMPLES && !is_over() {
        if !sampler.pass(&sample, samples, deadline, &is_over).is_complete {
            break;
        }
        samples += 1;
        sleep_until(monotonic_ns().saturating_add(nanoseconds(PERIOD)), &is_over);
    }
    let ticks = Ticks { completed: samples.into(), ..Ticks::default() };
    let report = Report::new(&plan, &aggregator, None, Facts { ticks, ..Facts::default() });
    let (threads, looked_at) = (set.threads() as u64, sample.threads() as u64);
    slept(&report).map(|sleepers| Sleepers { threads, looked_at, ..sleepers })
}

/// Where the threads slept in `recordings`. `None` if one of them has no sleeping threads or no column that tells.
///
/// # Errors
/// When a recording cannot be read.
pub fn recorded(
    recordings: &mut [Box<dyn Recording>],
    question: &Question,
    watch: &mut Watch<'_>,
) -> Result<Option<Sleepers>, RecordError> {
    let has = |name: &&str| {
        let is_in = |header: &Header| Column::find(name).is_some_and(|column| header.place(column).is_some());
        recordings.iter().all(|recording| recording.header().states.contains('S') && is_in(recording.header()))
    };
    let columns: Vec<&str> = WAITS.into_iter().filter(has).collect();
    let Some(plan) = plan(&question.filters, &columns) else { return Ok(None) };
    let report = replay::report(recordings, &Question { plan, limit: None, ..question.clone() }, watch)?;
    Ok(slept(&report))
}

/// Whether `recordings` have sleeping threads, and what each waits for.
#[must_use]
pub(crate) fn are_told_by(recordings: &[Box<dyn Recording>]) -> bool {
    let has_idle = |header: &Header| Column::find("idle").is_some_and(|column| header.place(column).is_some());
    recordings.iter().all(|recording| recording.header().states.contains('S') && has_idle(recording.header()))
}

/// The sleepers in a report.
fn slept(report: &Report) -> Option<Sleepers> {
    let waits = waits(report);
    let slept = waits.iter().map(|(_, average)| average).sum();
    (report.facts.ticks.completed > 0 && !waits.is_empty()).then_some(Sleepers { slept, waits, ..Sleepers::default() })
}

/// The columns that tell what a thread sleeps in.
const WAITS: [&str; 2] = ["syscall", "wchan"];

/// The plan that groups the sleeping threads that meet the conditions of the run by these columns.
fn plan(filters: &[String], columns: &[&str]) -> Option<Plan> {
    let filters = filters.iter().map(|filter| Filter::parse(filter)).collect::<Result<_, _>>().ok()?;
    let group_by = columns.iter().map(|name| (*name).to_owned()).collect();
    Plan::new(&PlanRequest { group_by, filters, ..PlanRequest::default() }, StateGate::only(b"S")).ok()
}

/// Every n-th thread of `set`, so that there are at most [`MAX_THREADS`].
fn thinned(set: &TaskSet, blocks: &dyn Fn(u32) -> bool) -> TaskSet {
    let every = set.threads().div_ceil(MAX_THREADS).max(1);
    let mut seen = 0_usize;
    let mut processes: Vec<Arc<Process>> = Vec::new();
    for process in set.processes().iter().filter(|process| !blocks(process.tgid)) {
        let tasks: Box<[_]> = process
            .tasks
            .iter()
            .filter(|_| {
                seen += 1;
                (seen - 1).is_multiple_of(every)
            })
            .cloned()
            .collect();
        if tasks.len() == process.tasks.len() {
            processes.push(Arc::clone(process));
        } else if !tasks.is_empty() {
            processes.push(Arc::new(process.with_tasks(tasks)));
        }
    }
    TaskSet::new(processes)
}

const NONE: OwnedValue = OwnedValue::Mark(Mark::None);

/// The average number of threads by what they sleep in, the largest first.
fn waits(report: &Report) -> Vec<(String, f64)> {
    let places = WAITS.map(|name| report.columns.dimensions.iter().position(|column| column.name == name));
    let mut waits: Vec<(String, f64)> = Vec::new();
    for row in &report.rows {
        let value = |place: Option<usize>| place.and_then(|place| row.group.get(place)).unwrap_or(&NONE);
        let [syscall, wchan] = places.map(value);
        let (wait, average) = (wait(syscall, wchan), row.average());
        match waits.iter_mut().find(|(known, _)| *known == wait) {
            Some((_, sum)) => *sum += average,
            None => waits.push((wait, average)),
        }
    }
    waits.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    waits
}

/// The system call, such as `epoll_wait`; the kernel function if there is none or it is not visible.
fn wait(syscall: &OwnedValue, wchan: &OwnedValue) -> String {
    let function = match wchan {
        OwnedValue::Text(name) if **name != *b"0" => Some(String::from_utf8_lossy(name)),
        _ => None,
    };
    match (syscall, function) {
        (OwnedValue::Text(name), _) => String::from_utf8_lossy(name).into_owned(),
        (OwnedValue::Mark(Mark::Denied), None) => "what psn may not see".to_owned(),
        (OwnedValue::Mark(Mark::Torn | Mark::Running), _) => "what they had left when it was read".to_owned(),
        (_, Some(function)) => format!("wchan {function}"),
        (_, None) => "what the kernel does not say".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::fixture::{self, group, text};
    use crate::tasks::Task;

    #[test]
    fn waits_are_named_by_system_call_or_else_by_kernel_function() {
        let row = |average: f64, syscall, wchan| group([0_u64.into(), average.into()], [syscall, wchan]);
        let rows = vec![
            row(1.0, text("futex"), text("futex_do_wait")),
            row(2.0, OwnedValue::Mark(Mark::KernelThread), text("kthreadd")),
            row(8.5, text("epoll_wait"), text("do_epoll_wait")),
            row(0.5, text("epoll_wait"), text("0")),
            row(0.2, OwnedValue::Mark(Mark::Denied), OwnedValue::Mark(Mark::Denied)),
            row(0.1, OwnedValue::Mark(Mark::Denied), text("pipe_read")),
        ];
        let columns = fixture::columns(&["samples", "avg_threads"], &["syscall", "wchan"]);
        let told: Vec<String> = waits(&Report { rows, columns, ..fixture::mysqld() })
            .iter()
            .map(|(wait, average)| format!("{average:.2} {wait}"))
            .collect();
        assert_eq!(
            told,
            [
                "9.00 epoll_wait",
                "2.00 wchan kthreadd",
                "1.00 futex",
                "0.20 what psn may not see",
                "0.10 wchan pipe_read"
            ]
        );
    }

    #[test]
    fn a_large_selection_is_thinned() {
        let process = |tgid: u32, threads: u32| {
            let tasks = (tgid..tgid + threads).map(|tid| Arc::new(Task::new(tid))).collect();
            Arc::new(Process::unlisted(tgid).with_tasks(tasks))
        };
        let set = TaskSet::new(vec![process(1, 1), process(10, 5000), process(9000, 3)]);
        let sample = thinned(&set, &|tgid| tgid == 9000);
        assert!((900..=MAX_THREADS).contains(&sample.threads()), "{}", sample.threads());
        assert!(sample.processes().iter().all(|process| process.tgid != 9000));
        let few = TaskSet::new(vec![process(1, 1), process(10, 50)]);
        assert_eq!(super::thinned(&few, &|_| false).threads(), 51);
    }
}
