//! A folder with a registry, and the program in it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use regex::Regex;
use snapbox::cmd::OutputAssert;
use snapbox::{Assert, IntoData, Redactions};
use tempfile::TempDir;
use webhook_registry::Registry;

/// A secret of 42 bytes.
pub(crate) const SECRET: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";

pub(crate) struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Makes an empty folder.
    pub(crate) fn empty() -> Scratch {
        Scratch { dir: tempfile::tempdir().unwrap() }
    }

    /// Makes a folder with a registry: three event types, and the subscriptions `crm`, which is
    /// enabled, and `bi`, which is disabled and has a misspelt pattern.
    pub(crate) fn new() -> Scratch {
        let scratch = Scratch::empty();
        scratch.run("init").code(0);
        scratch.run("types add order.paid order.refunded user.login.v1").code(0);
        scratch.run("create crm https://crm.example/hook order.*").code(0);
        let bi = "create bi https://bi.example/ orders.* *.v1 --disabled --allow-unknown-events";
        scratch.run(bi).code(0);
        scratch
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn registry(&self) -> Registry {
        Registry::open(self.path("reg.db")).unwrap()
    }

    /// Returns the program with the registry of the folder.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = program();
        command.args(args).current_dir(self.dir.path()).env("WEBHOOK_REGISTRY_DB", "reg.db");
        command
    }

    /// Runs the program with arguments that have no spaces.
    pub(crate) fn run(&self, args: &str) -> Ran {
        self.run_args(args.split_whitespace())
    }

    pub(crate) fn run_args<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        run(self.command(args), "")
    }

    /// Runs the program with text on stdin.
    pub(crate) fn feed(&self, args: &str, stdin: &str) -> Ran {
        run(self.command(args.split_whitespace()), stdin)
    }

    /// Starts the program, with a pipe from its stdout.
    pub(crate) fn spawn(&self, args: &str) -> Child {
        let mut command = self.command(args.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs the program, and reads its answer as JSON.
    pub(crate) fn json(&self, args: &str) -> serde_json::Value {
        let output = self.command(args.split_whitespace().chain(["--json"])).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{args}: {stderr}"))
    }
}

/// Returns the program without the settings of the environment of the tests.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webhook-registry"));
    for name in ["WEBHOOK_REGISTRY_DB", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(name);
    }
    command
}

fn run(command: Command, stdin: &str) -> Ran {
    let json = command.get_args().any(|arg| arg == "--json");
    let mut output =
        snapbox::cmd::Command::from_std(command).stdin(stdin.to_owned()).output().unwrap();
    if json {
        output.stdout = indented(output.stdout);
        output.stderr = indented(output.stderr);
    }
    Ran(OutputAssert::new(output).with_assert(assertion()))
}

/// Indents one JSON document. Other text stays as it is.
fn indented(bytes: Vec<u8>) -> Vec<u8> {
    match serde_json::from_slice::<serde_json::Value>(&bytes) {
        Ok(document) => format!("{document:#}\n").into_bytes(),
        Err(_) => bytes,
    }
}

/// Returns the comparison that ignores ids, times and secrets.
pub(crate) fn assertion() -> Assert {
    static REDACTIONS: LazyLock<Redactions> = LazyLock::new(|| {
        let mut redactions = Redactions::new();
        for (name, pattern) in [
            ("[ID]", "01[0-9A-HJKMNP-TV-Z]{24}"),
            ("[TIME]", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
            ("[SECRET]", "[A-Za-z0-9+/]{86}=="),
            ("[FINGERPRINT]", r"\b[0-9a-f]{8}\b"),
        ] {
            redactions.insert(name, Regex::new(pattern).unwrap()).unwrap();
        }
        redactions
    });
    let assert = Assert::new().action_env(snapbox::assert::DEFAULT_ACTION_ENV);
    // JSON has backslashes.
    assert.normalize_paths(false).redact_with(REDACTIONS.clone())
}

/// The end of a run.
pub(crate) struct Ran(OutputAssert);

impl Ran {
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Ran {
        Ran(self.0.code(code))
    }

    /// Expects an answer, exit status 0, and nothing else.
    #[track_caller]
    pub(crate) fn answers(self, stdout: impl IntoData) {
        self.ends(0, stdout, "");
    }

    /// Expects a refusal without an answer.
    #[track_caller]
    pub(crate) fn refuses(self, stderr: impl IntoData) {
        self.ends(2, "", stderr);
    }

    #[track_caller]
    pub(crate) fn ends(self, code: i32, stdout: impl IntoData, stderr: impl IntoData) {
        self.0.code(code).stdout_eq(stdout).stderr_eq(stderr);
    }

    pub(crate) fn status(&self) -> Option<i32> {
        self.0.get_output().status.code()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.0.get_output().stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.0.get_output().stderr.clone()).unwrap()
    }
}

/// Returns the first of some programs that is installed. In CI one has to be, on Linux.
pub(crate) fn installed(names: &[&'static str]) -> Option<&'static str> {
    let runs = |name: &&&str| {
        Command::new(name).arg("--version").output().is_ok_and(|ran| ran.status.success())
    };
    let found = names.iter().find(runs).copied();
    let in_ci = cfg!(target_os = "linux") && std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(found.is_some() || !in_ci, "{names:?} is not installed");
    if found.is_none() {
        eprintln!("skipped: {names:?} is not installed");
    }
    found
}

/// Returns the path of a script beside this file.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(name)
}
