//! Tests a file that Litestream replicates into a folder, without a network, while a registry
//! writes. The registry must not break the chain of copied changes, and the restored copy must
//! equal the registry. `WEBHOOK_REGISTRY_LITESTREAM` names the program; `.ci/litestream` downloads
//! it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
#[cfg(feature = "encryption")]
use webhook_registry::ErrorKind;
use webhook_registry::{Registry, RegistryOptions, SubscriptionUpdate};

#[cfg(feature = "encryption")]
use crate::support::refused;
use crate::support::{FILES, learn, new, options_for, prepare, size};

struct Litestream {
    program: PathBuf,
    name: &'static str,
    folder: tempfile::TempDir,
}

/// A running Litestream. It is terminated when dropped, as an init system does.
struct Running(Child);

impl Litestream {
    /// Configures a checkpoint every 50 pages and every second, or none during a test.
    fn new(name: &'static str, checkpoints: bool) -> Option<Litestream> {
        let Some(program) = std::env::var_os("WEBHOOK_REGISTRY_LITESTREAM") else {
            println!("skipped: WEBHOOK_REGISTRY_LITESTREAM is not set");
            return None;
        };
        let litestream =
            Litestream { program: program.into(), name, folder: tempfile::tempdir().unwrap() };
        prepare(&litestream.path());
        let (pages, interval) = if checkpoints { (50, "1s") } else { (1_000_000, "1h") };
        let config = format!(
            "dbs:\n  - path: {}\n    monitor-interval: 20ms\n    \
             checkpoint-interval: {interval}\n    min-checkpoint-page-count: {pages}\n    \
             replicas:\n      - type: file\n        path: {}\n        sync-interval: 20ms\n",
            litestream.path().display(),
            litestream.folder.path().join("replica").display(),
        );
        fs::write(litestream.folder.path().join("litestream.yml"), config).unwrap();
        Some(litestream)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    fn options(&self) -> RegistryOptions {
        options_for(&self.path())
    }

    fn open(&self) -> Registry {
        self.options().auto_checkpoint(false).open(self.path()).unwrap()
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(name).arg("-config").arg(self.folder.path().join("litestream.yml"));
        command
    }

    /// Starts replication, and returns after the first copy.
    fn replicate(&self) -> Running {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let running =
            self.command("replicate").stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let running = Running(running);
        self.wait_until("a first copy", || self.log().contains("wal segment written"));
        running
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits until Litestream has done something on its own.
    fn wait_until(&self, what: &str, done: impl Fn() -> bool) {
        let since = Instant::now();
        while !done() {
            assert!(since.elapsed().as_secs() < 60, "not {what} within a minute: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the modification time. The file is not opened: closing it would release the locks of
    /// this process.
    fn written(&self) -> SystemTime {
        fs::metadata(self.path()).unwrap().modified().unwrap()
    }

    /// Restores a file from the copies so far.
    fn restore(&self, to: &Path) {
        let restored = self.try_restore(to);
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    }

    fn try_restore(&self, to: &Path) -> Output {
        self.command("restore").arg("-o").arg(to).arg(self.path()).output().unwrap()
    }

    /// Returns how many times Litestream started with a full copy.
    fn generations(&self) -> usize {
        let listed =
            self.command("generations").arg(self.path()).stderr(Stdio::inherit()).output().unwrap();
        String::from_utf8(listed.stdout).unwrap().lines().skip(1).count()
    }

    /// Stops Litestream after it has copied everything: it does not always copy the last changes
    /// when it is stopped.
    fn end(&self, running: Running, registry: &Registry, how: &RegistryOptions) {
        let all = registry.last_change().unwrap();
        self.wait_until("all copied", || {
            let trial = tempfile::tempdir().unwrap();
            let path = trial.path().join("trial.db");
            self.try_restore(&path).status.success()
                && how.open(path).is_ok_and(|copy| copy.last_change().unwrap() == all)
        });
        drop(running);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.try_wait().unwrap().is_none() {
            kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
            self.0.wait().unwrap();
        }
    }
}

fn export(registry: &Registry) -> serde_json::Value {
    serde_json::to_value(registry.export().unwrap()).unwrap()
}

fn assert_sound(registry: &Registry) {
    let report = registry.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings());
}

/// Writes during replication, over several checkpoints of Litestream.
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
fn litestream_restores_the_registry() {
    FILES.into_iter().take(2).for_each(restores_the_registry_of);
}

fn restores_the_registry_of(name: &'static str) {
    let Some(litestream) = Litestream::new(name, true) else { return };
    let registry = litestream.open();
    learn(&registry);
    let running = litestream.replicate();
    let before = litestream.written();
    let many = size(150, 3_000);
    let midway = litestream.folder.path().join("midway.db");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&registry, 0, many));
        // A copy made meanwhile is a snapshot without half of a change.
        litestream.restore(&midway);
        writer.join().unwrap();
    });
    litestream.wait_until("a checkpoint of its own", || litestream.written() > before);
    write(&registry, many, 20);
    litestream.end(running, &registry, &litestream.options());
    let midway = litestream.options().read_only(true).open(midway).unwrap();
    assert_sound(&midway);
    assert!(midway.last_change().unwrap() <= registry.last_change().unwrap());

    let restored = litestream.folder.path().join("restored.db");
    litestream.restore(&restored);
    let restored = litestream.options().open(restored).unwrap();
    assert_sound(&restored);
    assert_sound(&registry);
    assert_eq!(export(&restored), export(&registry));
    assert_eq!(restored.last_change().unwrap(), registry.last_change().unwrap());
    // The restored registry is writable and continues the numbers of its origin.
    restored.create(new("next")).unwrap();
    assert_eq!(restored.last_change().unwrap(), registry.last_change().unwrap() + 1);
}

#[test]
fn litestream_continues_its_chain_after_both_were_closed() {
    FILES.into_iter().take(2).for_each(continues_its_chain_after_both_were_closed_of);
}

fn continues_its_chain_after_both_were_closed_of(name: &'static str) {
    let Some(litestream) = Litestream::new(name, false) else { return };
    restore_after_reopening(&litestream, false);
    assert_eq!(
        litestream.generations(),
        1,
        "Litestream started with a full copy: {}",
        litestream.log()
    );
}

#[test]
fn litestream_loses_nothing_if_the_registry_makes_checkpoints() {
    FILES.into_iter().take(2).for_each(loses_nothing_if_the_registry_makes_checkpoints_of);
}

fn loses_nothing_if_the_registry_makes_checkpoints_of(name: &'static str) {
    let Some(litestream) = Litestream::new(name, false) else { return };
    restore_after_reopening(&litestream, true);
}

/// Closes both, writes to the registry without Litestream, and then opens both again.
fn restore_after_reopening(litestream: &Litestream, auto: bool) {
    let open = || litestream.options().auto_checkpoint(auto).open(litestream.path()).unwrap();
    let registry = open();
    learn(&registry);
    let running = litestream.replicate();
    write(&registry, 0, 20);
    litestream.end(running, &registry, &litestream.options());
    drop(registry);
    write(&open(), 20, 20);
    let running = litestream.replicate();
    let registry = open();
    write(&registry, 40, 20);
    litestream.end(running, &registry, &litestream.options());
    let restored = litestream.folder.path().join("restored.db");
    litestream.restore(&restored);
    assert_eq!(export(&litestream.options().open(restored).unwrap()), export(&registry));
}

#[cfg(feature = "encryption")]
#[test]
fn a_replicated_file_can_be_rekeyed_after_litestream_was_stopped() {
    let Some(litestream) = Litestream::new(FILES[0], false) else { return };
    let registry = litestream.open();
    learn(&registry);
    registry.create(new("one")).unwrap();
    let running = litestream.replicate();
    drop(registry);
    let hasty = Registry::options().busy_timeout(Duration::from_millis(100)).auto_checkpoint(false);
    refused(hasty.open(litestream.path()).unwrap().rekey(Some([7; 32])), ErrorKind::Busy, &[]);
    let registry = litestream.open();
    litestream.end(running, &registry, &Registry::options());
    registry.rekey(Some([7; 32])).unwrap();
    let running = litestream.replicate();
    write(&registry, 0, 20);
    let encrypted = Registry::options().encryption_key([7; 32]);
    litestream.end(running, &registry, &encrypted);
    let restored = litestream.folder.path().join("restored.db");
    litestream.restore(&restored);
    refused(Registry::open(&restored), ErrorKind::Incompatible, &[]);
    let restored = encrypted.open(restored).unwrap();
    assert_eq!(export(&restored), export(&registry));
}
