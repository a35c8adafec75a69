//! The rooms of `src`, held against its imports: an import names the module that defines a thing, rooms
//! import only from rooms above them in the list, and no two files import one another, directly or
//! through others. Unit tests, and what only loom compiles, are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, UseTree, Visibility};

/// In the order of their imports. The features at the end may import one another.
const ROOMS: &[&[&str]] = &[
    &[
        "classify", "error", "event", "name", "outcome", "ratio", "route", "snapshot", "state",
        "tally", "text",
    ],
    &["clock"],
    &["policy"],
    &["engine"],
    &["monitor"],
    &["service"],
    &["cluster", "http", "manual", "prometheus", "trace"],
];

/// The last room of the algorithm.
const ENGINE: usize = 3;

/// A module's path below the crate's root, or an item's.
type Name = Vec<String>;

#[derive(Default)]
struct Module {
    /// What it imports, or names by its path.
    imports: BTreeSet<Name>,
    /// What it only passes on, by the name under which it does.
    exports: BTreeMap<String, Name>,
}

struct Reader<'a> {
    path: &'a [String],
    module: Module,
}

impl Reader<'_> {
    /// The absolute path, if it is one of this crate.
    fn absolute(&self, segments: &[String], children: &[&str]) -> Option<Name> {
        let (first, rest) = segments.split_first()?;
        let base = match first.as_str() {
            "crate" => Vec::new(),
            "self" => self.path.to_vec(),
            "super" => self.path.split_last()?.1.to_vec(),
            child if children.contains(&child) => [self.path, std::slice::from_ref(first)].concat(),
            _ => return None,
        };
        Some([base, rest.to_vec()].concat())
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let tokens = match &attribute.meta {
            syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string(),
            _ => return false,
        };
        tokens.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn flatten(tree: &UseTree, mut before: Name, found: &mut Vec<(Name, String)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, found);
        }
        UseTree::Name(name) if name.ident == "self" => {
            let last = before.last().cloned().unwrap_or_default();
            found.push((before, last));
        }
        UseTree::Name(name) => {
            before.push(name.ident.to_string());
            found.push((before, name.ident.to_string()));
        }
        UseTree::Rename(rename) => {
            before.push(rename.ident.to_string());
            found.push((before, rename.rename.to_string()));
        }
        UseTree::Glob(_) => found.push((before, String::new())),
        UseTree::Group(group) => {
            group.items.iter().for_each(|item| flatten(item, before.clone(), found));
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let mut found = Vec::new();
        flatten(&item.tree, Vec::new(), &mut found);
        for (segments, name) in found {
            let first = segments[0].clone();
            let Some(path) = self.absolute(&segments, &[&first]) else { continue };
            if matches!(item.vis, Visibility::Inherited) {
                self.module.imports.insert(path);
            } else {
                self.module.exports.insert(name, path);
            }
        }
    }

    /// `pub(crate)` is no import.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Name = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.module.imports.extend(self.absolute(&segments, &[]));
        visit::visit_path(self, path);
    }

    /// The bodies of macros, such as `pin_project!`, are tokens. No literal in them has a quote.
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        // Not the text of literals, which doc comments are.
        let text: String = call.tokens.to_string().split('"').step_by(2).collect();
        let text = text.replace(' ', "");
        for (at, _) in text.match_indices("crate::") {
            let path: String = text[at..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || "_:".contains(*c))
                .collect();
            let segments: Name = path.split("::").map(str::to_owned).collect();
            self.module.imports.extend(self.absolute(&segments, &[]));
        }
    }
}

/// The library's files, by the module's path; without what only loom compiles.
fn files() -> BTreeMap<Name, syn::File> {
    fn walk(folder: &Path, path: &[String], found: &mut BTreeMap<Name, syn::File>) {
        for entry in fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let inside = [path, std::slice::from_ref(&stem)].concat();
            if file.is_dir() {
                if inside != ["engine", "loom"] {
                    walk(&file, &inside, found);
                }
                continue;
            }
            if file.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let own = if stem == "mod" || stem == "lib" { path.to_vec() } else { inside };
            found.insert(own, syn::parse_file(&fs::read_to_string(&file).unwrap()).unwrap());
        }
    }
    let mut found = BTreeMap::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &[], &mut found);
    assert!(found.len() > 40);
    found
}

fn modules() -> BTreeMap<Name, Module> {
    let read = |(path, file): (Name, syn::File)| {
        let mut reader = Reader { path: &path, module: Module::default() };
        reader.visit_file(&file);
        let module = reader.module;
        (path, module)
    };
    files().into_iter().map(read).collect()
}

/// The module that defines what a path names, through whatever passes it on.
fn definer(modules: &BTreeMap<Name, Module>, path: &[String]) -> Name {
    let mut path = path.to_vec();
    loop {
        let module = (0..=path.len()).rev().map(|n| &path[..n]).find(|p| modules.contains_key(*p));
        let module = module.expect("the root is a module").to_vec();
        let exported = path.get(module.len()).and_then(|name| modules[&module].exports.get(name));
        match exported {
            Some(target) if *target != path => path = target.clone(),
            _ => return module,
        }
    }
}

fn arrows(modules: &BTreeMap<Name, Module>) -> BTreeMap<Name, BTreeSet<Name>> {
    let of = |(path, module): (&Name, &Module)| {
        let mut to: BTreeSet<Name> =
            module.imports.iter().map(|import| definer(modules, import)).collect();
        to.remove(path);
        (path.clone(), to)
    };
    modules.iter().filter(|(path, _)| !path.is_empty()).map(of).collect()
}

fn room(path: &[String]) -> usize {
    let first = path.first().map_or("", String::as_str);
    let room = ROOMS.iter().position(|names| names.contains(&first));
    room.unwrap_or_else(|| panic!("`{}` is in no room of the list", path.join("::")))
}

#[test]
fn an_import_names_the_module_that_defines_the_thing_and_not_the_root() {
    let modules = modules();
    for (path, module) in modules.iter().filter(|(path, _)| !path.is_empty()) {
        for import in &module.imports {
            let by_the_root =
                import.len() == 1 && modules[&Vec::new()].exports.contains_key(&import[0]);
            assert!(!by_the_root, "{} imports crate::{}", path.join("::"), import[0]);
        }
    }
}

#[test]
fn rooms_import_only_from_those_above_them() {
    let modules = modules();
    for (from, to) in arrows(&modules) {
        for to in to {
            let (own, other) = (room(&from), room(&to));
            assert!(other <= own, "{} imports from {}", from.join("::"), to.join("::"));
        }
    }
}

#[test]
fn the_algorithm_knows_no_tower_no_future_no_runtime_and_no_io() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in modules().into_keys().filter(|path| !path.is_empty() && room(path) <= ENGINE) {
        let file = path.join("/");
        let files = [format!("{file}.rs"), format!("{file}/mod.rs")];
        let text = files.iter().find_map(|file| fs::read_to_string(root.join(file)).ok()).unwrap();
        // The clock of feature `tokio` is the one door to that runtime's time.
        let is_clock = path[0] == "clock";
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let foreign = ["tower_service", "tower_layer", "tokio::", "std::net", "std::io"];
            let foreign = foreign.into_iter().chain(["std::future", "pin_project"]);
            let named = foreign.filter(|_| !is_clock).find(|name| line.contains(name));
            assert_eq!(named, None, "{file}: {line}");
        }
    }
}

#[test]
fn the_windows_know_nothing_of_transitions_events_and_clocks() {
    let known = ["engine::window", "engine::time", "engine::sync", "policy", "ratio", "tally"];
    let windows = arrows(&modules())
        .into_iter()
        .filter(|(path, _)| path.starts_with(&["engine".to_owned(), "window".to_owned()]));
    for (from, to) in windows {
        for to in to.iter().map(|to| to.join("::")) {
            let is_known = known.iter().any(|name| to.starts_with(name));
            assert!(is_known, "{} imports from {to}", from.join("::"));
        }
    }
}

#[test]
fn no_files_import_one_another_in_a_circle() {
    let modules = modules();
    let arrows = arrows(&modules);
    let reachable = |from: &Name| {
        let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(at) = open.pop() {
            for next in arrows.get(at).into_iter().flatten() {
                if reached.insert(next) {
                    open.push(next);
                }
            }
        }
        reached
    };
    let circle: Vec<_> = arrows
        .iter()
        .filter(|(path, _)| reachable(path).contains(path))
        .map(|(path, to)| {
            let back = to.iter().filter(|to| reachable(to).contains(path));
            format!("{} -> {:?}", path.join("::"), back.map(|to| to.join("::")).collect::<Vec<_>>())
        })
        .collect();
    assert!(circle.is_empty(), "in circles:\n{}", circle.join("\n"));
}

/// The functions with five or more parameters, `self` not counted, outside unit tests.
#[derive(Default)]
struct Long(Vec<String>);

impl<'ast> Visit<'ast> for Long {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        let of_value = |input: &&syn::FnArg| matches!(input, syn::FnArg::Typed(_));
        if signature.inputs.iter().filter(of_value).count() >= 5 {
            self.0.push(signature.ident.to_string());
        }
    }
}

#[test]
fn few_functions_have_five_parameters() {
    let mut long = Long::default();
    for (name, file) in files() {
        let before = long.0.len();
        long.visit_file(&file);
        long.0[before..]
            .iter_mut()
            .for_each(|found| *found = format!("{}::{found}", name.join("::")));
    }
    assert!(long.0.len() < 8, "{:#?}", long.0);
}

#[test]
fn parameters_are_counted_without_self_and_outside_tests() {
    let source = "
        fn four(a: u8, b: u8, c: u8, d: u8) {}
        impl S { fn five(&self, a: u8, b: u8, c: u8, d: u8, e: u8) {} fn four(self, a: u8, b: u8, c: u8, d: u8) {} }
        trait T { fn six(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8); }
        #[cfg(test)] mod tests { fn six(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {} }
    ";
    let mut long = Long::default();
    long.visit_file(&syn::parse_str(source).unwrap());
    assert_eq!(long.0, ["five", "six"]);
}

#[test]
fn the_reader_sees_imports_through_reexports_in_groups_in_paths_and_in_macros() {
    let source = "
        use crate::policy::{self, trip::{Limit as L}};
        use super::sibling::Thing;
        pub use child::Passed;
        #[cfg(all(test, not(loom)))] mod tests { use crate::hidden::Never; }
        pin_project! { struct S { a: crate::clock::Moment } }
        fn f() -> crate::ratio::Ratio { todo!() }
    ";
    let path = ["engine".to_owned(), "mod_a".to_owned()];
    let mut reader = Reader { path: &path, module: Module::default() };
    reader.visit_file(&syn::parse_str(source).unwrap());
    let imports: Vec<_> = reader.module.imports.iter().map(|path| path.join("::")).collect();
    assert_eq!(
        imports,
        [
            "clock::Moment",
            "engine::sibling::Thing",
            "policy",
            "policy::trip::Limit",
            "ratio::Ratio"
        ]
    );
    assert_eq!(reader.module.exports["Passed"].join("::"), "engine::mod_a::child::Passed");
}
