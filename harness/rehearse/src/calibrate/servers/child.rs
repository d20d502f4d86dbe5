//! A real server of this machine, for as long as an experiment lasts.
//!
//! It listens on loopback alone, keeps its files in a folder of its own that goes with it, is nobody of power where this
//! process is root, has one core, and ends with this process however that ends.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use clock::Clock;
use units::Nanos;

/// How long a server may take to answer.
pub(super) const PATIENCE: Nanos = Nanos::from_secs(30);

/// A folder that is removed with this.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// A new one, which servers can write to.
    pub(super) fn new(name: &str) -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("rehearse-calibrate-{name}-{}", std::process::id()));
        let wrong = |error: std::io::Error| format!("cannot use the folder {}: {error}", path.display());
        fs::create_dir(&path).map_err(wrong)?;
        let folder = Self(path.clone());
        folder.give(&path).map_err(wrong)?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes a folder or writes a file in it that belongs to its servers; its path.
    pub(super) fn put(&self, name: &str, text: Option<&str>) -> Result<PathBuf, String> {
        let path = self.0.join(name);
        let made = match text {
            Some(text) => fs::write(&path, text),
            None => fs::create_dir(&path),
        };
        made.and_then(|()| self.give(&path)).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(path)
    }

    #[expect(clippy::unused_self, reason = "only what is in a folder of ours changes hands")]
    fn give(&self, path: &Path) -> std::io::Result<()> {
        user().map_or(Ok(()), |(user, group)| std::os::unix::fs::chown(path, Some(user), Some(group)))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok(); // in the system's folder for what may go
    }
}

/// A server. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
}

impl Server {
    /// Starts a program on a core of its own, if there is more than one, with its words in a file of its folder.
    pub(super) fn start(
        folder: &Folder,
        log: &str,
        program: &Path,
        arguments: &[String],
        port: u16,
    ) -> Result<Self, String> {
        let words = fs::OpenOptions::new().create(true).append(true).open(folder.path().join(log));
        let words = words.map_err(|error| format!("cannot write its log: {error}"))?;
        let mut command = dressed(program, true);
        command.args(arguments).current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(words);
        let child = command.spawn().map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        Ok(Self { child, port })
    }

    /// SIGKILL, as a crash.
    pub(super) fn crash(&mut self) {
        self.child.kill().ok(); // it may have ended by itself
        self.child.wait().ok();
    }

    /// Whether it runs.
    pub(super) fn runs(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// CPU that its main thread and all its children have had.
    pub(super) fn cpu(&self) -> Nanos {
        let own = self.child.id();
        let pids = fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            (pid == own || parent(pid) == Some(own)).then_some(pid)
        });
        pids.filter_map(ran).fold(Nanos::ZERO, |sum, ran| sum + ran)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

/// The process that a process is a child of.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// How long the kernel let a process run: nanoseconds, by its own account.
fn ran(pid: u32) -> Option<Nanos> {
    let told = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    told.split(' ').next()?.parse().ok().map(Nanos::new)
}

/// Runs a program of a server's to its end.
pub(super) fn run(program: &Path, arguments: &[String]) -> Result<(), String> {
    let told = dressed(program, false).args(arguments).output();
    let told = told.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    if told.status.success() {
        return Ok(());
    }
    Err(format!("{} said: {}", program.display(), String::from_utf8_lossy(&told.stderr).trim()))
}

/// A program as its own user, which dies with this process; `alone`: on the last core.
fn dressed(program: &Path, alone: bool) -> Command {
    let mut words: Vec<String> = Vec::new();
    if containers::program("setpriv").is_some() {
        words.extend(["setpriv", "--pdeathsig=KILL"].map(str::to_owned));
        if let Some((user, group)) = user() {
            words.extend([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()]);
        }
    }
    if let (true, Some(core)) = (alone && containers::program("taskset").is_some(), cores().checked_sub(1)) {
        words.extend(["taskset".to_owned(), "--cpu-list".to_owned(), core.to_string()]);
    }
    words.push(program.display().to_string());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Who a server is where this process is root, whom PostgreSQL refuses: user and group.
fn user() -> Option<(u32, u32)> {
    const NOBODY: (u32, u32) = (65_534, 65_534);
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let postgres = known.lines().find_map(|line| {
        let mut fields = line.split(':').skip_while(|name| *name != "postgres").skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    Some(postgres.unwrap_or(NOBODY))
}

/// A port of loopback that nobody listens on now.
pub(super) fn port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| format!("no port is free: {error}"))?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// Looks every few milliseconds until something is there, or patience is over.
pub(super) fn until<T>(clock: &Clock, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
    let end = clock.now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if clock.now() >= end {
            return Err(format!("{what} took longer than {PATIENCE}"));
        }
        pause(Nanos::from_millis(5));
    }
}

/// Waits a while.
#[expect(clippy::disallowed_methods, reason = "nobody measures how long a pause between two looks is")]
pub(super) fn pause(time: Nanos) {
    std::thread::sleep(std::time::Duration::from_nanos(time.get()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_child_on_its_own_and_its_folder_goes_with_it() {
        let folder = Folder::new("test").unwrap();
        let path = folder.path().to_owned();
        let mut server =
            Server::start(&folder, "log", Path::new("/bin/sh"), &["-c".into(), "while :; do :; done".into()], 1)
                .unwrap();
        let clock = Clock::start();
        let used = until(&clock, "using CPU", || Some(server.cpu()).filter(|cpu| *cpu > Nanos::from_millis(1)));
        assert!(used.is_ok() && server.runs(), "{used:?}");
        assert_eq!(parent(server.child.id()), Some(std::process::id()));
        server.crash();
        assert!(!server.runs());
        drop(folder);
        assert!(!path.exists());
    }
}
