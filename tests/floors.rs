//! The house stands on its floors: who may import whom, what the pure floors may not touch, that the
//! sandbox shares nothing with the rest, and that every module says what it is for.
//!
//! The compiler holds no walls inside a package, so this test does. It reads the sources, says which
//! import is wrong and by which path the program came there.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use syn::visit::{self, Visit};

/// What a room of the house may import of ours, beside itself.
struct Room {
    name: &'static str,
    floor: u8,
    may: &'static [&'static str],
}

const WORDS: &[&str] = &["id", "image", "secret", "env", "event", "exit"];

/// Plain data that the hands fill in or are given, with no thought behind it.
const PLAIN: &[&str] =
    &["config::spec", "plan::observed", "plan::step", "rollout::goal", "rollout::past", "rollout::view"];

/// The whole house, from the ground up. A folder or file of `src` that is not here fails the test.
const ROOMS: &[Room] = &[
    Room { name: "id", floor: 0, may: WORDS },
    Room { name: "image", floor: 0, may: WORDS },
    Room { name: "secret", floor: 0, may: WORDS },
    Room { name: "env", floor: 0, may: WORDS },
    Room { name: "event", floor: 0, may: WORDS },
    Room { name: "exit", floor: 0, may: WORDS },
    Room { name: "prose", floor: 0, may: WORDS },
    Room { name: "config", floor: 1, may: &["floor 0"] },
    // A watch step carries the rollout's own words for what to watch.
    // So do causes with how long something may take, in the words of `ship.toml`.
    Room {
        name: "plan",
        floor: 1,
        may: &[
            "floor 0",
            "config::duration",
            "config::spec",
            "rollout::goal",
            "rollout::past",
            // How a service stands is told in the rollout's own words: why tasks ended, and what a look saw.
            "rollout::reason",
            "rollout::view",
        ],
    },
    // Told, not asked: it never sees a plan.
    Room { name: "rollout", floor: 1, may: &["floor 0"] },
    Room { name: "aws", floor: 2, may: &["floor 0", "plain"] },
    Room { name: "docker", floor: 2, may: &["floor 0", "plain"] },
    Room { name: "credentials", floor: 2, may: &["floor 0", "plain"] },
    Room { name: "git", floor: 2, may: &["floor 0", "plain"] },
    Room { name: "observe", floor: 3, may: &["floor 0", "floor 1", "floor 2", "floor 3"] },
    Room { name: "run", floor: 3, may: &["floor 0", "floor 1", "floor 2", "floor 3"] },
    // Faces see events and words, never the plan behind them.
    Room { name: "report", floor: 4, may: &["floor 0"] },
    // It tells the errors of every verb, and the sandbox is one.
    Room {
        name: "failure",
        floor: 5,
        may: &["floor 0", "floor 1", "floor 2", "floor 3", "floor 4", "floor 5", "sandbox"],
    },
    Room { name: "plugin", floor: 5, may: &["floor 0", "floor 1", "floor 2", "floor 3", "floor 4", "floor 5"] },
    Room { name: "cli", floor: 5, may: &["floor 0", "floor 1", "floor 2", "floor 3", "floor 4", "floor 5", "sandbox"] },
    // Judges what the sandbox's witness and load have seen.
    Room {
        name: "rehearsal",
        floor: 5,
        may: &["floor 0", "floor 1", "floor 2", "floor 3", "floor 4", "floor 5", "sandbox"],
    },
    Room { name: "main", floor: 5, may: &["cli"] },
    // Beside the house: if it shared our types it would share our mistakes.
    Room { name: "sandbox", floor: BESIDE, may: &[] },
];

const BESIDE: u8 = u8::MAX;

/// What the pure floors may not name. Time is an argument there, and the world is data.
const IMPURE: &[&str] = &[
    "tokio",
    "aws_*",
    "bollard",
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "Instant::now",
    "SystemTime::now",
];
const IMPURE_MACROS: &[&str] = &["println", "eprintln", "print", "eprint", "dbg"];

fn room(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

fn allows(room: &Room, target: &[String]) -> bool {
    let Some(first) = target.first() else { return true };
    let under = |prefix: &str| {
        let prefix: Vec<_> = prefix.split("::").collect();
        target.len() >= prefix.len() && target.iter().zip(&prefix).all(|(a, b)| a == b)
    };
    let floor = self::room(first).map(|room| room.floor);
    first == room.name
        || room.may.iter().any(|may| match may.strip_prefix("floor ") {
            Some(number) => floor.is_some_and(|floor| floor.to_string() == number),
            None if *may == "plain" => PLAIN.iter().any(|prefix| under(prefix)),
            None => under(may),
        })
}

/// One file of `src`.
struct Source {
    /// Below `src`, with `/`.
    path: String,
    text: String,
}

/// `plan/make.rs` is `plan::make`, `plan/mod.rs` is `plan`, `lib.rs` is the root.
fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

/// What one file names.
#[derive(Default)]
struct Names {
    module: Vec<String>,
    /// Every path from `crate`, with its first segments.
    ours: Vec<Vec<String>>,
    /// Every path that is not ours, as written.
    theirs: Vec<Vec<String>>,
    macros: Vec<String>,
    /// Modules declared under `#[cfg(test)]`: what only tests see may import anything.
    tests: Vec<Vec<String>>,
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "test"))
    })
}

impl Names {
    fn name(&mut self, segments: Vec<String>) {
        let mut absolute = match segments.first().map(String::as_str) {
            // `main.rs` is another crate and calls ours by its name.
            Some("crate" | "ecs_ship") => Vec::new(),
            Some("self") => self.module.clone(),
            Some("super") => {
                let ups = segments.iter().take_while(|segment| *segment == "super").count();
                self.module[..self.module.len().saturating_sub(ups)].to_vec()
            }
            Some(_) | None => {
                self.theirs.push(segments);
                return;
            }
        };
        absolute.extend(
            segments
                .into_iter()
                .skip_while(|segment| matches!(segment.as_str(), "crate" | "ecs_ship" | "self" | "super")),
        );
        self.ours.push(absolute);
    }

    fn name_use(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |ident: &syn::Ident| {
            let mut path = before.to_vec();
            path.push(ident.to_string());
            path
        };
        match tree {
            syn::UseTree::Path(path) => self.name_use(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => self.name(before.to_vec()),
            syn::UseTree::Name(name) => self.name(with(&name.ident)),
            syn::UseTree::Rename(rename) => self.name(with(&rename.ident)),
            syn::UseTree::Glob(_) => self.name(before.to_vec()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.name_use(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        if is_test(&item.attrs) {
            self.tests.push(self.module.clone());
        } else {
            visit::visit_item_mod(self, item);
        }
        self.module.pop();
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            self.name_use(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.name(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.macros.extend(item.path.segments.last().map(|segment| segment.ident.to_string()));
        // What is inside is not parsed, so its paths are found by their looks: `crate :: plan :: step`.
        let tokens = item.tokens.to_string().replace("::", " :: ");
        let mut path: Vec<String> = Vec::new();
        let mut joined = false;
        for word in tokens.split_whitespace().chain(["."]) {
            let name: String = word.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            if word == "::" {
                joined = true;
                continue;
            }
            if !joined && path.len() > 1 {
                self.name(std::mem::take(&mut path));
            }
            if !joined {
                path.clear();
            }
            if !name.is_empty() {
                path.push(name);
            }
            joined = false;
        }
        visit::visit_macro(self, item);
    }
}

/// Every broken rule, in words.
fn broken(sources: &[Source]) -> Vec<String> {
    let mut names = BTreeMap::new();
    let mut broken = Vec::new();
    for source in sources {
        let file = match syn::parse_file(&source.text) {
            Ok(file) => file,
            Err(error) => {
                broken.push(format!("src/{} cannot be parsed: {error}", source.path));
                continue;
            }
        };
        let says = file
            .attrs
            .iter()
            .any(|attribute| matches!(attribute.style, syn::AttrStyle::Inner(_)) && attribute.path().is_ident("doc"));
        if !says {
            broken.push(format!("src/{} does not say what it is for: it has no `//!`", source.path));
        }
        let mut found = Names { module: module_of(&source.path), ..Names::default() };
        found.visit_file(&file);
        names.insert(source.path.clone(), found);
    }
    let tests: BTreeSet<_> = names.values().flat_map(|found| found.tests.clone()).collect();
    names.retain(|path, _| !tests.iter().any(|test| module_of(path).starts_with(test)));
    let graph = graph(&names);
    for (path, found) in &names {
        let Some(first) = found.module.first() else { continue };
        let Some(room) = room(first) else {
            broken.push(format!("src/{path} is on no floor: add `{first}` to ROOMS"));
            continue;
        };
        let wrong: BTreeSet<_> = found.ours.iter().filter(|target| !allows(room, target)).collect();
        for target in wrong {
            let way = way_to(&graph, &found.module).join(" → ");
            let target = target.join("::");
            broken.push(format!("src/{path} must not import {target} (the way there: {way} → {target})"));
        }
        if room.floor <= 1 {
            let impure: BTreeSet<_> = found.theirs.iter().filter_map(|path| impurity(path)).collect();
            broken.extend(impure.into_iter().map(|word| format!("src/{path} is pure and must not name `{word}`")));
            let printed: BTreeSet<_> =
                found.macros.iter().filter(|name| IMPURE_MACROS.contains(&name.as_str())).collect();
            broken.extend(printed.into_iter().map(|name| format!("src/{path} is pure and must not call `{name}!`")));
        }
    }
    broken
}

fn impurity(path: &[String]) -> Option<&'static str> {
    IMPURE.iter().copied().find(|word| {
        if let Some(prefix) = word.strip_suffix('*') {
            return path.first().is_some_and(|first| first.starts_with(prefix));
        }
        match word.split("::").collect::<Vec<_>>().as_slice() {
            // The name of a crate, wherever it is used.
            [one] => path.first().is_some_and(|first| first == one),
            many => path.windows(many.len()).any(|window| window.iter().zip(many).all(|(a, b)| a == b)),
        }
    })
}

type Graph = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

/// Which module imports which, by the longest module that an imported path begins with.
fn graph(names: &BTreeMap<String, Names>) -> Graph {
    let modules: BTreeSet<_> = names.keys().map(|path| module_of(path)).collect();
    let module = |target: &[String]| {
        (0..=target.len()).rev().map(|end| target[..end].to_vec()).find(|path| modules.contains(path))
    };
    names
        .values()
        .map(|found| (found.module.clone(), found.ours.iter().filter_map(|target| module(target)).collect()))
        .collect()
}

/// The shortest way from the door to a module.
fn way_to(graph: &Graph, module: &[String]) -> Vec<String> {
    let mut from: BTreeMap<&[String], &[String]> = BTreeMap::new();
    let mut queue: VecDeque<&[String]> = graph
        .keys()
        .map(Vec::as_slice)
        .filter(|path| matches!(path.first().map(String::as_str), Some("main" | "cli")))
        .collect();
    let doors: BTreeSet<_> = queue.iter().copied().collect();
    while let Some(at) = queue.pop_front() {
        for next in graph.get(at).into_iter().flatten() {
            if !doors.contains(next.as_slice()) && !from.contains_key(next.as_slice()) {
                from.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    let mut way = vec![module.join("::")];
    let mut at = module;
    while let Some(before) = from.get(at) {
        way.push(before.join("::"));
        at = before;
    }
    way.reverse();
    way
}

fn read(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).expect("src can be read").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            read(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_house_stands() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    read(&root, &mut paths);
    let sources: Vec<_> = paths
        .iter()
        .map(|path| Source {
            path: path.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/"),
            text: fs::read_to_string(path).expect("a source file"),
        })
        .collect();
    assert!(sources.len() > 20, "only {} files: is this the house?", sources.len());
    let broken = broken(&sources);
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// What is said of one file beside a house in order.
fn told(path: &str, text: &str) -> Vec<String> {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    broken(&[
        source("lib.rs", "//! The map."),
        source("cli/mod.rs", "//! The door.\nuse crate::run::go;"),
        source("run/mod.rs", "//! Doing.\nuse crate::{plan::step::Plan, aws};"),
        source("plan/step.rs", "//! Steps.\n"),
        source("aws/mod.rs", "//! Hands.\n"),
        source("id.rs", "//! Names.\n"),
        source(path, text),
    ])
}

#[test]
fn what_is_allowed_passes() {
    for (path, text) in [
        (
            "plan/make.rs",
            "//! Making.\nuse crate::{id::Key, config::spec::Spec, rollout::goal::Started};\nuse super::step::Plan;",
        ),
        (
            "aws/ecs.rs",
            "//! ECS.\nuse crate::plan::observed::Observed; use tokio::fs; fn f() { println!(\"{}\", std::env::var(\"A\")); }",
        ),
        ("report/tty.rs", "//! A face.\nuse crate::event;"),
        ("sandbox/world/ecs.rs", "//! The world.\nuse super::super::clock; use crate::sandbox::world;"),
        ("cli/sandbox.rs", "//! A verb.\nuse crate::{sandbox, failure, report, run, aws};"),
        ("main.rs", "//! The program.\nfn main() { ecs_ship::cli::main() }"),
        ("event.rs", "//! Events.\nuse crate::id;"),
        (
            "plan/tested.rs",
            "//! Tested.\n#[cfg(test)] mod tests { use std::fs; use crate::aws; fn f() { println!() } }",
        ),
    ] {
        assert_eq!(told(path, text), Vec::<String>::new(), "{path}");
    }
}

#[test]
fn what_is_forbidden_is_told() {
    let way = |path: &str, module: &str, target: &str| {
        format!("src/{path} must not import {target} (the way there: {module} → {target})")
    };
    for (path, text, expected) in [
        ("plan/make.rs", "//! .\nuse crate::aws::ecs;", way("plan/make.rs", "plan::make", "aws::ecs")),
        (
            "plan/step.rs",
            "//! .\nuse crate::{id, aws::ecs};",
            way("plan/step.rs", "cli → run → plan::step", "aws::ecs"),
        ),
        (
            "rollout/machine.rs",
            "//! .\nuse crate::plan::step::Plan;",
            way("rollout/machine.rs", "rollout::machine", "plan::step::Plan"),
        ),
        (
            "rollout/machine.rs",
            "//! .\nfn f() -> super::super::plan::Plan {}",
            way("rollout/machine.rs", "rollout::machine", "plan::Plan"),
        ),
        (
            "config/spec.rs",
            "//! .\nfn f() { crate::plan::make::plan() }",
            way("config/spec.rs", "config::spec", "plan::make::plan"),
        ),
        ("aws/ecs.rs", "//! .\nuse crate::docker;", way("aws/ecs.rs", "aws::ecs", "docker")),
        (
            "docker/push.rs",
            "//! .\nuse crate::plan::make::plan;",
            way("docker/push.rs", "docker::push", "plan::make::plan"),
        ),
        ("report/tty.rs", "//! .\nuse crate::plan;", way("report/tty.rs", "report::tty", "plan")),
        ("sandbox/mod.rs", "//! .\nuse crate::id::Key;", way("sandbox/mod.rs", "sandbox", "id::Key")),
        ("run/act.rs", "//! .\nuse crate::sandbox::Sandbox;", way("run/act.rs", "run::act", "sandbox::Sandbox")),
        ("plugin/mod.rs", "//! .\nuse crate::sandbox;", way("plugin/mod.rs", "plugin", "sandbox")),
        ("secret.rs", "//! .\nuse crate::config;", way("secret.rs", "secret", "config")),
        (
            "plan/make.rs",
            "//! .\nfn f() { assert!(true, \"{}\", crate::aws::NAME); }",
            way("plan/make.rs", "plan::make", "aws::NAME"),
        ),
        ("plan/make.rs", "//! .\nuse tokio::time;", "src/plan/make.rs is pure and must not name `tokio`".to_owned()),
        (
            "config/file.rs",
            "//! .\nuse std::{path, fs};",
            "src/config/file.rs is pure and must not name `std::fs`".to_owned(),
        ),
        (
            "plan/make.rs",
            "//! .\nuse aws_sdk_ecs::Client;",
            "src/plan/make.rs is pure and must not name `aws_*`".to_owned(),
        ),
        (
            "rollout/machine.rs",
            "//! .\nfn f() { std::time::Instant::now(); }",
            "src/rollout/machine.rs is pure and must not name `Instant::now`".to_owned(),
        ),
        ("id.rs", "//! .\nfn f() { println!(); }", "src/id.rs is pure and must not call `println!`".to_owned()),
        ("plan/make.rs", "// no\n", "src/plan/make.rs does not say what it is for: it has no `//!`".to_owned()),
        ("helpers/mod.rs", "//! .\n", "src/helpers/mod.rs is on no floor: add `helpers` to ROOMS".to_owned()),
    ] {
        assert_eq!(told(path, text), [expected], "{path}: {text}");
    }
}
