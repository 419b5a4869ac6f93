//! A file system for SQLite (<https://sqlite.org/vfs.html>) with the files that psn opened, and no others.
//!
//! It reads with pread. It has no shared memory, so SQLite keeps the index of a log in its own memory (locking mode
//! `exclusive`). It refuses to write, to truncate and to open anything else.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_io_methods, sqlite3_vfs};

use super::files::{DatabaseFiles, FileRole};

pub(super) const NAME: &CStr = c"psn-read";

/// The most bytes of a name: `psn-`, a number and a suffix.
const MAX_NAME: c_int = 64;

type Registry = Mutex<HashMap<String, Arc<DatabaseFiles>>>;

/// The files that SQLite may open, by their made-up names.
fn registry() -> &'static Registry {
    static FILES: OnceLock<Registry> = OnceLock::new();
    FILES.get_or_init(Registry::default)
}

/// A name under which SQLite may open some files, until this is dropped. Files that it has opened stay open.
#[derive(Debug)]
pub(super) struct OfferedName(String);

impl OfferedName {
    /// Makes up a name for `files`. Fails if SQLite does not accept the file system.
    pub(super) fn new(files: &Arc<DatabaseFiles>) -> Result<Self, rusqlite::Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        register()?;
        let name = format!("psn-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        registry().lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), Arc::clone(files));
        Ok(Self(name))
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for OfferedName {
    fn drop(&mut self) {
        registry().lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Registers the file system with SQLite, once.
fn register() -> Result<(), rusqlite::Error> {
    static CODE: OnceLock<c_int> = OnceLock::new();
    let code = *CODE.get_or_init(|| {
        // SAFETY: SQLite is linked in and initializes itself; the default file system lives as long as the process.
        let default = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
        if default.is_null() {
            return ffi::SQLITE_ERROR;
        }
        // SAFETY: it is not null, and never freed.
        let default = unsafe { &*default };
        let vfs = Box::new(sqlite3_vfs {
            iVersion: 1,
            szOsFile: c_int::try_from(size_of::<VfsFile>()).unwrap_or(c_int::MAX),
            mxPathname: MAX_NAME,
            pNext: ptr::null_mut(),
            zName: NAME.as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            // These three of the default file system use no file and no state of their own.
            xRandomness: default.xRandomness,
            xSleep: default.xSleep,
            xCurrentTime: default.xCurrentTime,
            xGetLastError: None,
            xCurrentTimeInt64: None,
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        });
        // SAFETY: SQLite keeps the pointer to what is leaked, and so never freed.
        unsafe { ffi::sqlite3_vfs_register(Box::leak(vfs), 0) }
    });
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)) }
}

/// An open file, in memory that SQLite allocates.
#[repr(C)]
struct VfsFile {
    base: sqlite3_file,
    /// From `Arc::into_raw`; null once it is closed.
    files: *const DatabaseFiles,
    which: FileRole,
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(accept),
    xFileSize: Some(file_size),
    xLock: Some(accept),
    xUnlock: Some(accept),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// The files offered under a name without its suffix, and the one that the suffix names.
fn find(name: *const c_char) -> Option<(Arc<DatabaseFiles>, FileRole)> {
    if name.is_null() {
        return None;
    }
    // SAFETY: SQLite's names end with a 0 and live through the call.
    let name = unsafe { CStr::from_ptr(name) }.to_str().ok()?;
    let (name, which) = match name.strip_suffix("-wal") {
        Some(name) => (name, FileRole::Log),
        None => (name, FileRole::Database),
    };
    let files = registry().lock().unwrap_or_else(PoisonError::into_inner).get(name).map(Arc::clone)?;
    Some((files, which))
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite allocates `szOsFile` bytes for the file; without methods it counts as not opened.
    unsafe { (*file).pMethods = ptr::null() };
    let wanted = if flags & ffi::SQLITE_OPEN_WAL != 0 {
        FileRole::Log
    } else if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 {
        FileRole::Database
    } else {
        // A journal or a temporary file: there is none, and none is created.
        return ffi::SQLITE_CANTOPEN;
    };
    let Some((files, _)) = find(name).filter(|(_, which)| *which == wanted) else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: as above; all of it is written.
    unsafe {
        ptr::write(
            file.cast::<VfsFile>(),
            VfsFile { base: sqlite3_file { pMethods: &raw const METHODS }, files: Arc::into_raw(files), which: wanted },
        );
    }
    if !out_flags.is_null() {
        let kind = flags & (ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_DB);
        // SAFETY: it is not null, and SQLite's, to be written.
        unsafe { *out_flags = ffi::SQLITE_OPEN_READONLY | kind };
    }
    ffi::SQLITE_OK
}

/// The files behind a file of SQLite's, and which of them it is.
///
/// # Safety
/// `file` was opened by [`open`] and is not closed.
unsafe fn opened<'a>(file: *mut sqlite3_file) -> Option<(&'a DatabaseFiles, FileRole)> {
    // SAFETY: the caller guarantees it; `files` is from `Arc::into_raw`, or null.
    unsafe {
        let file = &*file.cast::<VfsFile>();
        file.files.as_ref().map(|files| (files, file.which))
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes what it opened, once.
    unsafe {
        let file = &mut *file.cast::<VfsFile>();
        if !file.files.is_null() {
            drop(Arc::from_raw(std::mem::replace(&mut file.files, ptr::null())));
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut sqlite3_file, buffer: *mut c_void, amount: c_int, offset: i64) -> c_int {
    let (Ok(len), Ok(offset)) = (usize::try_from(amount), u64::try_from(offset)) else { return ffi::SQLITE_IOERR_READ };
    // SAFETY: SQLite reads from open files.
    let Some((files, which)) = (unsafe { opened(file) }) else { return ffi::SQLITE_IOERR_READ };
    if files.is_stopped() {
        return ffi::SQLITE_INTERRUPT;
    }
    // SAFETY: SQLite gives a buffer of `amount` bytes. It may be uninitialized, so zeros are written first.
    let buffer = unsafe {
        ptr::write_bytes(buffer.cast::<u8>(), 0, len);
        std::slice::from_raw_parts_mut(buffer.cast::<u8>(), len)
    };
    match files.read_at(which, buffer, offset) {
        Ok(read) if read == len => ffi::SQLITE_OK,
        Ok(_) => ffi::SQLITE_IOERR_SHORT_READ,
        Err(_) => ffi::SQLITE_IOERR_READ,
    }
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: the file is open; `size` is SQLite's, to be written.
    unsafe {
        match opened(file).map(|(files, which)| files.len(which)) {
            Some(Ok(len)) => {
                *size = i64::try_from(len).unwrap_or(i64::MAX);
                ffi::SQLITE_OK
            }
            _ => ffi::SQLITE_IOERR_FSTAT,
        }
    }
}

unsafe extern "C" fn write(_: *mut sqlite3_file, _: *const c_void, _: c_int, _: i64) -> c_int {
    ffi::SQLITE_READONLY
}

unsafe extern "C" fn truncate(_: *mut sqlite3_file, _: i64) -> c_int {
    ffi::SQLITE_READONLY
}

/// For locks, which nobody else would see, and for syncs.
unsafe extern "C" fn accept(_: *mut sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_: *mut sqlite3_file, is_held: *mut c_int) -> c_int {
    // SAFETY: it is SQLite's, to be written.
    unsafe { *is_held = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut sqlite3_file) -> c_int {
    4096
}

unsafe extern "C" fn device_characteristics(_: *mut sqlite3_file) -> c_int {
    0
}

/// SQLite deletes the log of an empty database; nothing is deleted here.
unsafe extern "C" fn delete(_: *mut sqlite3_vfs, _: *const c_char, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn access(_: *mut sqlite3_vfs, name: *const c_char, _: c_int, result: *mut c_int) -> c_int {
    let is_there = find(name).is_some_and(|(files, which)| which == FileRole::Database || files.has_log());
    // SAFETY: it is SQLite's, to be written.
    unsafe { *result = c_int::from(is_there) };
    ffi::SQLITE_OK
}

/// The made-up names are complete already.
unsafe extern "C" fn full_pathname(_: *mut sqlite3_vfs, name: *const c_char, room: c_int, out: *mut c_char) -> c_int {
    // SAFETY: the name ends with a 0; `out` has `room` bytes.
    unsafe {
        let bytes = CStr::from_ptr(name).to_bytes_with_nul();
        if usize::try_from(room).is_ok_and(|room| bytes.len() <= room) {
            ptr::copy_nonoverlapping(bytes.as_ptr().cast::<c_char>(), out, bytes.len());
            ffi::SQLITE_OK
        } else {
            ffi::SQLITE_CANTOPEN
        }
    }
}
