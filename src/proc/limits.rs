//! The limit on open files.

/// Raises the soft limit on open files to the hard limit. If `wanted` is more than that, first tries to raise both to `wanted`,
/// which needs `CAP_SYS_RESOURCE`. Returns the soft limit.
pub fn raise_fd_limit(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If it cannot be raised, fewer files stay open.
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: Some(wanted) });
    }
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(1 << 20)
}
