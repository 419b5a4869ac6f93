//! Databases in directories where other users may write: root follows no planted link and adopts no planted file.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use crate::support::child::{is_root, psn, run};
use crate::support::dir::Dir;
use crate::support::measured::measured;
use crate::support::skip;

const NOBODY: u32 = 65534;

fn recorded(dir: &Dir, name: &str) -> String {
    let path = dir.path(name);
    let ended = run(&["-q", "-a", "-d", "0.2", "-o", &path]);
    assert!(ended.status.success(), "{ended:?}");
    path
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn reading_a_database_makes_opens_and_chowns_nothing_beside_it() {
    let (dir, copy) = (Dir::new(), Dir::with_mode(0o755));
    let path = recorded(&dir, "r.db");
    let copied = copy.path("r.db");
    fs::copy(&path, &copied).unwrap();
    // The state that a killed writer leaves: with a log, and a header that says that the log is written ahead.
    let db = rusqlite::Connection::open(&copied).unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; INSERT INTO meta VALUES ('x', 'y');")
        .unwrap();
    let logged = copy.path("logged.db");
    fs::copy(&copied, &logged).unwrap();
    fs::copy(format!("{copied}-wal"), format!("{logged}-wal")).unwrap();
    drop(db);
    // The names that SQLite would open and chown are links to a file of root's.
    let precious = dir.path("precious");
    fs::write(&precious, "root's own").unwrap();
    symlink(&precious, format!("{logged}-shm")).unwrap();
    if is_root() {
        for name in ["logged.db", "logged.db-wal"] {
            chown(copy.path(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        chown(copy.itself(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let before = names(copy.itself());
    let ended = run(&["-i", &logged, "-a", "-q"]);
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(names(copy.itself()), before);
    let found = fs::metadata(&precious).unwrap();
    assert_eq!((fs::read_to_string(&precious).unwrap().as_str(), found.len()), ("root's own", 10));
    assert_ne!(std::os::unix::fs::MetadataExt::uid(&found), NOBODY);
}

#[test]
fn a_pipe_or_a_link_under_the_name_of_a_log_is_refused_at_once_and_so_is_anothers_log() {
    let dir = Dir::new();
    let path = recorded(&dir, "r.db");
    let log = format!("{path}-wal");
    let refused = |what: &str| {
        let ended = run(&["-i", &path, "-a", "-q"]);
        assert!(ended.status.code() == Some(1) && ended.stderr.contains(what), "{what}: {ended:?}");
        fs::remove_file(&log).unwrap();
    };
    rustix::fs::mknodat(rustix::fs::CWD, &*log, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    refused("it is not a regular file");
    symlink("/etc/passwd", &log).unwrap();
    refused("it is a link where a file should be");
    if !is_root() {
        return skip("to make a file of another user's takes root");
    }
    fs::write(&log, "").unwrap();
    chown(&log, Some(NOBODY), None).unwrap();
    refused("it belongs to another user than the database");
}

#[test]
fn root_records_no_database_where_others_can_exchange_it_and_adopts_nothing_planted() {
    if !is_root() {
        return skip("only root has more rights than others");
    }
    let dir = Dir::with_mode(0o777);
    let record = |path: &str, more: &[&str]| run(&[&["-q", "-a", "-d", "0.1", "-o", path], more].concat());
    for name in ["open.db", "open.csv"] {
        let ended = record(&dir.path(name), &[]);
        assert!(!ended.status.success() && ended.stderr.contains("every user may write there"), "{ended:?}");
    }
    // A directory of root's, below a directory of another user.
    let theirs = Dir::with_mode(0o755);
    fs::create_dir(theirs.path("roots")).unwrap();
    chown(theirs.itself(), Some(NOBODY), None).unwrap();
    let ended = record(&theirs.path("roots/r.db"), &[]);
    assert!(!ended.status.success() && ended.stderr.contains("belongs to uid 65534"), "{ended:?}");
    // In a sticky directory other users may take names, but cannot exchange files.
    fs::set_permissions(dir.itself(), fs::Permissions::from_mode(0o1777)).unwrap();
    for suffix in ["-wal", "-shm", "-journal"] {
        let path = dir.path(&format!("planted{suffix}.db"));
        let planted = format!("{path}{suffix}");
        fs::write(&planted, "").unwrap();
        fs::set_permissions(&planted, fs::Permissions::from_mode(0o666)).unwrap();
        chown(&planted, Some(NOBODY), None).unwrap();
        let ended = record(&path, &[]);
        assert!(!ended.status.success() && ended.stderr.contains(&format!("{planted} exists")), "{ended:?}");
        assert!(!Path::new(&path).exists());
        assert!(record(&path, &["--force"]).status.success());
        assert!(run(&["-i", &path, "-a", "-q"]).status.success());
        assert!(!Path::new(&planted).exists());
    }
}

/// A table whose b-tree has the same child five hundred times, on each of three levels.
#[test]
fn a_database_that_goes_on_for_ever_is_refused_in_time_and_memory() {
    let dir = Dir::new();
    let path = recorded(&dir, "r.db");
    let root: u32 = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'ticks'", [], |row| row.get(0))
        .unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let page = 4096;
    let at = (root as usize - 1) * page;
    let mut child = bytes[at..at + page].to_vec();
    for _ in 0..3 {
        bytes.extend_from_slice(&child);
        let number = (bytes.len() / page) as u32;
        child = interior(number, page);
    }
    bytes[at..at + page].copy_from_slice(&child);
    let pages = (bytes.len() / page) as u32;
    bytes[28..32].copy_from_slice(&pages.to_be_bytes());
    fs::write(&path, bytes).unwrap();
    let answered = measured(psn(&["-a", "-q", "-i"]).arg(&path), dir.itself(), std::time::Duration::from_secs(30));
    assert!(!answered.timed_out && answered.max_rss_kb < 512 << 10, "{answered:?}");
    assert!(answered.code == Some(1) && answered.stderr.contains("out of order"), "{answered:?}");
}

/// An interior page of a table: <https://sqlite.org/fileformat2.html#b_tree_pages>.
fn interior(child: u32, page: usize) -> Vec<u8> {
    let count = 500_u16;
    let mut bytes = vec![0; page];
    let mut top = page;
    for index in 0..usize::from(count) {
        top -= 5;
        bytes[top..top + 4].copy_from_slice(&child.to_be_bytes());
        bytes[top + 4] = 1;
        bytes[12 + 2 * index..14 + 2 * index].copy_from_slice(&(top as u16).to_be_bytes());
    }
    bytes[0] = 5;
    bytes[3..5].copy_from_slice(&count.to_be_bytes());
    bytes[5..7].copy_from_slice(&(top as u16).to_be_bytes());
    bytes[8..12].copy_from_slice(&child.to_be_bytes());
    bytes
}
