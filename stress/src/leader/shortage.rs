//! The message that says why a storm could not grow to its size.

use std::io;

use crate::board::{Cause, Failure};
use crate::host::limits::{self, Limit};
use crate::worker::context::Context;

/// Says which limit was hit, how far the storm got, and how to raise the limit.
pub(super) fn describe(context: &Context, failure: Failure) -> String {
    let wanted = context.plan.slots();
    let what = match failure.cause {
        Cause::Fork => "a process could not be forked",
        Cause::Thread => "a thread could not be started",
        Cause::Stacks => "address space for stacks could not be had",
        Cause::Memory => "memory is short",
        Cause::Vfork => "a vfork child could not be started",
    };
    let error = io::Error::from_raw_os_error(failure.errno);
    let arrived = context.board.arrived();
    let limits = limits::limits(failure.pid);
    // The stacks come in one piece: an address space that is too small for them need not be nearly full.
    let spaces = if failure.cause == Cause::Stacks { limits::address_space(failure.pid) } else { Vec::new() };
    let limit = spaces.first().or_else(|| limits::nearest(&limits));
    format!("{arrived} of {wanted} threads have been started, then {what} ({error}): {}", advice(limit, &limits))
}

/// How to raise `limit`; without one, how full each of the `limits` is.
fn advice(limit: Option<&Limit>, limits: &[Limit]) -> String {
    if let Some(limit) = limit {
        let in_use = limit.in_use.unwrap_or(0);
        return format!("{} is {} and {in_use} are in use; to raise it: {}", limit.name, limit.value, limit.raise);
    }
    let mut text = "no limit that is known seems reached:".to_owned();
    for limit in limits {
        let in_use = limit.in_use.map_or("?".to_owned(), |in_use| in_use.to_string());
        text += &format!(" {} {in_use} of {};", limit.name, limit.value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_that_was_hit_all_are_listed() {
        let limits = limits::limits(std::process::id());
        let listed = advice(None, &limits);
        assert!(limits.iter().all(|limit| listed.contains(&limit.name)), "{listed}");
        assert!(advice(limits.first(), &limits).contains("to raise it: sysctl -w"));
    }
}
