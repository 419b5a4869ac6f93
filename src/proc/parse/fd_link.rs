//! The targets of the links `/proc/PID/fd/N`, as readlink(2) tells them (proc(5)): a path, which starts with `/` and may end in
//! ` (deleted)`, or `type:[inode]` for what has no path.
//!
//! Every socket and pipe has an inode number of its own, which is shown as `*`; otherwise each would be a group of its own.

use crate::proc::parse::{cut_last, star_digits, unsigned};

/// Appends the target, with the digits starred if it is a socket or a pipe.
#[inline]
pub fn filename(link: &[u8], out: &mut Vec<u8>) {
    if is_socket_or_pipe(link) {
        star_digits(link, out);
    } else {
        out.extend_from_slice(link);
    }
}

/// Appends the target with all digits starred, so that `/data/seg.17` and `/data/seg.18` become one name.
#[inline]
pub fn filename_sum(link: &[u8], out: &mut Vec<u8>) {
    star_digits(link, out);
}

/// Appends what follows the target's last `/`, ` (deleted)` included; sockets and pipes are as in [`filename`].
#[inline]
pub fn basename(link: &[u8], out: &mut Vec<u8>) {
    if is_socket_or_pipe(link) {
        star_digits(link, out);
    } else {
        out.extend_from_slice(cut_last(link, b'/').map_or(link, |(_, base)| base));
    }
}

/// Appends what precedes the target's last `/`: `/` itself for what is in the root, nothing for what has no path
/// (`anon_inode:[eventpoll]`); sockets and pipes are as in [`filename`].
#[inline]
pub fn dirname(link: &[u8], out: &mut Vec<u8>) {
    if is_socket_or_pipe(link) {
        star_digits(link, out);
        return;
    }
    match cut_last(link, b'/') {
        Some(([], _)) => out.push(b'/'),
        Some((dir, _)) => out.extend_from_slice(dir),
        None => {}
    }
}

/// The inode's number in the target `socket:[…]`.
#[must_use]
pub fn socket_inode(link: &[u8]) -> Option<u64> {
    unsigned(link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

#[inline]
fn is_socket_or_pipe(link: &[u8]) -> bool {
    link.starts_with(b"socket:") || link.starts_with(b"pipe:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(link: &[u8]) -> [Vec<u8>; 4] {
        [filename, filename_sum, basename, dirname].map(|column| {
            let mut out = Vec::new();
            column(link, &mut out);
            out
        })
    }

    #[track_caller]
    fn check(link: &str, expected: [&str; 4]) {
        assert_eq!(columns(link.as_bytes()), expected.map(|column| column.as_bytes().to_vec()));
    }

    #[test]
    fn a_path_is_cut_at_its_last_slash() {
        check("/data/pg13/base/1234", ["/data/pg13/base/1234", "/data/pg*/base/*", "1234", "/data/pg13/base"]);
        check("/etc", ["/etc", "/etc", "etc", "/"]);
        check("/", ["/", "/", "", "/"]);
    }

    #[test]
    fn sockets_and_pipes_are_one_row() {
        check("socket:[9590]", ["socket:[*]"; 4]);
        check("pipe:[9685]", ["pipe:[*]"; 4]);
        check("/tmp/socket:[1]", ["/tmp/socket:[1]", "/tmp/socket:[*]", "socket:[1]", "/tmp"]);
    }

    #[test]
    fn what_has_no_path_has_no_directory() {
        check(
            "anon_inode:[eventpoll]",
            ["anon_inode:[eventpoll]", "anon_inode:[eventpoll]", "anon_inode:[eventpoll]", ""],
        );
        check("net:[4026531833]", ["net:[4026531833]", "net:[*]", "net:[4026531833]", ""]);
        check("", [""; 4]);
    }

    #[test]
    fn deleted_files_say_so() {
        check("/memfd:x1 (deleted)", ["/memfd:x1 (deleted)", "/memfd:x* (deleted)", "memfd:x1 (deleted)", "/"]);
        check("/tmp/a b (deleted)", ["/tmp/a b (deleted)", "/tmp/a b (deleted)", "a b (deleted)", "/tmp"]);
    }
}
