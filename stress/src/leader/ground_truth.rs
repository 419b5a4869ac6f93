//! Makes the two lines of output from what is on the board and in `/proc`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::audit::{self, ThreadState};
use crate::host::limits;
use crate::kinds::measured::MeasuredWaits;
use crate::plan::kind::Kind;
use crate::plan::rates::Churner;
use crate::truth::{Achieved, AchievedRate, Ending, TaskGroup, Truth, WaitTruth, ranges};
use crate::worker::context::Context;

/// The ground truth about a storm that is complete. `own_state` is the state of the leader.
pub(super) fn truth(context: &Context, own_state: ThreadState, list: bool) -> Truth {
    let leader = context.leader.as_raw_nonzero().get().unsigned_abs();
    let mut pids = vec![leader];
    let mut threads = vec![(leader, leader, Kind::Harness)];
    let mut groups: BTreeMap<(Kind, Option<Vec<u8>>), u32> = BTreeMap::new();
    for (slot, arrival) in context.board.arrivals() {
        pids.push(arrival.pid);
        threads.push((arrival.pid, arrival.tid, arrival.kind));
        let comm = context.names.groups().then(|| context.names.fixed(arrival.kind, slot));
        let comm = comm.flatten().map(|name| name.bytes().to_vec());
        *groups.entry((arrival.kind, comm)).or_default() += 1;
    }
    pids.sort_unstable();
    pids.dedup();
    let states = audit::examples(&context.board);
    let own_comm = std::fs::read("/proc/self/comm").ok();
    let own_comm = own_comm.map(|comm| comm.strip_suffix(b"\n").unwrap_or(&comm).to_vec());
    let mut tasks = vec![group(Kind::Harness, own_comm, 1, own_state)];
    tasks.extend(groups.into_iter().map(|((kind, comm), count)| {
        let settled = kind.settled_state().is_some();
        let state = states.get(&kind).filter(|_| settled).cloned().unwrap_or_default();
        group(kind, comm, count, state)
    }));
    let churn = &context.churn;
    Truth {
        ready: true,
        root_pid: leader,
        processes_total: small(pids.len()),
        pids: ranges(pids),
        threads_total: small(threads.len()),
        threads_requested: 0,
        tasks,
        churn: churn.any().then_some(*churn),
        limits: limits::limits(leader),
        limit_hit: None,
        startup_ms: 0,
        threads: if list { threads } else { Vec::new() },
    }
}

fn group(kind: Kind, comm: Option<Vec<u8>>, count: u32, state: ThreadState) -> TaskGroup {
    let name = state.syscall_nr.and_then(audit::syscall_name).map(str::to_owned);
    TaskGroup {
        kind,
        count,
        state: state.state,
        syscall: name.or_else(|| state.running.then(|| "running".to_owned())),
        syscall_nr: state.syscall_nr,
        wchan: state.wchan,
        comm: comm.as_deref().map(|comm| String::from_utf8_lossy(comm).into_owned()),
        comm_hex: comm.as_deref().map(hex),
    }
}

/// The last line: why it ended, what churn there was in `time`, and what waits.
pub(super) fn ending(context: &Context, reason: &str, time: Duration) -> Ending {
    let seconds = time.as_secs_f64();
    let rate = |churner| {
        let churned = context.board.churned(churner);
        let per_second = churned.made as f64 / seconds.max(f64::MIN_POSITIVE);
        AchievedRate { made: churned.made, missed: churned.missed, per_second }
    };
    Ending {
        ended: true,
        reason: reason.to_owned(),
        seconds,
        churn: context.churn.any().then(|| Achieved {
            births: rate(Churner::Births),
            forks: rate(Churner::Forks),
            execs: rate(Churner::Execs),
        }),
        waits: context.behaviours.measured().map(|(kind, waits)| wait_truth(kind, waits, seconds)).collect(),
    }
}

fn wait_truth(kind: Kind, waits: MeasuredWaits, seconds: f64) -> WaitTruth {
    let MeasuredWaits { count, mean_ms, p50_ms, p95_ms, p99_ms } = waits;
    let per_second = count as f64 / seconds.max(f64::MIN_POSITIVE);
    WaitTruth { kind, count, per_second, mean_ms, p50_ms, p95_ms, p99_ms }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
