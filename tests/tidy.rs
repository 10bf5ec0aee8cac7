//! The structure of the sources, as ARCHITECTURE.md describes it: layers, `unsafe`, size and form of the files.

use std::path::{Path, PathBuf};

/// The layers, low to high. A module uses modules of lower layers; inside a layer, only where the layer says so.
/// `lib` is the door above them all, and `bin` sees what any user of the library sees.
const LAYERS: &[(&[&str], Siblings)] = &[
    (
        &["error", "types", "bytes", "bits", "bitmap", "vector", "options", "metadata", "fs", "sync", "hostile"],
        Siblings::Free,
    ),
    (&["distance", "filter"], Siblings::Apart),
    (&["code"], Siblings::Apart),
    (&["segment", "items"], Siblings::Apart),
    (&["snapshot"], Siblings::Apart),
    (&["search"], Siblings::Apart),
    (&["maintenance", "recovery"], Siblings::Apart),
    (&["store"], Siblings::Apart),
    (&["annoy", "salvage"], Siblings::Apart),
    (&["fuzzing"], Siblings::Apart),
];

/// What `annoy` stands on. Only its import and export know the store; nothing knows `annoy`.
const BELOW_ANNOY: &[&str] = &["error", "types", "bytes", "fs", "distance", "annoy"];
const ANNOY_TRANSFER: &str = "src/annoy/transfer.rs";

/// The only sources that may contain `unsafe`.
const UNSAFE: &[&str] = &["src/distance/", "src/fs/map.rs", "benches/compare/src/lmdb.rs"];

const MAX_LINES: usize = 500;

#[derive(Clone, Copy, PartialEq)]
enum Siblings {
    Free,
    Apart,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

struct Source {
    /// Relative to the package, with forward slashes.
    path: String,
    text: String,
}

impl Source {
    /// Lines with their numbers, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        lines.map(|(number, line)| (number, line.split_once("//").map_or(line, |(code, _)| code)))
    }

    /// The module below src/ the file belongs to; `None` for the door and the command.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let module = inside.split_once('/').map_or(inside, |(folder, _)| folder).trim_end_matches(".rs");
        (module != "lib" && module != "bin").then_some(module)
    }
}

fn sources_below(folder: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    collect(&root().join(folder), &mut sources);
    sources.sort_by(|left, right| left.path.cmp(&right.path));
    sources
}

fn collect(folder: &Path, sources: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let path: Vec<_> = path.strip_prefix(root()).unwrap().iter().map(|part| part.to_str().unwrap()).collect();
            sources.push(Source { path: path.join("/"), text });
        }
    }
}

fn all_sources() -> Vec<Source> {
    ["src", "tests", "examples", "benches"].into_iter().flat_map(sources_below).collect()
}

fn assert_none(faults: &[String], expected: &str) {
    assert!(faults.is_empty(), "expected {expected}, found\n  {}", faults.join("\n  "));
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Whether the line has this whole word.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(is_word)
            && !line[at + word.len()..].chars().next().is_some_and(is_word)
    })
}

/// The first names after each `crate::` of a source, with the line: both of `use crate::{bytes, error::Error}`.
fn crate_names(source: &Source) -> Vec<(usize, String)> {
    let mut text = String::new();
    for (_, line) in source.code() {
        text.push_str(line);
        text.push('\n');
    }
    let mut names = Vec::new();
    for (at, prefix) in text.match_indices("crate::") {
        if text[..at].chars().next_back().is_some_and(|before| is_word(before) || before == '$') {
            continue;
        }
        let number = text[..at].matches('\n').count() + 1;
        let after = &text[at + prefix.len()..];
        match after.strip_prefix('{') {
            None => names.push((number, after.chars().take_while(|&next| is_word(next)).collect())),
            Some(group) => names.extend(group_names(group).into_iter().map(|name| (number, name))),
        }
    }
    names
}

/// The first name of each member of a group of imports, up to its closing brace.
fn group_names(group: &str) -> Vec<String> {
    let (mut names, mut depth, mut name, mut first) = (Vec::new(), 0, String::new(), true);
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(std::mem::take(&mut name));
                first = true;
            }
            _ if depth == 0 && first && is_word(character) => name.push(character),
            _ if depth == 0 && !name.is_empty() => first = false,
            _ => {}
        }
    }
    names.push(name);
    names.retain(|name| !name.is_empty());
    names
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|(modules, _)| modules.contains(&module))
}

/// Why a module must not use a name of the crate; `None` if it may.
fn layer_fault(module: &str, name: &str) -> Option<String> {
    let Some(user) = layer_of(module) else { return Some(format!("the module {module} has no layer")) };
    let Some(used) = layer_of(name) else {
        return Some(format!("{module} uses crate::{name}, which is no module with a layer"));
    };
    let allowed = used < user || name == module || (used == user && LAYERS[user].1 == Siblings::Free);
    (!allowed).then(|| format!("{module} uses {name}, which is not below it"))
}

#[test]
fn imports_go_down_only() {
    let mut faults = Vec::new();
    for source in sources_below("src") {
        let Some(module) = source.module() else { continue };
        if layer_of(module).is_none() {
            faults.push(format!("{}: the module {module} has no layer", source.path));
        }
        for (line, name) in crate_names(&source) {
            faults.extend(layer_fault(module, &name).map(|fault| format!("{}:{line}: {fault}", source.path)));
        }
    }
    assert_none(&faults, "imports of lower layers only");
}

#[test]
fn the_layer_rule_sees_what_it_must() {
    let source = Source {
        path: "src/code/mod.rs".into(),
        text: "//! crate::store\nuse crate::{bytes, distance::{Kernels, table},\n  search::run};\nlet x = crate::Store;\n"
            .into(),
    };
    let names: Vec<String> = crate_names(&source).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["bytes", "distance", "search", "Store"]);
    let faults: Vec<bool> = names.iter().map(|name| layer_fault(source.module().unwrap(), name).is_some()).collect();
    assert_eq!(faults, [false, false, true, true]);
    assert!(layer_fault("segment", "items").is_some() && layer_fault("bytes", "error").is_none());
    assert!(has_word("x = unsafe { y }", "unsafe") && !has_word("#![deny(unsafe_code)]", "unsafe"));
}

/// What the threads of a store share is modelled (src/store/models), which only `sync` makes possible.
#[test]
fn threads_of_a_store_meet_in_sync_alone() {
    let mut faults = Vec::new();
    for source in ["src/store", "src/snapshot", "src/maintenance"].into_iter().flat_map(sources_below) {
        let is_test = source.path.contains("/simulation/") || source.path.contains("/models/");
        let others = ["parking_lot", "std::thread", "Condvar::", "mpsc"];
        for (line, code) in source.code().filter(|_| !is_test && !source.path.ends_with("tests.rs")) {
            let found = others.into_iter().filter(|other| code.contains(other));
            faults.extend(found.map(|other| format!("{}:{line}: uses {other}", source.path)));
        }
    }
    assert_none(&faults, "locks and threads of `crate::sync`");
}

#[test]
fn annoy_knows_the_store_in_one_place() {
    let mut faults = Vec::new();
    for source in sources_below("src/annoy").iter().filter(|source| source.path != ANNOY_TRANSFER) {
        let names = crate_names(source).into_iter().filter(|(_, name)| !BELOW_ANNOY.contains(&name.as_str()));
        faults.extend(names.map(|(line, name)| format!("{}:{line}: uses {name}", source.path)));
    }
    assert_none(&faults, &format!("the store to be used by {ANNOY_TRANSFER} alone"));
}

#[test]
fn the_door_has_no_back_door() {
    let hidden = concat!("doc(hid", "den)");
    let faults: Vec<String> = sources_below("src")
        .iter()
        .filter(|source| source.text.contains(hidden))
        .map(|source| source.path.clone())
        .collect();
    assert_none(&faults, "nothing public that the documentation hides");
    // The fuzz targets' own door is no public one: no build that a user makes has it.
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert!(lib.contains("#[cfg(fuzzing)]\npub mod fuzzing;"), "expected src/fuzzing.rs behind `cfg(fuzzing)` alone");
}

#[test]
fn unsafe_stays_in_the_kernels_and_the_map() {
    let mut faults = Vec::new();
    for source in all_sources() {
        let allowed = UNSAFE.iter().any(|prefix| source.path.starts_with(prefix)) || source.path == "tests/tidy.rs";
        for (line, code) in source.code().filter(|(_, code)| !allowed && has_word(code, "unsafe")) {
            faults.push(format!("{}:{line}: {}", source.path, code.trim()));
        }
    }
    assert_none(&faults, "`unsafe` in the listed sources only");
}

#[test]
fn files_are_short_and_plain() {
    let mut faults = Vec::new();
    for source in all_sources() {
        let lines = source.text.lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{}: {lines} lines", source.path));
        }
        for (at, line) in source.text.lines().enumerate() {
            if !line.is_ascii() {
                faults.push(format!("{}:{}: not ASCII", source.path, at + 1));
            }
        }
        if !source.text.starts_with("//!") {
            faults.push(format!("{}: does not begin by saying what it is", source.path));
        }
    }
    assert_none(&faults, &format!("ASCII files of at most {MAX_LINES} lines that begin with `//!`"));
}

#[test]
fn nothing_is_left_undone() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!"), concat!("unimpl", "emented!")];
    let mut faults = Vec::new();
    for source in all_sources() {
        for (at, line) in source.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                faults.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    assert_none(&faults, "no marks of unfinished work");
}

#[test]
fn every_source_is_part_of_the_library() {
    let mut faults = Vec::new();
    for source in sources_below("src") {
        let path = Path::new(&source.path);
        if source.path == "src/lib.rs" || source.path.starts_with("src/bin/") {
            continue;
        }
        let (folder, name) = match path.file_name().unwrap().to_str().unwrap() {
            "mod.rs" => (path.parent().unwrap().parent().unwrap(), path.parent().unwrap().file_name().unwrap()),
            _ => (path.parent().unwrap(), path.file_stem().unwrap()),
        };
        let parents: [PathBuf; 3] = [folder.join("lib.rs"), folder.join("mod.rs"), folder.with_extension("rs")];
        let declaration = format!("mod {};", name.to_str().unwrap());
        let declared = parents
            .iter()
            .filter_map(|parent| std::fs::read_to_string(root().join(parent)).ok())
            .any(|text| text.lines().any(|line| line.trim_end().ends_with(&declaration)));
        if !declared {
            faults.push(source.path.clone());
        }
    }
    assert_none(&faults, "every file below src/ to be declared as a module");
}

#[test]
fn paths_named_by_the_architecture_exist() {
    let page = root().join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let named: Vec<&str> = text.split('`').skip(1).step_by(2).filter(|path| path.starts_with("src/")).collect();
    assert!(!named.is_empty(), "expected the page to name sources");
    let missing: Vec<String> =
        named.into_iter().filter(|path| !root().join(path).exists()).map(str::to_owned).collect();
    assert_none(&missing, "every path named in ARCHITECTURE.md to exist");
}
