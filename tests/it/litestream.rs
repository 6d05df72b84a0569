//! The file replicated by Litestream while a registry writes, into a folder, with no network. Guards against a registry
//! that breaks the chain of what Litestream has copied, and against a copy that is not the registry. Its program is
//! looked for where `WEBHOOK_REGISTRY_LITESTREAM` says; `.ci/litestream` gets it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
#[cfg(feature = "encryption")]
use webhook_registry::ErrorKind;
use webhook_registry::{Registry, SubscriptionUpdate};

#[cfg(feature = "encryption")]
use crate::support::refused;
use crate::support::{learn, new, size};

struct Litestream {
    program: PathBuf,
    folder: tempfile::TempDir,
}

/// One that runs. It is killed when dropped.
struct Running(Child);

impl Litestream {
    fn new() -> Option<Litestream> {
        let Some(program) = std::env::var_os("WEBHOOK_REGISTRY_LITESTREAM") else {
            println!("WEBHOOK_REGISTRY_LITESTREAM does not say where Litestream is: skipped");
            return None;
        };
        let litestream = Litestream { program: program.into(), folder: tempfile::tempdir().unwrap() };
        let config = format!(
            "dbs:\n  - path: {}\n    monitor-interval: 20ms\n    checkpoint-interval: 1s\n    min-checkpoint-page-count: 50\n    \
             replicas:\n      - type: file\n        path: {}\n        sync-interval: 20ms\n",
            litestream.path().display(),
            litestream.folder.path().join("replica").display(),
        );
        fs::write(litestream.folder.path().join("litestream.yml"), config).unwrap();
        Some(litestream)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("webhooks.db")
    }

    fn open(&self) -> Registry {
        Registry::options().leave_checkpoints(true).open(self.path()).unwrap()
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(name).arg("-config").arg(self.folder.path().join("litestream.yml"));
        command
    }

    /// Starts to replicate, and has copied something once this returns.
    fn replicate(&self) -> Running {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let running = self.command("replicate").stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let running = Running(running);
        self.wait_until("a first copy", || self.log().contains("wal segment written"));
        running
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits for what Litestream is to do by itself.
    fn wait_until(&self, what: &str, done: impl Fn() -> bool) {
        let since = Instant::now();
        while !done() {
            assert!(since.elapsed().as_secs() < 60, "not {what} within a minute: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it has made a checkpoint of its own, and so emptied what it had copied.
    fn await_checkpoint(&self, since: &[u8]) {
        self.wait_until("a checkpoint", || fs::read(self.path()).unwrap() != since);
    }

    /// Makes a file out of what has been copied so far.
    fn restore(&self, to: &Path) {
        let restored = self.command("restore").arg("-o").arg(to).arg(self.path()).output().unwrap();
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    }

    /// How many times Litestream had to begin anew with a whole copy.
    fn generations(&self) -> usize {
        let listed = self.command("generations").arg(self.path()).stderr(Stdio::inherit()).output().unwrap();
        String::from_utf8(listed.stdout).unwrap().lines().skip(1).count()
    }
}

impl Running {
    /// Ends it as an init system does: it copies what is left first. How it ends is its own affair: what it copied is
    /// compared, and a checkpoint that it began when it was told to end makes it fail.
    fn end(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn export(registry: &Registry) -> serde_json::Value {
    serde_json::to_value(registry.export().unwrap()).unwrap()
}

fn assert_sound(registry: &Registry) {
    let report = registry.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings());
}

/// Writes while it is copied: all that lies in several checkpoints of Litestream's.
fn write(registry: &Registry, from: usize, many: usize) {
    for n in from..from + many {
        let made = registry.create(new(&format!("n{n}")).metadata("n", n.to_string())).unwrap();
        let id = made.subscription().id();
        registry.update(id, SubscriptionUpdate::new().enabled(n % 3 == 0)).unwrap();
        if n % 5 == 0 {
            registry.delete(id).unwrap();
        }
    }
}

#[test]
fn what_litestream_restores_is_the_registry() {
    let Some(litestream) = Litestream::new() else { return };
    let registry = litestream.open();
    learn(&registry);
    let running = litestream.replicate();
    let before = fs::read(litestream.path()).unwrap();
    let many = size(150, 3_000);
    let midway = litestream.folder.path().join("midway.db");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&registry, 0, many));
        // What is copied meanwhile is a moment of it: no half of a change.
        litestream.restore(&midway);
        writer.join().unwrap();
    });
    litestream.await_checkpoint(&before);
    write(&registry, many, 20);
    running.end();
    let midway = Registry::options().read_only(true).open(midway).unwrap();
    assert_sound(&midway);
    assert!(midway.last_change().unwrap() <= registry.last_change().unwrap());

    let restored = litestream.folder.path().join("restored.db");
    litestream.restore(&restored);
    let restored = Registry::open(restored).unwrap();
    assert_sound(&restored);
    assert_sound(&registry);
    assert_eq!(export(&restored), export(&registry));
    assert_eq!(restored.last_change().unwrap(), registry.last_change().unwrap());
    // It can be written to, and goes on where the other stood.
    restored.create(new("next")).unwrap();
    assert_eq!(restored.last_change().unwrap(), registry.last_change().unwrap() + 1);
}

#[test]
fn litestream_goes_on_where_it_was_after_both_were_closed() {
    let Some(litestream) = Litestream::new() else { return };
    closed_meanwhile(&litestream, true);
    assert_eq!(litestream.generations(), 1, "it began anew: {}", litestream.log());
}

#[test]
fn litestream_loses_nothing_either_where_the_registry_makes_checkpoints() {
    let Some(litestream) = Litestream::new() else { return };
    closed_meanwhile(&litestream, false);
}

/// Both are closed, the registry is opened and written to while nobody copies, and then both again.
fn closed_meanwhile(litestream: &Litestream, leave: bool) {
    let open = || Registry::options().leave_checkpoints(leave).open(litestream.path()).unwrap();
    let registry = open();
    learn(&registry);
    let running = litestream.replicate();
    write(&registry, 0, 20);
    running.end();
    assert_eq!(litestream.generations(), 1);
    drop(registry);
    write(&open(), 20, 20);
    let running = litestream.replicate();
    let registry = open();
    write(&registry, 40, 20);
    running.end();
    let restored = litestream.folder.path().join("restored.db");
    litestream.restore(&restored);
    assert_eq!(export(&Registry::open(restored).unwrap()), export(&registry));
}

#[cfg(feature = "encryption")]
#[test]
fn a_file_that_is_replicated_gets_another_key_once_litestream_has_ended() {
    let Some(litestream) = Litestream::new() else { return };
    let registry = litestream.open();
    learn(&registry);
    registry.create(new("one")).unwrap();
    let running = litestream.replicate();
    let options = Registry::options().leave_checkpoints(true).busy_timeout(Duration::ZERO);
    drop(registry);
    let registry = options.open(litestream.path()).unwrap();
    refused(registry.rekey(Some([7; 32])), ErrorKind::Busy, &[]);
    running.end();
    registry.rekey(Some([7; 32])).unwrap();
    let running = litestream.replicate();
    write(&registry, 0, 20);
    running.end();
    let restored = litestream.folder.path().join("restored.db");
    litestream.restore(&restored);
    refused(Registry::open(&restored), ErrorKind::Incompatible, &[]);
    let restored = Registry::options().encryption_key([7; 32]).open(restored).unwrap();
    assert_eq!(export(&restored), export(&registry));
}
