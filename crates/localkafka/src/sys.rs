//! The few system calls that the standard library has no safe name for. All of this crate's `unsafe` is here.
#![expect(
    unsafe_code,
    reason = "pre_exec, prctl, kill, flock, statvfs and atexit have no safe form in std at our Rust version"
)]

use std::{
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, RawFd},
        unix::{ffi::OsStrExt as _, process::CommandExt as _},
    },
    path::Path,
    process::Command,
};

/// The signals that are sent to children.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    Terminate,
    Kill,
    Pause,
    Resume,
}

impl Signal {
    const fn number(self) -> libc::c_int {
        match self {
            Self::Terminate => libc::SIGTERM,
            Self::Kill => libc::SIGKILL,
            Self::Pause => libc::SIGSTOP,
            Self::Resume => libc::SIGCONT,
        }
    }
}

/// Makes the child that `command` starts get a signal when the **thread** that starts it ends, and hand `inherit` on to it open.
///
/// `PR_SET_PDEATHSIG` fires when the parent thread ends, not the parent process; `process::spawn` therefore starts
/// every child from one thread that lives as long as this process. Elsewhere than on Linux there is no such call; a
/// child then survives a `kill -9` of its parent, and the inherited lock keeps its data folder from being used twice.
pub(crate) fn tie_to_parent(command: &mut Command, inherit: Option<RawFd>, orphaned: Signal) {
    #[cfg(target_os = "linux")]
    let orphaned = orphaned.number();
    #[cfg(target_os = "linux")]
    let parent = std::process::id();
    let prepare = move || {
        #[cfg(target_os = "linux")]
        {
            // SAFETY: prctl(PR_SET_PDEATHSIG) takes an integer and touches no memory.
            if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, orphaned) } != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the call above; then nobody would ever send the signal.
            // SAFETY: getppid has no preconditions.
            if u32::try_from(unsafe { libc::getppid() }) != Ok(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        if let Some(fd) = inherit {
            // SAFETY: fcntl(F_SETFD) on a number; a bad one is answered with EBADF.
            if unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes async-signal-safe calls only and allocates nothing (both error
    // constructors hold a number).
    unsafe { command.pre_exec(prepare) };
}

/// Sends a signal. The caller owns the child and has not reaped it, so that the number cannot mean another process.
pub(crate) fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    kill(pid, signal.number())
}

/// Whether a process of that number exists.
pub(crate) fn is_alive(pid: u32) -> bool {
    match kill(pid, 0) {
        Ok(()) => true,
        Err(error) => error.raw_os_error() == Some(libc::EPERM),
    }
}

fn kill(pid: u32, number: i32) -> io::Result<()> {
    // 0 and negative numbers mean whole groups.
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: kill takes integers and touches no memory.
    match unsafe { libc::kill(pid, number) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes an exclusive lock if nobody holds it; says whether it was taken.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, libc::LOCK_EX | libc::LOCK_NB) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits for an exclusive lock.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    flock(file, libc::LOCK_EX)
}

fn flock(file: &File, operation: i32) -> io::Result<()> {
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed.
        if unsafe { libc::flock(file.as_raw_fd(), operation) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Bytes that this user can still write on the disk that holds `path`.
#[allow(clippy::unnecessary_cast, reason = "the fields' widths differ between platforms")]
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all-zero bytes are a valid statvfs.
    let mut stats: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends with NUL and `stats` is ours to write to.
    match unsafe { libc::statvfs(path.as_ptr(), &raw mut stats) } {
        0 => Ok((stats.f_bavail as u64).saturating_mul(stats.f_frsize as u64)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Calls `f` when this process returns from `main` or calls `exit`; not when a signal ends it.
pub(crate) fn at_exit(f: extern "C" fn()) {
    // SAFETY: `f` lives for ever. The result only says that the table is full; then `f` is not called.
    let _ = unsafe { libc::atexit(f) };
}

/// The number of the user who runs this process.
pub(crate) fn user_id() -> u32 {
    // SAFETY: getuid has no preconditions.
    unsafe { libc::getuid() }
}
