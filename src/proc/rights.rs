//! Rights that psn has beyond its user's own.
//!
//! A copy of psn may be given capabilities (`setcap`), so that users who are not root see other users' threads. They are for
//! reading a proc file system: whatever else psn opens, it opens with the rights of its user alone. So they are put aside
//! before psn looks at its arguments or at its environment, and taken up by the threads that read `/proc`, and for the
//! calls by which the kernel is made to walk. Capabilities are a thread's own, and those of the threads that it starts
//! (capabilities(7)): a thread that is started while they are put aside never has them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{getegid, geteuid, getgid, getuid};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// Whether capabilities were put aside: a library that is called by a program with some of its own takes up none.
static ARE_ASIDE: AtomicBool = AtomicBool::new(false);

/// Why psn will not begin.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// It runs setuid or setgid: anyone could read what only that user may, and write where he may.
    #[error(
        "will not run setuid or setgid; run it as root (sudo psn), or give a copy that only trusted users may run the \
         capabilities cap_sys_ptrace, cap_dac_read_search and, for kernel stacks, cap_sys_admin"
    )]
    Setuid,
    /// The kernel does not let them be put aside.
    #[error("cannot put capabilities aside: {0}")]
    Kept(#[from] io::Error),
}

/// Puts aside what this thread may beyond its user; so it is for all that it starts. Root keeps its own. The first thing that
/// the program does.
///
/// # Errors
/// When psn runs setuid or setgid, or the kernel refuses.
pub fn begin() -> Result<(), RightsError> {
    if getuid() != geteuid() || getgid() != getegid() {
        return Err(RightsError::Setuid);
    }
    if let Some(held) = beyond_the_users()? {
        // Nothing to inherit also leaves nothing ambient: programs that psn starts have none.
        set(CapabilitySets { effective: CapabilitySet::empty(), inheritable: CapabilitySet::empty(), ..held })?;
        ARE_ASIDE.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// Whether psn may see what its user could not, were it not for psn; or is root.
#[must_use]
pub fn sees_others() -> bool {
    geteuid().is_root() || capabilities(None).is_ok_and(|sets| !sets.permitted.is_empty())
}

/// Does `action` with all that psn may, and so does every thread that it starts, for good. For what reads `/proc` and makes
/// the kernel walk, and for nothing else.
///
/// # Errors
/// When the kernel refuses to give capabilities or to take them away again.
pub fn raised<T>(action: impl FnOnce() -> T) -> io::Result<T> {
    if !ARE_ASIDE.load(Ordering::Relaxed) {
        return Ok(action());
    }
    let held = capabilities(None)?;
    if held.effective == held.permitted {
        return Ok(action());
    }
    set(CapabilitySets { effective: held.permitted, ..held })?;
    let result = action();
    set(held)?;
    Ok(result)
}

/// Has this thread, and those it starts from now on, do for good with the rights of the user alone. Root keeps its own.
///
/// # Errors
/// When the kernel refuses.
pub fn give_up() -> io::Result<()> {
    if beyond_the_users()?.is_none() {
        return Ok(());
    }
    let none = CapabilitySet::empty();
    set(CapabilitySets { effective: none, permitted: none, inheritable: none })
}

fn set(sets: CapabilitySets) -> io::Result<()> {
    Ok(set_capabilities(None, sets)?)
}

/// The capabilities to be put aside, if there are any: where there are none, nothing is asked of the kernel that it might refuse.
fn beyond_the_users() -> io::Result<Option<CapabilitySets>> {
    if geteuid().is_root() {
        return Ok(None);
    }
    Ok(Some(capabilities(None)?).filter(|held| !held.permitted.is_empty()))
}
