//! Rights that psn has beyond its user's own.
//!
//! A copy of psn may be given capabilities (`setcap`), so that users who are not root see other users' threads. They are for
//! reading a proc file system: whatever else psn opens, it opens with the rights of its user alone. Capabilities are a
//! thread's own, and its children's from then on (capabilities(7)).

use std::io;

use rustix::process::{getegid, geteuid, getgid, getuid};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// Whether psn runs setuid or setgid: then anyone could read what only that user may, and write where he may.
#[must_use]
pub fn is_setuid() -> bool {
    getuid() != geteuid() || getgid() != getegid()
}

/// Whether psn may see what its user could not, were it not for psn; or is root.
#[must_use]
pub fn sees_others() -> bool {
    geteuid().is_root() || capabilities(None).is_ok_and(|sets| !sets.permitted.is_empty())
}

/// Does `action` with the rights of the user alone, and so does every thread that it starts. Root keeps its own.
///
/// # Errors
/// When the kernel refuses to take capabilities away or to give them back.
pub fn as_user<T>(action: impl FnOnce() -> T) -> io::Result<T> {
    let Some(held) = beyond_the_users()? else { return Ok(action()) };
    set_capabilities(None, CapabilitySets { effective: CapabilitySet::empty(), ..held })?;
    let result = action();
    set_capabilities(None, held)?;
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
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}

/// The capabilities to be put aside, if there are any: where there are none, nothing is asked of the kernel that it might refuse.
fn beyond_the_users() -> io::Result<Option<CapabilitySets>> {
    if geteuid().is_root() {
        return Ok(None);
    }
    Ok(Some(capabilities(None)?).filter(|held| !held.permitted.is_empty()))
}
