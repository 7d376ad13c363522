//! Which room of a crate imports which: the graph of the top folders and files of its `src/`, read from the code.
//!
//! Cargo keeps the order of crates. Inside a crate nothing does, so this reads every file that is not for tests, follows its
//! `mod` items from `lib.rs`, and takes each path that begins with `crate`, `super` or `self`, wherever it stands, for an import
//! of the room that it leads into. A name that `lib.rs` re-exports, and a macro, count as the room they come from. What is
//! only reached through a method or a field does not show; its type was named somewhere to get there.

use anyhow::{Context, Result, bail};
use proc_macro2::{Span, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Meta, UseTree};

/// The room of `lib.rs` itself, for names that it defines.
pub const ROOT: &str = "lib.rs";

/// Who imports whom, each with the first place that does.
pub type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// Reads a crate whose `lib.rs` lies in `src`. Every room is a key of the graph, with or without imports.
pub fn read(src: &Path) -> Result<Graph> {
    let mut code = Code::default();
    code.file(&src.join("lib.rs"), src, &mut Vec::new())?;
    let mut graph: Graph = code
        .rooms
        .iter()
        .map(|r| (r.clone(), BTreeMap::new()))
        .collect();
    for (from, path, place) in &code.paths {
        let to = code.room_of(path);
        if let Some(edges) = graph.get_mut(from)
            && *from != to
        {
            edges.entry(to).or_insert_with(|| place.clone());
        }
    }
    Ok(graph)
}

/// Compares a crate's rooms with its table, an ordered list of rooms from the bottom up, each with the rooms it imports.
pub fn compare(name: &str, graph: &Graph, table: &[(&str, &[&str])], wrong: &mut Vec<String>) {
    for room in graph.keys() {
        if !table.iter().any(|(known, _)| known == room) {
            wrong.push(format!("{name}: room {room} is not in the table"));
        }
    }
    for (at, (room, allowed)) in table.iter().enumerate() {
        let Some(needed) = graph.get(*room) else {
            wrong.push(format!(
                "{name}: the table has a room {room} that is not there"
            ));
            continue;
        };
        for (to, place) in needed {
            if !allowed.contains(&to.as_str()) {
                wrong.push(format!("{name}: {room} may not import {to} ({place})"));
            }
        }
        for to in *allowed {
            if !needed.contains_key(*to) {
                wrong.push(format!(
                    "{name}: {room} does not import {to}: the table says more than the code"
                ));
            }
            if !table[..at].iter().any(|(below, _)| below == to) {
                wrong.push(format!(
                    "{name}: the table lets {room} import {to}, which does not stand before it"
                ));
            }
        }
    }
}

/// The graph as a table would have it, from the bottom up; rooms that import each other in a circle come last, and are named.
pub fn table(graph: &Graph) -> String {
    let mut rest: BTreeSet<&String> = graph.keys().collect();
    let mut lines = String::new();
    let line = |room: &String| {
        let to: Vec<&String> = graph[room].keys().collect();
        format!("    ({room:?}, &{to:?}),\n")
    };
    loop {
        let free = |room: &&&String| graph[**room].keys().all(|to| !rest.contains(to));
        let Some(room) = rest.iter().find(free).copied() else {
            break;
        };
        lines += &line(room);
        rest.remove(room);
    }
    if !rest.is_empty() {
        lines += "    // In a circle, or above one:\n";
        lines.extend(rest.into_iter().map(line));
    }
    lines
}

/// What was read of a crate.
#[derive(Default)]
struct Code {
    rooms: BTreeSet<String>,
    /// Room, path from the crate's root, and where it stands.
    paths: Vec<(String, Vec<String>, String)>,
    /// Names in the crate's root and where they come from: re-exports of `lib.rs` by path, macros by their module.
    root: BTreeMap<String, Vec<String>>,
}

impl Code {
    /// The room that a path from the crate's root leads into.
    fn room_of(&self, path: &[String]) -> String {
        let Some(first) = path.first() else {
            return ROOT.to_owned();
        };
        if self.rooms.contains(first) {
            return first.clone();
        }
        match self.root.get(first) {
            // A chain of re-exports in one file ends; were it a circle, the compiler would say so.
            Some(from) if from.first() != Some(first) => self.room_of(from),
            _ => ROOT.to_owned(),
        }
    }

    /// Reads a module from its file and goes on with the modules it declares. `dir`: where their files lie.
    fn file(&mut self, path: &Path, dir: &Path, module: &mut Vec<String>) -> Result<()> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let file = syn::parse_file(&text).with_context(|| format!("{}", path.display()))?;
        self.items(&file.items, path, dir, module)
    }

    fn items(
        &mut self,
        items: &[Item],
        path: &Path,
        dir: &Path,
        module: &mut Vec<String>,
    ) -> Result<()> {
        for item in items {
            match item {
                Item::Mod(inner) => {
                    if for_tests(&inner.attrs) {
                        continue;
                    }
                    let name = inner.ident.to_string();
                    if module.is_empty() {
                        self.rooms.insert(name.clone());
                    }
                    module.push(name.clone());
                    match &inner.content {
                        Some((_, items)) => self.items(items, path, &dir.join(&name), module)?,
                        None => self.declared(&inner.attrs, &name, path, dir, module)?,
                    }
                    module.pop();
                }
                other => {
                    if let Item::Macro(made) = other
                        && let Some(name) = &made.ident
                    {
                        self.root.insert(name.to_string(), module.clone());
                    }
                    if let Item::Use(import) = other
                        && module.is_empty()
                    {
                        self.re_exports(&import.tree, &mut Vec::new());
                    }
                    let mut visitor = Paths {
                        code: self,
                        file: path,
                        module: module.clone(),
                    };
                    visitor.visit_item(other);
                }
            }
        }
        Ok(())
    }

    /// Goes on with `mod name;`.
    fn declared(
        &mut self,
        attrs: &[Attribute],
        name: &str,
        path: &Path,
        dir: &Path,
        module: &mut Vec<String>,
    ) -> Result<()> {
        if attrs.iter().any(|attr| attr.path().is_ident("path")) {
            bail!(
                "{}: mod {name} has a #[path], which is not followed",
                path.display()
            );
        }
        let below = dir.join(name);
        let candidates: [PathBuf; 2] = [dir.join(format!("{name}.rs")), below.join("mod.rs")];
        let file = candidates
            .iter()
            .find(|candidate| candidate.is_file())
            .with_context(|| format!("{}: no file for mod {name}", path.display()))?;
        self.file(file, &below, module)
    }

    /// Notes what `lib.rs` brings into the crate's root.
    fn re_exports(&mut self, tree: &UseTree, before: &mut Vec<String>) {
        let absolute = |before: &[String]| -> Vec<String> {
            let skip = usize::from(
                before
                    .first()
                    .is_some_and(|word| word == "crate" || word == "self"),
            );
            before[skip..].to_vec()
        };
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.re_exports(&path.tree, before);
                before.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.re_exports(tree, before);
                }
            }
            UseTree::Name(name) => {
                self.root.insert(name.ident.to_string(), absolute(before));
            }
            UseTree::Rename(rename) => {
                self.root
                    .insert(rename.rename.to_string(), absolute(before));
            }
            UseTree::Glob(_) => {}
        }
    }
}

/// Collects the paths of one item.
struct Paths<'a> {
    code: &'a mut Code,
    file: &'a Path,
    module: Vec<String>,
}

impl Paths<'_> {
    /// Notes a path, if it begins with `crate`, `super` or `self`.
    fn note(&mut self, words: &[String], span: Span) {
        let Some(room) = self.module.first() else {
            // `lib.rs` may name every room.
            return;
        };
        let mut at = match words.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("super" | "self") => self.module.clone(),
            _ => return,
        };
        for (i, word) in words.iter().enumerate() {
            match word.as_str() {
                "crate" | "self" if i == 0 => {}
                "super" => {
                    at.pop();
                }
                word => at.push(word.to_owned()),
            }
        }
        let place = format!("{}:{}", self.file.display(), span.start().line);
        self.code.paths.push((room.clone(), at, place));
    }

    fn tree(&mut self, tree: &UseTree, before: &mut Vec<String>, span: Span) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.tree(&path.tree, before, path.ident.span());
                before.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, before, span);
                }
            }
            UseTree::Name(name) => {
                before.push(name.ident.to_string());
                self.note(before, name.ident.span());
                before.pop();
            }
            UseTree::Rename(rename) => {
                before.push(rename.ident.to_string());
                self.note(before, rename.ident.span());
                before.pop();
            }
            UseTree::Glob(_) => self.note(before, span),
        }
    }

    /// What a macro is given is no syntax yet: paths are found as words with `::` between them.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut i = 0;
        while i < tokens.len() {
            match &tokens[i] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                // `$crate` in a macro's own text is this crate, too.
                TokenTree::Ident(first) => {
                    let mut words = vec![first.to_string()];
                    while let [
                        TokenTree::Punct(a),
                        TokenTree::Punct(b),
                        TokenTree::Ident(next),
                    ] = &tokens[(i + 1).min(tokens.len())..(i + 4).min(tokens.len())]
                        && a.as_char() == ':'
                        && b.as_char() == ':'
                    {
                        words.push(next.to_string());
                        i += 3;
                    }
                    if words.len() > 1 {
                        self.note(&words, first.span());
                    }
                }
                _ => {}
            }
            i += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !for_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !for_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_field_value(&mut self, value: &'ast syn::FieldValue) {
        if !for_tests(&value.attrs) {
            visit::visit_field_value(self, value);
        }
    }

    fn visit_item_use(&mut self, import: &'ast syn::ItemUse) {
        self.tree(&import.tree, &mut Vec::new(), import.use_token.span);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if words.len() > 1
            && let Some(first) = path.segments.first()
        {
            self.note(&words, first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    // `pub(in crate::a)` is no import.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}
}

/// Whether an item is there only when tests are built.
fn for_tests(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| match &attr.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => list
            .parse_args::<Meta>()
            .is_ok_and(|condition| needs_test(&condition)),
        _ => false,
    })
}

fn needs_test(condition: &Meta) -> bool {
    let parts = |list: &syn::MetaList| -> Vec<Meta> {
        let parser = syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated;
        list.parse_args_with(parser)
            .map(|parts| parts.into_iter().collect())
            .unwrap_or_default()
    };
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => parts(list).iter().any(needs_test),
        Meta::List(list) if list.path.is_ident("any") => parts(list).iter().all(needs_test),
        _ => false,
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(i) => &i.attrs,
        Item::Enum(i) => &i.attrs,
        Item::ExternCrate(i) => &i.attrs,
        Item::Fn(i) => &i.attrs,
        Item::ForeignMod(i) => &i.attrs,
        Item::Impl(i) => &i.attrs,
        Item::Macro(i) => &i.attrs,
        Item::Mod(i) => &i.attrs,
        Item::Static(i) => &i.attrs,
        Item::Struct(i) => &i.attrs,
        Item::Trait(i) => &i.attrs,
        Item::TraitAlias(i) => &i.attrs,
        Item::Type(i) => &i.attrs,
        Item::Union(i) => &i.attrs,
        Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a crate of these files.
    fn graph(name: &str, files: &[(&str, &str)]) -> Vec<String> {
        let dir = std::env::temp_dir().join(format!("redpoll-rooms-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let graph = read(&dir);
        std::fs::remove_dir_all(&dir).unwrap();
        let mut edges = Vec::new();
        for (from, to) in graph.unwrap() {
            edges.extend(to.keys().map(|to| format!("{from} -> {to}")));
        }
        edges
    }

    #[test]
    fn paths_of_every_kind_are_imports() {
        let edges = graph(
            "kinds",
            &[
                (
                    "lib.rs",
                    "mod a; mod b; mod c; mod d; mod e; mod f; pub use c::deep::Name as Other; pub const ROOT: u8 = 1;",
                ),
                (
                    "a.rs",
                    "use crate::b::{self, x}; fn f() -> crate::Other { crate::ROOT; }",
                ),
                ("b/mod.rs", "mod inner;"),
                ("b/inner.rs", "fn f() { super::super::c::g(); super::x(); }"),
                (
                    "c.rs",
                    "pub mod deep { fn f() { matches!(1, crate::d::ONE if true); } }",
                ),
                (
                    "d.rs",
                    "macro_rules! made { () => {} }\n pub(crate) use made;",
                ),
                (
                    "e.rs",
                    "fn f() { let x: Vec<crate::a::T>; crate::made!(); }",
                ),
                ("f.rs", "fn f() { use super::e as g; }"),
            ],
        );
        let wanted = [
            "a -> b",
            "a -> c",
            "a -> lib.rs",
            "b -> c",
            "c -> d",
            "e -> a",
            "e -> d",
            "f -> e",
        ];
        assert_eq!(edges, wanted);
    }

    #[test]
    fn what_is_for_tests_does_not_count() {
        let edges = graph(
            "tests",
            &[
                ("lib.rs", "mod a; mod b; #[cfg(test)] mod testing;"),
                (
                    "a.rs",
                    "#[cfg(test)] use crate::b::x; #[cfg(all(test, unix))] fn g() { crate::b::x() }
                     #[test] fn t() { crate::b::x() } #[cfg(test)] mod tests { use crate::b::x; } pub(in crate::b) fn h() {}",
                ),
                ("b.rs", "#[cfg(any(test, unix))] use crate::a::x; #[cfg(not(test))] use crate::a::y;"),
            ],
        );
        assert_eq!(edges, ["b -> a"]);
    }

    #[test]
    fn a_table_says_what_is_there_no_more_and_no_less() {
        let edges = |to: &[&str]| -> BTreeMap<String, String> {
            to.iter()
                .map(|to| (to.to_string(), "here".to_owned()))
                .collect()
        };
        let graph: Graph = [("a", edges(&[])), ("b", edges(&["a"]))]
            .map(|(room, to)| (room.to_owned(), to))
            .into();
        let wrong = |table: &[(&str, &[&str])]| {
            let mut wrong = Vec::new();
            compare("x", &graph, table, &mut wrong);
            wrong.len()
        };
        assert_eq!(wrong(&[("a", &[]), ("b", &["a"])]), 0);
        assert_eq!(wrong(&[("a", &[]), ("b", &[])]), 1, "an import too many");
        assert_eq!(wrong(&[("b", &["a"]), ("a", &[])]), 1, "the wrong order");
        assert_eq!(
            wrong(&[("a", &[]), ("b", &["a"]), ("c", &[])]),
            1,
            "no such room"
        );
        assert_eq!(
            wrong(&[("b", &["a"])]),
            2,
            "a room too few, which b imports"
        );
        assert_eq!(
            wrong(&[("c", &[]), ("a", &["c"]), ("b", &["a"])]),
            2,
            "more than needed"
        );
    }
}
