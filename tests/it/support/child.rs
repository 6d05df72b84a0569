//! Child processes: this test binary runs once more in a role. A role is a test that returns at
//! once unless it was started as a child. It talks to its parent over standard error, because
//! libtest writes to standard output.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

const ROLE: &str = "WEBHOOK_REGISTRY_CHILD";
const PATH: &str = "WEBHOOK_REGISTRY_CHILD_PATH";

/// Returns the file and the other arguments in a role, and None in an ordinary test run.
pub(crate) fn role() -> Option<(PathBuf, Vec<String>)> {
    let arguments = std::env::var(ROLE).ok()?;
    let path = std::env::var_os(PATH)?;
    Some((path.into(), arguments.split_whitespace().map(str::to_owned).collect()))
}

/// Sends a line to the parent, in one write.
pub(crate) fn tell(line: impl std::fmt::Display) {
    let line = format!("@{line}\n");
    std::io::stderr().lock().write_all(line.as_bytes()).unwrap();
}

/// Waits for a line from the parent.
pub(crate) fn await_word() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// Returns the command that runs a role, named by its test path.
pub(crate) fn command(role: &str, path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    in_role(&mut command, role, path, arguments);
    command
}

/// Returns the command in a shell that first runs `before`, such as `trap "" XFSZ`.
#[cfg(unix)]
pub(crate) fn command_after(before: &str, role: &str, path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{before}; exec \"$0\" \"$@\"")]);
    command.arg(std::env::current_exe().unwrap());
    in_role(&mut command, role, path, arguments);
    command
}

fn in_role(command: &mut Command, role: &str, path: &Path, arguments: &[&str]) {
    command
        .args([role, "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, arguments.join(" "))
        .env(PATH, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
}

/// A running role. It is killed when dropped.
pub(crate) struct Peer {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    /// Its other output, such as a panic message.
    noise: String,
}

impl Peer {
    pub(crate) fn spawn(command: &mut Command) -> Peer {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Peer { child, lines, noise: String::new() }
    }

    /// Sends a line to the child.
    pub(crate) fn say(&mut self, word: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{word}").unwrap_or_else(|cause| panic!("{cause}: {}", self.noise));
    }

    /// Returns its next message, or None at its end.
    pub(crate) fn hear(&mut self) -> Option<String> {
        loop {
            let line = self.lines.next()?.unwrap();
            match line.strip_prefix('@') {
                Some(message) => return Some(message.to_owned()),
                None => self.noise += &(line + "\n"),
            }
        }
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, message: &str) {
        let heard = self.hear();
        assert_eq!(heard.as_deref(), Some(message), "{}", self.noise);
    }

    /// Kills the child with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Stops the child with SIGSTOP, and returns once it is stopped.
    #[cfg(unix)]
    pub(crate) fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::UNTRACED).unwrap();
    }

    /// Returns the remaining messages, after asserting a successful exit.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let heard: Vec<String> = std::iter::from_fn(|| self.hear()).collect();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.noise);
        heard
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
