//! Capabilities: rights that psn has beyond those of its user.
//!
//! A copy of psn may be given capabilities (`setcap`), so that users other than root see the threads of all users. They serve
//! only to read a proc file system: psn opens everything else with the rights of its user alone. So psn lowers its capabilities
//! before it looks at its arguments or its environment, and raises them only in threads that read `/proc` and for the calls
//! that make the kernel walk. Each thread has capabilities of its own, and inherits those of the thread that starts it
//! (capabilities(7)): a thread that is started while they are lowered never has them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{getegid, geteuid, getgid, getuid};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// Whether psn has lowered capabilities. If not, it raises none: as a library it may run in a program with capabilities of its own.
static ARE_ASIDE: AtomicBool = AtomicBool::new(false);

/// Why psn refuses to run.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// It runs setuid or setgid: anyone could read and write whatever that user may.
    #[error(
        "will not run setuid or setgid; run it as root (sudo psn), or give a copy that only trusted users may run the \
         capabilities cap_sys_ptrace, cap_dac_read_search and, for kernel stacks, cap_sys_admin"
    )]
    Setuid,
    /// The kernel refuses to lower the capabilities.
    #[error("cannot put capabilities aside: {0}")]
    Kept(#[from] io::Error),
}

/// Lowers the capabilities of this thread, and so of all threads that it starts. Root keeps its own. The program calls this
/// before anything else.
///
/// # Errors
/// When psn runs setuid or setgid, or the kernel refuses.
pub fn begin() -> Result<(), RightsError> {
    if getuid() != geteuid() || getgid() != getegid() {
        return Err(RightsError::Setuid);
    }
    if let Some(held) = beyond_the_users()? {
        // Without inheritable capabilities there are no ambient ones either, so programs that psn starts get none.
        set(CapabilitySets { effective: CapabilitySet::empty(), inheritable: CapabilitySet::empty(), ..held })?;
        ARE_ASIDE.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// Whether psn is root, or has capabilities that its user does not have.
#[must_use]
pub fn sees_others() -> bool {
    geteuid().is_root() || capabilities(None).is_ok_and(|sets| !sets.permitted.is_empty())
}

/// Calls `action` with raised capabilities. Every thread that `action` starts keeps them raised. Use this only for code that reads
/// `/proc` or makes the kernel walk.
///
/// # Errors
/// When the kernel refuses to raise capabilities or to lower them again.
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

/// Drops the capabilities of this thread, and of those that it starts from now on, for good. Root keeps its own.
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

/// This thread's capabilities; `None` for root, and if there are none to lower, so that the kernel has nothing to refuse.
fn beyond_the_users() -> io::Result<Option<CapabilitySets>> {
    if geteuid().is_root() {
        return Ok(None);
    }
    Ok(Some(capabilities(None)?).filter(|held| !held.permitted.is_empty()))
}
