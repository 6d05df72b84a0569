//! The program at a pseudo-terminal. `terminal.py` has the sessions.

use std::process::Command;

use crate::support::{Scratch, installed, script};

/// Runs a session of `terminal.py` in a folder with a registry.
fn session(name: &str) {
    let Some(python) = installed(&["python3"]) else { return };
    let scratch = Scratch::new();
    let mut command = Command::new(python);
    command.arg(script("terminal.py")).arg(name).arg(env!("CARGO_BIN_EXE_webhook-registry"));
    let output = command.current_dir(scratch.path("")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {stderr}");
}

#[test]
fn delete_asks_and_deletes_only_after_a_yes() {
    session("question");
}

#[test]
fn a_terminal_gets_colours_unless_they_are_declined() {
    session("colour");
}

#[test]
fn a_table_fits_the_terminal() {
    session("width");
}

#[test]
fn a_table_without_records_says_so() {
    session("empty");
}

#[test]
fn a_long_command_has_a_progress_bar_on_a_terminal() {
    session("progress");
}

#[test]
fn an_interrupt_at_the_question_deletes_nothing() {
    session("interrupt");
}
