"""Reads Rust source far enough to know which module each path leads to.

The reader knows tokens, `use` trees, modules and the names of items. It does not know types, so a
call of a method is no dependency here, wherever its `impl` block stands. Items that exist only in
tests are skipped.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<comment>//[^\n]*)
  | (?P<block>/\*)
  | (?P<raw>(?:b|c)?r(?P<hashes>\#*)")
  | (?P<text>(?:b|c)?"(?:[^"\\]|\\.)*")
  | (?P<char>b?'(?:\\(?:u\{[^}]*\}|x..|.)|[^'\\])')
  | (?P<lifetime>'\w+)
  | (?P<word>(?:r\#)?[^\W\d]\w*)
  | (?P<number>\d\w*)
  | (?P<mark>::|=>|->|.)
    """,
    re.VERBOSE | re.DOTALL,
)
COMMENT_MARK = re.compile(r"/\*|\*/")
OPEN, CLOSE = {"(", "[", "{"}, {")", "]", "}"}
ITEMS = {"fn", "struct", "enum", "union", "trait", "type", "const", "static"}
UNTIL_SEMICOLON = {"use", "let", "type", "static", "const"}
MODIFIERS = {"pub", "unsafe", "async", "extern", "default", "safe"}


def tokens(text):
    """Returns (word or mark, line) pairs. A string or character becomes `""`, and comments go."""
    found, at, line = [], 0, 1
    while at < len(text):
        match = TOKEN.match(text, at)
        kind, end = match.lastgroup, match.end()
        if match.group("block"):
            depth, kind = 1, "comment"
            while depth:
                mark = COMMENT_MARK.search(text, end)
                if not mark:
                    raise ValueError(f"line {line}: a comment that does not end")
                end, depth = mark.end(), depth + (1 if mark.group() == "/*" else -1)
        elif match.group("raw"):
            close = text.find('"' + match.group("hashes"), end)
            if close < 0:
                raise ValueError(f"line {line}: a string that does not end")
            end, kind = close + 1 + len(match.group("hashes")), "text"
        if kind in ("text", "char"):
            found.append(('""', line))
        elif kind in ("word", "number", "mark", "lifetime"):
            found.append((match.group().removeprefix("r#"), line))
        line += text.count("\n", at, end)
        at = end
    return found


@dataclass
class Module:
    """A module of the crate: the root of a file, or one that stands inline in it."""

    path: tuple
    file: Path
    children: set = field(default_factory=set)
    items: set = field(default_factory=set)
    names: dict = field(
        default_factory=dict
    )  # a name that `use` brings in -> the segments of its path


@dataclass
class Reference:
    """A path as it stands in the source."""

    module: Module
    segments: tuple
    line: int

    def __str__(self):
        return "::".join(self.segments)


@dataclass
class File:
    """What a file of the crate says."""

    path: Path
    module: tuple
    references: list = field(default_factory=list)
    unclear: list = field(default_factory=list)  # (line, text) of what the reader cannot follow


def needs_test(predicate):
    """Tells whether a `cfg` predicate, as tokens, holds in tests only."""
    if not predicate:
        return False
    head, arguments, depth, current = predicate[0], [], 0, []
    if head not in ("all", "any"):
        return predicate == ["test"]
    for token in predicate[2:-1]:
        depth += (token in OPEN) - (token in CLOSE)
        if token == "," and depth == 0:
            arguments.append(current)
            current = []
        else:
            current.append(token)
    arguments = [needs_test(argument) for argument in arguments + [current] if argument]
    return any(arguments) if head == "all" else bool(arguments) and all(arguments)


class Reader:
    """Reads one file into a `File`, and its modules into a dictionary by path."""

    def __init__(self, path, module, text, modules, with_tests):
        self.tokens = tokens(text)
        self.with_tests = with_tests
        self.file = File(path, module)
        self.modules = modules
        self.submodules = []  # those whose text is in files of their own
        self.test_submodules = []

    def word(self, at):
        return self.tokens[at][0] if at < len(self.tokens) else ""

    def closing(self, at):
        """Returns the position of the bracket that closes the one at `at`."""
        depth = 0
        for here in range(at, len(self.tokens)):
            depth += (self.word(here) in OPEN) - (self.word(here) in CLOSE)
            if depth == 0:
                return here
        raise ValueError(f"{self.file.path}:{self.tokens[at][1]}: a bracket that is not closed")

    def read(self):
        # `#![cfg(test)]` at the top: the whole file is a test.
        at = 0
        while self.word(at) == "#" and self.word(at + 1) == "!":
            end = self.closing(at + 2)
            if self.is_test_attribute(at + 2, end) and not self.with_tests:
                return self.file
            at = end + 1
        self.scope(at, len(self.tokens), self.begin(self.file.module))
        return self.file

    def begin(self, path):
        # Two inline modules of one name stand under `cfg`s that exclude each other.
        return self.modules.setdefault(path, Module(path, self.file.path))

    def is_test_attribute(self, at, end):
        inner = [word for word, _ in self.tokens[at + 1 : end]]
        if inner[:1] == ["cfg"]:
            return needs_test(inner[2:-1])
        return inner == ["test"]

    def scope(self, at, end, module, in_block=False):
        """Reads the tokens from `at` to `end`: the inside of a module, or of any other bracket."""
        while at < end:
            word, line = self.tokens[at]
            if word == "#" and self.word(at + 1) == "[":
                at = self.attributes(at, end, module)
            elif word == "#" and self.word(at + 1) == "!":
                at = self.closing(at + 2) + 1
            elif word == "pub":
                at = self.visibility(at)
            elif word == "use" and self.word(at + 1) != "<":  # `use<>` in a type is no declaration
                at = self.use(at, module, in_block)
            elif word == "mod" and self.word(at + 2) in (";", "{"):
                at = self.submodule(at, module)
            elif word in OPEN:
                close = self.closing(at)
                self.scope(at + 1, close, module, in_block=True)
                at = close + 1
            else:
                if word == "include" and self.word(at + 1) == "!":
                    self.file.unclear.append((line, "`include!`"))
                if not in_block and word in ITEMS:
                    module.items.add(self.word(at + 2 if self.word(at + 1) == "mut" else at + 1))
                if not in_block and word == "macro_rules":
                    module.items.add(self.word(at + 2))
                at = self.path(at, end, module)

    def attributes(self, at, end, module):
        """Steps over attributes, and over what they stand on if that is for tests only."""
        is_test = False
        while self.word(at) == "#" and self.word(at + 1) == "[":
            close = self.closing(at + 1)
            is_test = is_test or self.is_test_attribute(at + 1, close)
            for unseen in ("macro_use", "macro_export", "path"):
                if self.word(at + 2) == unseen:
                    self.file.unclear.append((self.tokens[at][1], f"`#[{unseen}]`"))
            at = close + 1
        if not is_test or self.with_tests:
            return at
        if self.word(at) == "mod" and self.word(at + 2) == ";":
            self.test_submodules.append(module.path + (self.word(at + 1),))
        return self.item_end(at, end)

    def item_end(self, at, end):
        """Returns the position behind the item, statement, field or arm that begins at `at`."""
        first = at
        while self.word(first) in MODIFIERS or self.word(first) in ("(", '""'):
            first = self.closing(first) + 1 if self.word(first) == "(" else first + 1
        keyword = self.word(first)
        if keyword == "const" and self.word(first + 1) in ITEMS | MODIFIERS:
            keyword = "fn"
        is_item = keyword in ITEMS | UNTIL_SEMICOLON | {"mod", "impl", "macro_rules"}
        while at < end:
            word = self.word(at)
            if word in OPEN:
                at = self.closing(at)
                if word == "{" and keyword not in UNTIL_SEMICOLON:
                    return at + 1 + (not is_item and self.word(at + 1) == ",")
            elif word == ";" or (word == "," and not is_item):
                return at + 1
            at += 1
        return end

    def submodule(self, at, module):
        name = self.word(at + 1)
        module.children.add(name)
        if self.word(at + 2) == ";":
            self.submodules.append(module.path + (name,))
            return at + 3
        close = self.closing(at + 2)
        self.scope(at + 3, close, self.begin(module.path + (name,)))
        return close + 1

    def visibility(self, at):
        """Steps over `pub`, `pub(crate)` and `pub(in path)`, but not the tuple of `pub (A, B)`."""
        is_short = self.word(at + 2) in ("crate", "self", "super") and self.word(at + 3) == ")"
        is_limited = self.word(at + 1) == "(" and (is_short or self.word(at + 2) == "in")
        return self.closing(at + 1) + 1 if is_limited else at + 1

    def use(self, at, module, in_block):
        end = at + 1
        while self.word(end) not in (";", ""):
            end += 1
        for segments, alias, line in self.tree(at + 1, end, ()):
            name = alias or segments[-1]
            # A name that a block brings in is not the module's.
            if not in_block and name not in ("_", "*"):
                module.names[name] = segments
            self.file.references.append(Reference(module, segments, line))
        return end + 1

    def tree(self, at, end, prefix):
        """Yields each path of a `use` tree, with the name that `as` gives."""
        while at < end:
            segments, line = prefix, self.tokens[at][1]
            while self.word(at) not in ("{", ",") and at < end:
                if self.word(at) == "as":
                    break
                if self.word(at) != "::":
                    segments += (self.word(at),)
                elif segments == prefix == ():
                    segments += ("::",)  # `use ::name`: another crate
                at += 1
            alias = None
            if at < end and self.word(at) == "{":
                close = self.closing(at)
                yield from self.tree(at + 1, close, segments)
                at = close + 1
            else:
                if at < end and self.word(at) == "as":
                    alias, at = self.word(at + 1), at + 2
                if segments != prefix:
                    is_self = segments[-1] == "self" and len(segments) > 1
                    yield segments[:-1] if is_self else segments, alias, line
            at += 1  # the comma

    def path(self, at, end, module):
        """Reads the path that begins at `at`, if one does."""
        word, line = self.tokens[at]
        if (
            not word.isidentifier()
            or self.word(at + 1) != "::"
            or (at and self.word(at - 1) in ("::", "."))
        ):
            return at + 1
        segments = [word]
        while self.word(at + 1) == "::" and self.word(at + 2).isidentifier() and at + 2 < end:
            segments.append(self.word(at + 2))
            at += 2
        if len(segments) > 1:
            self.file.references.append(Reference(module, tuple(segments), line))
        return at + 1


class Crate:
    """The files and modules of a crate, from its `lib.rs` or `main.rs` on."""

    def __init__(self, src, with_tests=False, root="lib.rs"):
        self.src, self.files, self.modules = Path(src), {}, {}
        self.missing = []  # (file, module) of modules without a file
        self.for_tests = []  # the files and folders that only tests have
        waiting = [((), self.src / root)]
        while waiting:
            module, path = waiting.pop()
            reader = Reader(
                path, module, path.read_text(encoding="utf-8"), self.modules, with_tests
            )
            self.files[path] = reader.read()
            for child in reader.submodules:
                found = [file for file in self.places(child) if file.is_file()]
                if found:
                    waiting.append((child, found[0]))
                else:
                    self.missing.append((path, "::".join(child)))
            for child in reader.test_submodules:
                self.for_tests += [self.src.joinpath(*child), *self.places(child)]

    def places(self, module):
        stem = self.src.joinpath(*module)
        return [stem.with_suffix(".rs"), stem / "mod.rs"]

    def resolve(self, module, segments):
        """Returns the modules that a path needs, and whether its end is a module itself.

        The last module defines the end; each one before it has a `use` that leads on. The list is
        empty for a path into another crate, and for a name that no module of this crate has.
        """
        return self.follow(module, list(segments), frozenset())

    def follow(self, here, rest, seen):
        if rest[0] == "crate":
            here, rest = self.modules[()], rest[1:]
        elif rest[0] in ("self", "super"):
            while rest and rest[0] in ("self", "super"):
                if rest[0] == "super":
                    here = self.modules[here.path[:-1]]
                rest = rest[1:]
        elif not self.has(here, rest[0]):
            return [], False
        needed = []
        while rest and rest[0] != "*":
            name, rest = rest[0], rest[1:]
            if name in here.children and here.path + (name,) in self.modules:
                here = self.modules[here.path + (name,)]
            elif name in here.items:
                return needed + [here], False
            elif name in here.names and (here.path, name) not in seen:
                known = seen | {(here.path, name)}
                found, is_module = self.follow(here, list(here.names[name]), known)
                if not found:
                    return [], False
                needed += [here, *found]
                if not is_module:
                    return needed, False
                here = found[-1]
            else:
                return [], False
        return needed + [here], True

    @staticmethod
    def has(module, name):
        return name in module.children or name in module.names or name in module.items

    def dependencies(self):
        """Yields each reference to another file: (file, other file, reference)."""
        for file in self.files.values():
            for reference in file.references:
                needed, _ = self.resolve(reference.module, reference.segments)
                for module in needed:
                    if module.file != file.path:
                        yield file, self.files[module.file], reference
