#!/usr/bin/env python3
"""Tests that `.ci/layers` reports every planted violation, and nothing else."""

import sys
import tempfile
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

sys.dont_write_bytecode = True
loader = SourceFileLoader("layers", str(Path(__file__).resolve().parent / "layers"))
layers = module_from_spec(spec_from_loader("layers", loader))
loader.exec_module(layers)

# Three layers; `store` has two files and a folder.
CLEAN = {
    "lib.rs": "mod error; mod store; mod registry; "
    "pub use error::Error; pub use registry::Registry;",
    "error.rs": "pub struct Error; pub(crate) fn quoted() {}",
    "store/mod.rs": "pub(crate) mod open; mod read; mod sql; pub(crate) use open::Opened;",
    "store/open.rs": "use super::read::Read; use crate::error::{self, Error}; "
    "pub(crate) struct Opened(pub Read);",
    "store/read.rs": "pub(crate) struct Read; impl Read { pub(crate) fn open(&self) {} }",
    "store/sql/mod.rs": "mod text;",
    "store/sql/text.rs": "fn text() -> super::super::read::Read { loop {} }",
    "registry.rs": "use crate::store::Opened; pub struct Registry(Opened);",
}


class Planted(unittest.TestCase):
    def check(self, changed, **settings):
        with tempfile.TemporaryDirectory() as folder:
            for path, text in {**CLEAN, **changed}.items():
                file = Path(folder, "src", path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            # The planted lines are long.
            chosen = {"layers": ["error", "store", "registry"], "max_columns": 1_000}
            return layers.Check(folder, **{**chosen, **settings}).source()

    def passes(self, changed, **settings):
        self.assertEqual(self.check(changed, **settings).problems, [])

    def finds(self, problem, changed, **settings):
        problems = self.check(changed, **settings).problems
        self.assertTrue(
            any(problem in found for found in problems), f"{problem!r} is not in {problems}"
        )

    def test_a_clean_tree_passes(self):
        self.passes({})

    def test_each_way_to_write_a_cycle_of_two_files_is_found(self):
        for text in [
            "use super::open::Opened;",
            "use super::open;",
            "use super::open as other;",
            "use super::{open};",
            "use super::{open::{Opened as _}};",
            "use super::{open::{self}};",
            "use self::super::open::Opened;",
            "use crate::store::open::Opened;",
            "use crate::{error::Error, store::{open::{Opened as Other}}};",
            "pub(in crate::store) use super::open::Opened;",
            "pub(crate) fn f() { use super::open::Opened; }",
            "fn f(o: &super::open::Opened) {}",
            "fn f() -> Vec<crate::store::open::Opened> { vec![] }",
            "struct A(pub (super::open::Opened, u8));",
            'fn f() { println!("{}", super::open::Opened::new()); }',
            "macro_rules! m { () => { $crate::store::open::Opened }; }",
            "mod inner { use super::super::open::Opened; }",
            "mod inner { fn f() { super::super::open::g() } }",
            "use super::open as other; fn f() { other::g() }",
            "#[cfg(not(test))] use super::open::Opened;",
            '#[cfg(any(test, feature = "x"))] use super::open::Opened;',
            "fn f<'a>(x: &'a u8) -> impl Fn() + use<'a> { || super::open::g() }",
            "const A: char = '\"'; use super::open::Opened; const B: char = '\"';",
            "fn r#use() {} use super::open::Opened;",
        ]:
            with self.subTest(text):
                read = CLEAN["store/read.rs"] + text
                self.finds(
                    "src/store: cycle: store::open store::read", {"store/read.rs": read, **G}
                )

    def test_a_path_through_a_reexport_of_the_parent_depends_on_the_parent(self):
        read = CLEAN["store/read.rs"] + "use super::Opened;"
        self.finds("src/store: cycle: store store::open store::read", {"store/read.rs": read})

    def test_a_mod_rs_that_uses_or_reexports_a_file_that_uses_it_is_a_cycle(self):
        for text in [
            "use read::Read;",
            "pub(crate) use read::Read;",
            "fn f() { read::g() }",
            "fn f() { self::read::g() }",
        ]:
            with self.subTest(text):
                top = CLEAN["store/mod.rs"] + "pub(crate) struct Settings;" + text
                read = "pub(crate) struct Read(super::Settings); pub(crate) fn g() {}"
                self.finds(
                    "src/store: cycle: store store::",
                    {"store/mod.rs": top, "store/read.rs": read},
                )

    def test_a_cycle_of_three_and_a_cycle_in_a_nested_folder_are_found(self):
        self.finds(
            "src/store: cycle: store::open store::read store::sql",
            {
                "store/read.rs": "pub(crate) struct Read; use super::sql::text;",
                "store/sql/mod.rs": "pub(crate) mod text;",
                "store/sql/text.rs": "use super::super::open::Opened;",
            },
        )
        self.finds(
            "src/store/sql: cycle: store::sql store::sql::text",
            {
                "store/sql/mod.rs": "mod text; use text::A; struct B;",
                "store/sql/text.rs": "pub(super) struct A(super::B);",
            },
        )

    def test_each_way_to_write_an_upward_use_is_found(self):
        for text in [
            "use super::super::registry::Registry;",
            "fn f() -> super::super::registry::Registry { loop {} }",
            "use crate::registry::Registry;",
            "use crate::Registry;",
            "use crate::{error::Error, Registry as Other};",
            "mod inner { use super::super::super::registry::Registry; }",
            "fn f(r: &crate::Registry) {}",
        ]:
            with self.subTest(text):
                changed = {"store/read.rs": CLEAN["store/read.rs"] + text}
                self.finds("upward use: store uses registry", changed)

    def test_an_import_in_test_code_is_not_a_dependency(self):
        for text in [
            "#[cfg(test)] mod tests { use super::super::open::Opened; }",
            "#[cfg(test)] use super::open::{Opened, self};",
            "#[cfg(test)] fn f() -> [u8; 2] { super::open::g() }",
            "#[cfg(test)] pub(crate) const fn f() { super::open::g() }",
            "#[cfg(test)] const A: A = A { a: super::open::g() };",
            "#[cfg(all(test, unix))] #[allow(unused)] mod tests { use crate::Registry; }",
            "#[test] fn f() { super::open::g() }",
            "fn f() { #[cfg(test)] super::open::g(); }",
            "struct A { #[cfg(test)] a: super::open::Opened, }",
        ]:
            with self.subTest(text):
                self.passes({"store/read.rs": CLEAN["store/read.rs"] + text, **G})
        tests = {
            "store/tests.rs": "use super::open::Opened;",
            "store/tests/more.rs": "use crate::Registry;",
        }
        self.passes({"store/mod.rs": CLEAN["store/mod.rs"] + "#[cfg(test)] mod tests;", **tests})
        inner = {"store/read/tests.rs": "#![cfg(test)] use super::super::open::Opened;"}
        self.passes({"store/read.rs": CLEAN["store/read.rs"] + "mod tests;", **inner})

    def test_code_after_a_test_item_is_checked_again(self):
        for text in [
            "#[cfg(test)] use super::sql; use super::open::Opened;",
            "#[cfg(test)] fn f() {} use super::open::Opened;",
            "#[cfg(test)] const A: A = A {}; fn f() { super::open::g() }",
            "struct A { #[cfg(test)] a: u8, b: super::open::Opened }",
            "fn f() { #[cfg(test)] g(); super::open::g() }",
        ]:
            with self.subTest(text):
                read = CLEAN["store/read.rs"] + text
                self.finds(
                    "src/store: cycle: store::open store::read", {"store/read.rs": read, **G}
                )

    def test_comments_and_strings_are_ignored(self):
        for text in [
            "// use super::open::Opened; crate::Registry",
            "/* /* use super::open::Opened; */ use crate::Registry; */",
            "/// [`Opened`](super::open::Opened)\nfn f() {}",
            'const A: &str = "use super::open::Opened; \\" crate::Registry";',
            'const A: &str = r#"use super::open::Opened; " crate::Registry"#;',
            'const A: &[u8] = br"use super::open::Opened;";',
            '// TcpStream\nconst A: &str = "TcpStream";',
        ]:
            with self.subTest(text):
                self.passes({"store/read.rs": CLEAN["store/read.rs"] + text})

    def test_constructs_that_hide_paths_are_rejected(self):
        for text, problem in [
            ("use super::*;", "hides the imported names"),
            ("pub use super::open::*;", "hides the imported names"),
            ('include!("x.rs");', "`include!` hides paths"),
            ('#[path = "x.rs"] mod inner {}', "`#[path]` hides paths"),
            ("#[macro_use] mod inner {}", "`#[macro_use]` hides paths"),
            ("use super::nothing::A;", "cannot be resolved"),
            ("mod gone;", "no file for the module store::read::gone"),
        ]:
            with self.subTest(text):
                self.finds(problem, {"store/read.rs": CLEAN["store/read.rs"] + text})
        self.passes({"store/read.rs": CLEAN["store/read.rs"] + "enum A { B } fn f() { use A::*; }"})
        self.finds("src/store/left.rs: not a module of the crate", {"store/left.rs": ""})
        self.finds(
            "extra is not in the list of layers",
            {"lib.rs": CLEAN["lib.rs"] + "mod extra;", "extra.rs": ""},
        )

    def test_a_program_is_a_crate_of_its_own(self):
        program = {
            "bin/tool/main.rs": "mod args; mod list; use args::Args;",
            "bin/tool/args.rs": "use crate::list::List; pub(crate) struct Args(List);",
            "bin/tool/list.rs": "use webhook_registry::Registry; pub(crate) struct List;",
        }
        self.passes(program)
        for path, text, problem in [
            ("list.rs", "use crate::args::Args; pub(crate) struct List;", "cycle: args list"),
            ("list.rs", "use std::net::TcpStream; pub(crate) struct List;", "network access"),
            ("list.rs", "use rusqlite::Connection; pub(crate) struct List;", "rusqlite outside"),
            ("left.rs", "", "src/bin/tool/left.rs: not a module of the crate"),
        ]:
            with self.subTest(problem):
                self.finds(problem, {**program, f"bin/tool/{path}": text})
        self.finds("src/bin/loose.rs: not a module of the crate", {"bin/loose.rs": ""})

    def test_each_way_to_write_a_socket_is_found(self):
        for text in [
            "use std::net::TcpStream;",
            "use std::{fmt, net::{Ipv4Addr, UdpSocket as Quiet}};",
            "use std::net;",
            "use std::net::*;",
            "use std::net as addresses;",
            "use std::os::unix::net::UnixDatagram;",
            "use std::os::unix::{fs, net as quiet};",
            'fn f() { ::std::net::TcpListener::bind(""); }',
            'fn f() { std::net::TcpStream::connect(""); }',
            "#[cfg(test)] mod tests { use std::net::{self}; }",
            "fn f(a: impl std::net::ToSocketAddrs) {}",
        ]:
            with self.subTest(text):
                self.finds("network access: ", {"error.rs": CLEAN["error.rs"] + text})
        addresses = (
            "use std::net::{IpAddr, Ipv4Addr as Four}; fn f() { std::net::Ipv6Addr::LOCALHOST; }"
        )
        self.passes({"error.rs": CLEAN["error.rs"] + addresses})

    def test_rusqlite_stays_in_the_store(self):
        self.finds(
            "src/error.rs: rusqlite outside src/store",
            {"error.rs": CLEAN["error.rs"] + "use rusqlite::Row;"},
        )
        self.passes({"store/read.rs": CLEAN["store/read.rs"] + "use rusqlite::Row;"})

    def test_long_files_long_lines_and_unfinished_code_are_found(self):
        self.passes({"error.rs": CLEAN["error.rs"] + "\n" * 449})
        self.finds(
            "src/error.rs: 451 lines, more than 450",
            {"error.rs": CLEAN["error.rs"] + "\n" * 450 + "//"},
        )
        for path in ["src/a.md", "docs/a.md", "a.md", "tests/it/a.c"]:
            self.finds(f"{path}: 451 lines, more than 450", {f"../{path}": "\n" * 451})
        full = CLEAN["error.rs"] + "\n//" + "é" * 98
        self.passes(
            {"error.rs": full, "store/open.rs": CLEAN["store/open.rs"].replace(";", ";\n")},
            max_columns=100,
        )
        self.finds(
            "lines over 100 columns: src/error.rs:2",
            {"error.rs": full + "é"},
            max_columns=100,
        )
        self.finds(
            "src/error.rs:2: unfinished",
            {"error.rs": CLEAN["error.rs"] + "\nfn f() { " + "to" + "do!() }"},
        )
        self.finds("tests/it/a.rs:1: unfinished", {"../tests/it/a.rs": "// FIX" + "ME"})

    def test_long_lines_of_documents_and_sql_are_found(self):
        for path in ["cookbook/deliver.md", "store/schema.sql"]:
            self.finds(f"src/{path}:2", {path: "\n" + "x" * 101}, max_columns=100)
        self.finds("docs/a.md:1", {"../docs/a.md": "x" * 101}, max_columns=100)
        for text in ["| x |", "[x](y)"]:
            self.passes({"../docs/a.md": text + "x" * 101}, max_columns=100)

    def test_long_lines_outside_the_library_are_found(self):
        for path in [
            "tests/it/a.rs",
            "tests/it/a.c",
            "benches/a/main.rs",
            "benches/report.py",
            "examples/a.rs",
            "fuzz/fuzz_targets/a.rs",
            ".ci/run",
        ]:
            long = {f"../{path}": "\n# " + "x" * 99}
            self.finds(f"lines over 100 columns: {path}:2", long, max_columns=100)
        data = {"../tests/fixtures/a.json": "x" * 101, "../fuzz/corpus/a": "x" * 101}
        short = {path: text.replace(";", ";\n") for path, text in CLEAN.items()}
        self.passes({**short, **data}, max_columns=100)

    def test_summaries_that_are_noun_clauses_are_found(self):
        good = "\n/// Returns it.\n///\n/// What follows counts not.\nfn f() {}" * 49
        self.passes({"error.rs": CLEAN["error.rs"] + good + "\n/// What is live.\nfn g() {}"})
        bad = {"error.rs": CLEAN["error.rs"] + good + "\n//! Whether.\n/// How.\nfn g() {}"}
        self.finds("2 of 51 doc summaries", bad)


# `open.rs` with a function that paths can name.
G = {"store/open.rs": CLEAN["store/open.rs"] + "pub(crate) fn g() {}"}

if __name__ == "__main__":
    unittest.main()
