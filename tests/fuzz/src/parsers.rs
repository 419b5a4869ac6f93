//! The parsers: for any bytes, printing what was parsed and parsing it again gives the same result.

use psn::proc::parse::stat::{Stat, field};
use psn::proc::parse::status::first_number;
use psn::proc::parse::syscall::SyscallLine;
use psn::proc::parse::{
    cgroup, cmdline, fd_link as links, io, schedstat, smaps as maps, stack as stacks, system as host,
};
use psn::proc::parse::{
    hex, integer, star_digits, stat as stats, status as statuses, syscall as calls, trim, unsigned,
};

/// The last field of `stat` that any kernel prints.
const LAST_FIELD: usize = field::EXIT_CODE;

/// What `write` appends to a buffer. The earlier content of the buffer must not change.
fn appended(write: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = b"kept ".to_vec();
    write(&mut out);
    assert!(out.starts_with(b"kept "), "the buffer was not kept");
    out.split_off(5)
}

/// The range of `part` in `whole`: parsers return slices of their input.
#[track_caller]
fn offset(whole: &[u8], part: &[u8]) -> usize {
    let at = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    assert!(at.checked_add(part.len()).is_some_and(|end| end <= whole.len()), "not a part of the input");
    at
}

/// `/proc/PID/task/TID/stat`.
pub fn stat(data: &[u8]) {
    let letter = stats::state(data);
    let parsed: Vec<_> = (0..=LAST_FIELD + 2).map(|last| Stat::parse(data, last)).collect();
    for (last, result) in parsed.iter().enumerate() {
        let Ok(stat) = result else {
            // Asking for more fields can only add reasons to reject a line.
            assert!(parsed.iter().skip(last).all(Result::is_err), "fields up to {last} are refused, more are not");
            break;
        };
        // The state letter that a tick reads is the one that parsing the whole line finds.
        assert_eq!(letter, Ok(stat.state));
        let head = format!("{} (", stat.tid);
        let at = offset(data, stat.comm);
        assert_eq!(integer(&data[..at - 2]), Some(stat.tid.into()), "{head}");
        let rest = &data[at + stat.comm.len()..];
        assert!(rest.starts_with(b") ") && rest[2] == stat.state && !rest[1..].contains(&b')'));
        assert!(stat.state.is_ascii_alphabetic());
        for number in 0..LAST_FIELD + 10 {
            let shown = stat.number(number);
            if number > last.min(LAST_FIELD) || number < 4 {
                assert_eq!(shown, None, "field {number} of {last}");
            }
            assert!(shown.is_none_or(|value| (i64::MIN.into()..=u64::MAX.into()).contains(&value)));
            if let Some(Ok(more)) = parsed.get(last + 1)
                && number <= last
            {
                assert_eq!(more.number(number), shown, "field {number} depends on what follows");
            }
        }
        for (number, shown) in [(field::STARTTIME, stat.starttime()), (field::FLAGS, stat.flags())] {
            assert_eq!(stat.number(number).and_then(|value| u64::try_from(value).ok()), shown);
        }
    }
    if let Some(Ok(stat)) = parsed.get(LAST_FIELD) {
        let mut line = format!("{} (", stat.tid).into_bytes();
        line.extend_from_slice(stat.comm);
        line.extend_from_slice(&[b')', b' ', stat.state]);
        let numbers: Vec<i128> = (4..=LAST_FIELD).map_while(|number| stat.number(number)).collect();
        numbers.iter().for_each(|number| line.extend_from_slice(format!(" {number}").as_bytes()));
        line.push(b'\n');
        let again = Stat::parse(&line, LAST_FIELD).unwrap();
        assert_eq!((again.tid, again.comm, again.state), (stat.tid, stat.comm, stat.state));
        assert!((4..=LAST_FIELD).map_while(|number| again.number(number)).eq(numbers));
    }
    // No name of a thread forges a field.
    let line = [b"77 (", data, b") S 1 -2 3\n"].concat();
    let stat = Stat::parse(&line, LAST_FIELD).unwrap();
    assert_eq!((stat.tid, stat.comm, stat.state), (77, data, b'S'));
    assert_eq!([4, 5, 6, 7].map(|number| stat.number(number)), [Some(1), Some(-2), Some(3), None]);
}

/// `/proc/PID/task/TID/status`.
pub fn status(data: &[u8]) {
    let lines: Vec<_> = statuses::lines(data).collect();
    for (key, value) in &lines {
        assert!(!key.contains(&b':') && !key.contains(&b'\n') && !value.contains(&b'\n'));
        assert_eq!(trim(value), *value);
        offset(data, value);
        let first = lines.iter().find(|(other, _)| other == key).map(|(_, value)| *value);
        assert_eq!(statuses::value(data, key), first, "{}", key.escape_ascii());
        let number = first_number(value);
        let digits = value.iter().skip(usize::from(value.first() == Some(&b'-'))).take_while(|c| c.is_ascii_digit());
        let head = &value[..usize::from(value.first() == Some(&b'-')) + digits.count()];
        assert!(number.is_none() || number == integer(head));
    }
    if let Some(letter) = statuses::state(data) {
        assert!(letter.is_ascii_alphabetic());
        assert_eq!(statuses::value(data, b"State").and_then(<[u8]>::first), Some(&letter));
    }
    // The kernel escapes newlines and backslashes in a name. So the name can be read back, and it forges no field.
    let mut escaped = Vec::new();
    for byte in data {
        match byte {
            b'\n' => escaped.extend_from_slice(b"\\n"),
            b'\\' => escaped.extend_from_slice(b"\\\\"),
            byte => escaped.push(*byte),
        }
    }
    assert_eq!(appended(|out| statuses::unescape_name(&escaped, out)), data);
    let text = [b"Name:\t", &escaped[..], b"\nUmask:\t0022\nState:\tS (sleeping)\nUid:\t7\t8\t9\t10\n"].concat();
    assert_eq!(statuses::state(&text), Some(b'S'));
    assert_eq!(statuses::value(&text, b"Uid").and_then(first_number), Some(7));
    assert_eq!(statuses::value(&text, b"Name"), Some(trim(&escaped)));
    assert_eq!(appended(|out| statuses::unescape_name(data, out)).contains(&b'\n'), {
        data.contains(&b'\n') || statuses_newline(data)
    });
}

/// Whether a value contains an escaped newline, that is, `\n` after an even number of backslashes.
fn statuses_newline(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        rest = match &rest[at + 1..] {
            [b'n', ..] => return true,
            [b'\\', after @ ..] => after,
            other => other,
        };
    }
    false
}

/// `/proc/PID/task/TID/syscall`.
pub fn syscall(data: &[u8]) {
    let Ok(line) = calls::parse(data) else { return };
    let registers = |values: &[u64]| values.iter().map(|value| format!(" {value:#x}")).collect::<String>();
    let text = match line {
        SyscallLine::Running => "running".to_owned(),
        SyscallLine::Blocked { sp, pc } => format!("-1{}", registers(&[sp, pc])),
        SyscallLine::Call { number, args, sp, pc } => {
            assert_ne!(number, -1);
            format!("{number}{}{}", registers(&args), registers(&[sp, pc]))
        }
    };
    assert_eq!(calls::parse(text.as_bytes()), Ok(line));
    assert_eq!(calls::parse(format!("{text}\n").as_bytes()), Ok(line));
    assert_eq!(line.is_all_zero(), text == format!("0{}", " 0x0".repeat(8)));
}

/// `/proc/PID/task/TID/stack`.
pub fn stack(data: &[u8]) {
    let names: Vec<&[u8]> = stacks::frames(data).collect();
    let mut backwards: Vec<&[u8]> = stacks::frames(data).rev().collect();
    backwards.reverse();
    assert_eq!(names, backwards);
    for name in &names {
        offset(data, name);
        assert!(!name.is_empty() && !name.iter().any(|byte| matches!(byte, b' ' | b'+' | b'\n')));
    }
    let kept: Vec<&[u8]> = names.iter().rev().copied().filter(|name| !stacks::is_entry_frame(name)).collect();
    let rendered = appended(|out| stacks::render(data, out));
    let calls: Vec<Vec<u8>> = kept.iter().map(|name| [name, &b"()"[..]].concat()).collect();
    assert_eq!(rendered, if calls.is_empty() { b"-".to_vec() } else { calls.join(&b"->"[..]) });
    let cause = names.iter().copied().find(|name| !stacks::is_scheduler_frame(name));
    assert_eq!(stacks::wait_channel(data), cause);
    let text: Vec<u8> = names.iter().flat_map(|name| [&b"[<0>] "[..], name, b"+0x1/0x20 [m]\n"].concat()).collect();
    assert!(stacks::frames(&text).eq(names.iter().copied()));
}

/// `/proc/PID/task/TID/schedstat` and `io`.
pub fn io_schedstat(data: &[u8]) {
    if let Ok(times) = schedstat::parse(data) {
        let line = format!("{} {} {}\n", times.run_ns, times.wait_ns, times.timeslices);
        assert_eq!(schedstat::parse(line.as_bytes()), Ok(times));
        assert_eq!(schedstat::parse(line.trim_end().as_bytes()), Ok(times));
    }
    for key in ["rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes"] {
        let value = io::value(data, key.as_bytes());
        assert_eq!(value, statuses::value(data, key.as_bytes()).and_then(unsigned));
        if let Some(value) = value {
            assert_eq!(io::value(format!("{key}: {value}\n").as_bytes(), key.as_bytes()), Some(value));
        }
    }
}

/// `/proc/PID/cmdline` and `/proc/PID/task/TID/cgroup`.
pub fn cmdline_cgroup(data: &[u8]) {
    let joined = appended(|out| cmdline::joined(data, out));
    let arguments: Vec<&[u8]> = data.split(|byte| *byte == 0).filter(|argument| !argument.is_empty()).collect();
    assert_eq!(joined, arguments.join(&b' '));
    let first = cmdline::first_argument(data);
    assert!(!first.contains(&0) && trim(first) == first);
    offset(data, first);
    assert_eq!(cmdline::first_argument(&[data, &b"\0x\0"[..]].concat()), first);

    if let Some(path) = cgroup::path(data) {
        offset(data, path);
        assert!(path.starts_with(b"/") && !path.contains(&b'\n'));
        let unified = [b"0::", path, b"\n"].concat();
        assert_eq!(cgroup::path(&unified), Some(path));
        assert_eq!(cgroup::path(&[b"7:cpu:/\n", &unified[..]].concat()), Some(path));
    }
    for path in [Some(data), cgroup::path(data)].into_iter().flatten() {
        if let Some(container) = cgroup::container(path) {
            offset(path, container);
            assert!(!container.is_empty() && !container.contains(&b'/'));
            // A directory directly below one of these is a container.
            if ![&b"lxc"[..], b"lxc.payload", b"(deleted)"].into_iter().any(|end| path.ends_with(end)) {
                let deeper = [path, b"/init.scope"].concat();
                assert_eq!(cgroup::container(&deeper), Some(container), "a group inside is inside");
            }
        }
    }
}

/// The links in `/proc/PID/fd`.
pub fn fd_link(data: &[u8]) {
    let [filename, sum, basename, dirname] =
        [links::filename, links::filename_sum, links::basename, links::dirname].map(|f| appended(|out| f(data, out)));
    let starred = appended(|out| star_digits(data, out));
    assert_eq!(appended(|out| star_digits(&starred, out)), starred);
    assert!(!starred.iter().any(u8::is_ascii_digit) && starred.len() <= data.len());
    assert_eq!(sum, starred);
    if data.starts_with(b"socket:") || data.starts_with(b"pipe:") {
        assert!([&filename, &basename, &dirname].into_iter().all(|shown| *shown == starred));
        return;
    }
    assert_eq!(filename, data);
    assert!(!basename.contains(&b'/'));
    let whole = match &dirname[..] {
        [] => basename,
        b"/" if !data.starts_with(b"//") => [b"/", &basename[..]].concat(),
        dir => [dir, b"/", &basename[..]].concat(),
    };
    assert_eq!(whole, data, "directory and name make the path");
}

/// `/proc/PID/smaps`.
pub fn smaps(data: &[u8]) {
    let found: Vec<maps::Mapping<'_>> = maps::mappings(data).collect();
    let mut end = 0;
    let mut text = Vec::new();
    for mapping in &found {
        let maps::Mapping { address_range, perms, offset: start, dev, inode, pathname, body } = *mapping;
        for part in [address_range, perms, start, dev, inode, pathname] {
            assert!(!part.contains(&b'\n'));
            if !part.is_empty() {
                let at = offset(data, part);
                assert!(at >= end, "the parts are in the order of the text");
                end = at + part.len();
            }
        }
        assert!(address_range.contains(&b'-') && !pathname.starts_with(b" "));
        if !body.is_empty() {
            let at = offset(data, body);
            assert!(at > end);
            end = at + body.len();
        }
        for key in [&b"Rss"[..], b"Pss", b"Size", b"Swap"] {
            let expected = statuses::value(body, key).and_then(first_number).and_then(|kb| u64::try_from(kb).ok());
            assert_eq!(mapping.kb(key), expected);
        }
        assert!(!mapping.vm_flags().contains(&b'\n'));
        let header = [address_range, perms, start, dev, inode, pathname].join(&b' ');
        text.extend_from_slice(&header);
        text.push(b'\n');
        text.extend_from_slice(body);
        if body.last().is_some_and(|byte| *byte != b'\n') {
            text.push(b'\n');
        }
    }
    let again: Vec<maps::Mapping<'_>> = maps::mappings(&text).collect();
    assert_eq!(again.len(), found.len());
    for (again, found) in again.iter().zip(&found) {
        let body = again.body.strip_suffix(b"\n").unwrap_or(again.body);
        assert_eq!(body, found.body.strip_suffix(b"\n").unwrap_or(found.body));
        assert_eq!(maps::Mapping { body: found.body, ..*again }, *found);
    }
}

/// Files of the whole host, names of directory entries, and numbers.
pub fn system(data: &[u8]) {
    if let Ok(load) = host::Loadavg::parse(data) {
        let line = format!("0.00 0.01 0.05 {}/{} {}\n", load.running, load.total, load.last_pid);
        assert_eq!(host::Loadavg::parse(line.as_bytes()), Ok(load));
    }
    if let Some(kb) = host::mem_available_kb(data) {
        assert_eq!(host::mem_available_kb(format!("MemTotal: 1 kB\nMemAvailable:  {kb} kB\n").as_bytes()), Some(kb));
    }
    if let Some(id) = host::ns_id(data) {
        assert_eq!(host::ns_id(format!("pid:[{id}]").as_bytes()), Some(id));
    }
    match host::pid_name(data) {
        Some(pid) => assert_eq!(pid.to_string().as_bytes(), data),
        None => {
            let text = std::str::from_utf8(data).ok().and_then(|text| text.parse::<u32>().ok());
            assert!(text.is_none_or(|pid| pid == 0 || pid.to_string().as_bytes() != data));
        }
    }
    for mount_point in [&b"/proc"[..], b"/", b"x"] {
        if let Some(options) = host::proc_mount_options(data, mount_point) {
            offset(data, options);
            assert!(!options.is_empty() && !options.contains(&b'\n') && !options.contains(&b' '));
        }
    }
    if let Some(value) = host::hidepid(data) {
        offset(data, value);
        assert!(!value.contains(&b',') && value != b"0" && value != b"off");
    }
    let text = std::str::from_utf8(data).ok();
    let digits = data.strip_prefix(b"-").unwrap_or(data);
    let is_decimal = (1..=20).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let number = text.filter(|_| is_decimal).and_then(|text| text.parse::<i128>().ok());
    let number = number.filter(|number| (i64::MIN.into()..=u64::MAX.into()).contains(number));
    assert_eq!(integer(data), number);
    assert_eq!(unsigned(data), number.filter(|_| digits.len() == data.len()).and_then(|n| u64::try_from(n).ok()));
    let digits = data.strip_prefix(b"0x").unwrap_or(data);
    let is_hex = (1..=16).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let number = std::str::from_utf8(digits).ok().filter(|_| is_hex);
    assert_eq!(hex(data), number.and_then(|text| u64::from_str_radix(text, 16).ok()));
}
