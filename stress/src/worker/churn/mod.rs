//! Churners: threads that start short-lived threads, forks and programs at a given rate.
//!
//! Each churner follows the clock: it starts the tasks that are due. A churner that falls behind leaves tasks out and counts
//! them; it never catches up in a burst.

mod births;
pub(crate) mod execs;
mod forks;
mod schedule;
mod source;

use std::time::{Duration, Instant};

use schedule::Schedule;
use source::Source;

use super::context::Context;
use crate::plan::kind::Kind;
use crate::plan::rates::Churner;
use crate::sys::nap;

/// Turns the calling thread into a churner, for ever.
pub(super) fn run(context: &'static Context, slot: usize, churner: Churner) -> ! {
    context.names.apply(Kind::Harness, slot);
    let source: Option<Box<dyn Source>> = match churner {
        Churner::Births => births::Births::new(context).map(|births| Box::new(births) as _),
        Churner::Forks => Some(Box::new(forks::Forks::new(context))),
        Churner::Execs => Some(Box::new(execs::Execs::new(context))),
    };
    context.board.arrive(slot, Kind::Harness);
    context.board.wait_at_gate();
    match source {
        Some(mut source) => churn(context, churner, source.as_mut()),
        None => loop {
            nap(Duration::from_secs(1)); // no memory: nothing is started, which the ending shows
        },
    }
}

fn churn(context: &Context, churner: Churner, source: &mut dyn Source) -> ! {
    let most_alive = context.churn.most_alive(churner);
    let mut schedule = Schedule::new(context.churn.rate(churner));
    let start = Instant::now();
    let mut number = 0;
    loop {
        source.reap();
        let (due, mut missed) = schedule.due(start.elapsed());
        for i in 0..due {
            if source.alive() >= most_alive || !source.start(number) {
                missed += due - i;
                break;
            }
            number += 1;
            context.board.count_made(churner);
        }
        context.board.count_missed(churner, missed);
        nap(schedule.rest(start.elapsed()));
    }
}
