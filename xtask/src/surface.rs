//! What crates show each other: `pub` is what another crate uses.
//!
//! A compiler warns of what nobody uses at all, but what can be reached from outside a crate it takes for used. So this reads, for every
//! crate but the library, what its `lib.rs` lets out: items of public modules, what is re-exported, public methods and fields of such
//! types. Each of these must be *named* by another crate that can reach it, or by the tests, examples and benchmarks of
//! its own, which are crates too; or it must be a type that something has in its signature which is.
//!
//! A name is a name, whatever it means where it is read: what is called like something that others use passes. So this finds
//! less than there is, and what it finds is true.

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use syn::visit::{self, Visit};
use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, Meta, Type, UseTree, Visibility};

type Words = BTreeSet<String>;
type Place = Vec<String>;

/// What others use.
#[derive(Default)]
struct Used {
    words: Words,
    /// Types of which they build some with `..` for what they do not name, for which they must see all fields.
    built: Words,
}

/// Something that a crate lets out.
struct Shown {
    /// As it is reported: `Keyspace::lock`.
    title: String,
    /// What others call it.
    name: String,
    /// A type or a trait, which is also used where another's signature has it.
    is_type: bool,
    /// The type that it is part of.
    of: Option<String>,
    is_field: bool,
    /// Names in its signature.
    needs: Words,
    place: String,
}

struct Module {
    file: PathBuf,
    items: Rc<Vec<Item>>,
}

/// A crate, read.
#[derive(Default)]
struct Code {
    modules: BTreeMap<Place, Module>,
    shown: Vec<Shown>,
    /// What is in `shown`, by where it is defined.
    seen: BTreeSet<(Place, String)>,
    /// Names of types in `shown`.
    types: Words,
    /// What stands in macros that others use.
    macros: Used,
}

/// Notes what the crate `name` with its `lib.rs` in `src` shows though nobody in `users`, folders of code, names it; but for `allowed`,
/// pairs of a title and a reason, which are noted if they are not needed.
pub fn check(
    name: &str,
    src: &Path,
    users: &[PathBuf],
    allowed: &[(&str, &str)],
    wrong: &mut Vec<String>,
) -> Result<()> {
    let mut code = Code::default();
    code.read(&src.join("lib.rs"), src, &mut Vec::new())?;
    code.show_module(&Vec::new());
    code.show_members();
    let mut used = std::mem::take(&mut code.macros);
    for folder in users {
        for file in rust_files(folder)? {
            let text = std::fs::read_to_string(&file)?;
            let tokens: TokenStream = text
                .parse()
                .map_err(|e| anyhow::anyhow!("{}: {e}", file.display()))?;
            words_of(tokens, &mut used);
        }
    }
    let unused = code.unused(&used);
    for shown in &unused {
        if !allowed.iter().any(|(title, _)| *title == shown.title) {
            wrong.push(format!(
                "{name}: {} is pub, and no other crate names it ({})",
                shown.title, shown.place
            ));
        }
    }
    for (title, _) in allowed {
        if !unused.iter().any(|shown| shown.title == *title) {
            wrong.push(format!("{name}: {title} need not be allowed to be pub"));
        }
    }
    Ok(())
}

/// The Rust files in and below a folder, if there is one.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(files);
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

fn words_of(tokens: TokenStream, into: &mut Used) {
    let mut last = None;
    for token in tokens {
        let mut word = None;
        match &token {
            TokenTree::Ident(ident) => {
                let ident = ident.to_string();
                into.words.insert(ident.clone());
                word = Some(ident);
            }
            TokenTree::Group(group) => {
                if let Some(name) = last.take()
                    && group.delimiter() == Delimiter::Brace
                    && has_rest(group.stream())
                {
                    into.built.insert(name);
                }
                words_of(group.stream(), into);
            }
            _ => {}
        }
        last = word;
    }
}

/// Whether `..` stands in it.
fn has_rest(tokens: TokenStream) -> bool {
    let mut dots = 0;
    tokens.into_iter().any(|token| {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '.' => dots += 1,
            _ => dots = 0,
        }
        dots == 2
    })
}

/// Collects the words of a piece of syntax.
#[derive(Default)]
struct Needs(Words);

impl<'ast> Visit<'ast> for Needs {
    fn visit_ident(&mut self, word: &'ast proc_macro2::Ident) {
        self.0.insert(word.to_string());
    }

    // What is done is nobody's concern.
    fn visit_block(&mut self, _: &'ast syn::Block) {}

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if is_public(&field.vis) {
            visit::visit_field(self, field);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        // Fields of variants are as public as the variant.
        for field in &variant.fields {
            self.visit_type(&field.ty);
        }
    }
}

fn needs(read: impl FnOnce(&mut Needs)) -> Words {
    let mut needs = Needs::default();
    read(&mut needs);
    needs.0
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn for_tests(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| match &attr.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            list.tokens.to_string().starts_with("test")
        }
        _ => false,
    })
}

/// The last name of a type's path.
fn name_of(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        _ => None,
    }
}

impl Code {
    /// Reads a module from its file, and those that it declares. `dir`: where their files lie.
    fn read(&mut self, file: &Path, dir: &Path, module: &mut Place) -> Result<()> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let parsed = syn::parse_file(&text).with_context(|| file.display().to_string())?;
        self.take_in(parsed.items, file, dir, module)
    }

    fn take_in(
        &mut self,
        mut items: Vec<Item>,
        file: &Path,
        dir: &Path,
        module: &mut Place,
    ) -> Result<()> {
        for item in &mut items {
            let Item::Mod(inner) = item else { continue };
            if for_tests(&inner.attrs) {
                continue;
            }
            let name = inner.ident.to_string();
            let below = dir.join(&name);
            module.push(name.clone());
            match inner.content.take() {
                Some((_, items)) => self.take_in(items, file, &below, module)?,
                None => {
                    let candidates = [dir.join(format!("{name}.rs")), below.join("mod.rs")];
                    let found = candidates.iter().find(|path| path.is_file());
                    let found = found.with_context(|| format!("no file for mod {name}"))?;
                    self.read(found, &below, module)?;
                }
            }
            module.pop();
        }
        let module = module.clone();
        let (file, items) = (file.to_owned(), Rc::new(items));
        self.modules.insert(module, Module { file, items });
        Ok(())
    }

    fn place(&self, module: &Place, span: Span) -> String {
        let file = &self.modules[module].file;
        let file = file.strip_prefix(crate::run::root()).unwrap_or(file);
        format!("{}:{}", file.display(), span.start().line)
    }

    /// Everything public of a module can be reached.
    fn show_module(&mut self, module: &Place) {
        let Some(read) = self.modules.get(module) else {
            return;
        };
        let items = read.items.clone();
        for item in items.iter() {
            match item {
                Item::Use(import) if is_public(&import.vis) => {
                    self.re_export(module, &import.tree, &mut Vec::new());
                }
                Item::Macro(made)
                    if made.attrs.iter().any(|a| a.path().is_ident("macro_export")) =>
                {
                    words_of(made.mac.tokens.clone(), &mut self.macros);
                }
                _ => self.show(module, item, None),
            }
        }
    }

    /// An item can be reached, under this name if that is not its own.
    fn show(&mut self, module: &Place, item: &Item, renamed: Option<&str>) {
        let (vis, ident, is_type) = match item {
            Item::Const(i) => (&i.vis, &i.ident, false),
            Item::Static(i) => (&i.vis, &i.ident, false),
            Item::Fn(i) => (&i.vis, &i.sig.ident, false),
            Item::Enum(i) => (&i.vis, &i.ident, true),
            Item::Struct(i) => (&i.vis, &i.ident, true),
            Item::Trait(i) => (&i.vis, &i.ident, true),
            Item::Type(i) => (&i.vis, &i.ident, true),
            Item::Union(i) => (&i.vis, &i.ident, true),
            Item::Mod(i) => (&i.vis, &i.ident, false),
            _ => return,
        };
        if !is_public(vis) || !self.seen.insert((module.clone(), ident.to_string())) {
            return;
        }
        let own = ident.to_string();
        let name = renamed.unwrap_or(&own).to_owned();
        if let Item::Mod(inner) = item {
            if for_tests(&inner.attrs) {
                return;
            }
            let mut below = module.clone();
            below.push(own.clone());
            self.show_module(&below);
        }
        if is_type {
            self.types.insert(own.clone());
        }
        let needs = match item {
            Item::Mod(_) => Words::new(),
            Item::Fn(i) => needs(|n| n.visit_signature(&i.sig)),
            Item::Const(i) => needs(|n| n.visit_type(&i.ty)),
            Item::Static(i) => needs(|n| n.visit_type(&i.ty)),
            other => needs(|n| n.visit_item(other)),
        };
        self.shown.push(Shown {
            title: own,
            name,
            is_type,
            of: None,
            is_field: false,
            needs,
            place: self.place(module, ident.span()),
        });
    }

    /// What is imported here can be reached.
    fn re_export(&mut self, module: &Place, tree: &UseTree, before: &mut Place) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.re_export(module, &path.tree, before);
                before.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.re_export(module, tree, before);
                }
            }
            UseTree::Name(name) => {
                self.re_exported(module, before, &name.ident.to_string(), None);
            }
            UseTree::Rename(rename) => {
                let renamed = rename.rename.to_string();
                self.re_exported(module, before, &rename.ident.to_string(), Some(&renamed));
            }
            UseTree::Glob(_) => {
                let from = self.absolute(module, before);
                self.show_module(&from);
            }
        }
    }

    /// A path as it is from the crate's root.
    fn absolute(&self, module: &Place, path: &[String]) -> Place {
        let mut at = match path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            _ => module.clone(),
        };
        for word in path {
            match word.as_str() {
                "crate" | "self" => {}
                "super" => drop(at.pop()),
                _ => at.push(word.clone()),
            }
        }
        at
    }

    fn re_exported(&mut self, module: &Place, from: &[String], name: &str, renamed: Option<&str>) {
        let from = self.absolute(module, from);
        let Some(read) = self.modules.get(&from) else {
            // Of another crate.
            return;
        };
        let items = read.items.clone();
        for item in items.iter() {
            match item {
                // It comes from further away.
                Item::Use(import) if is_public(&import.vis) => {
                    let mut leaves = Vec::new();
                    leaves_of(&import.tree, &mut Vec::new(), &mut leaves);
                    for (path, own, shown) in leaves {
                        if shown == name {
                            self.re_exported(&from, &path, &own, renamed.or(Some(name)));
                        }
                    }
                }
                _ if ident_of(item).as_deref() == Some(name) => self.show(&from, item, renamed),
                _ => {}
            }
        }
    }

    /// Public methods, constants and fields of types that can be reached, and what their implementations of traits say.
    fn show_members(&mut self) {
        let mut members = Vec::new();
        let mut of_traits: Vec<(String, Words)> = Vec::new();
        for (module, read) in &self.modules {
            for item in read.items.iter() {
                match item {
                    Item::Impl(made) if !for_tests(&made.attrs) => {
                        self.members_of_impl(module, made, &mut members, &mut of_traits);
                    }
                    Item::Struct(made) => {
                        let of = made.ident.to_string();
                        if !self.seen.contains(&(module.clone(), of.clone())) {
                            continue;
                        }
                        let Fields::Named(fields) = &made.fields else {
                            continue;
                        };
                        for field in fields.named.iter().filter(|field| is_public(&field.vis)) {
                            if let Some(ident) = &field.ident {
                                let needs = needs(|n| n.visit_type(&field.ty));
                                let member = self.member(module, &of, ident, needs);
                                members.push(Shown {
                                    is_field: true,
                                    ..member
                                });
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        self.shown.extend(members);
        for (of, needs) in of_traits {
            if let Some(shown) = self.shown.iter_mut().find(|s| s.is_type && s.title == of) {
                shown.needs.extend(needs);
            }
        }
    }

    fn member(&self, module: &Place, of: &str, ident: &proc_macro2::Ident, needs: Words) -> Shown {
        Shown {
            title: format!("{of}::{ident}"),
            name: ident.to_string(),
            is_type: false,
            of: Some(of.to_owned()),
            is_field: false,
            needs,
            place: self.place(module, ident.span()),
        }
    }

    fn members_of_impl(
        &self,
        module: &Place,
        made: &ItemImpl,
        members: &mut Vec<Shown>,
        of_traits: &mut Vec<(String, Words)>,
    ) {
        let Some(of) = name_of(&made.self_ty).filter(|name| self.types.contains(name)) else {
            return;
        };
        if made.trait_.is_some() {
            of_traits.push((of, needs(|n| n.visit_item_impl(made))));
            return;
        }
        for item in &made.items {
            match item {
                ImplItem::Fn(f) if is_public(&f.vis) && !for_tests(&f.attrs) => {
                    let needs = needs(|n| {
                        n.visit_generics(&made.generics);
                        n.visit_signature(&f.sig);
                    });
                    members.push(self.member(module, &of, &f.sig.ident, needs));
                }
                ImplItem::Const(c) if is_public(&c.vis) && !for_tests(&c.attrs) => {
                    let needs = needs(|n| n.visit_type(&c.ty));
                    members.push(self.member(module, &of, &c.ident, needs));
                }
                _ => {}
            }
        }
    }

    /// What nobody uses who names these words.
    fn unused(&self, used: &Used) -> Vec<&Shown> {
        let mut kept = Words::new();
        let mut unused: Vec<&Shown> = self.shown.iter().collect();
        loop {
            let before = unused.len();
            let mut needed = Words::new();
            unused.retain(|shown| {
                let built = shown.of.as_ref().is_some_and(|of| used.built.contains(of));
                let by_name = used.words.contains(&shown.name) || shown.is_field && built;
                let by_type = shown.is_type && kept.contains(&shown.title);
                if by_name || by_type {
                    needed.extend(shown.needs.iter().cloned());
                }
                !by_name && !by_type
            });
            kept.extend(needed);
            if unused.len() == before {
                break;
            }
        }
        // Of a type that nobody uses the members need not be told.
        let types: Words = (unused.iter().filter(|s| s.is_type))
            .map(|s| s.title.clone())
            .collect();
        unused.retain(|s| s.of.as_ref().is_none_or(|of| !types.contains(of)));
        unused
    }
}

/// The name that an item defines.
fn ident_of(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(i) => i.ident.to_string(),
        Item::Static(i) => i.ident.to_string(),
        Item::Fn(i) => i.sig.ident.to_string(),
        Item::Enum(i) => i.ident.to_string(),
        Item::Struct(i) => i.ident.to_string(),
        Item::Trait(i) => i.ident.to_string(),
        Item::Type(i) => i.ident.to_string(),
        Item::Union(i) => i.ident.to_string(),
        Item::Mod(i) => i.ident.to_string(),
        _ => return None,
    })
}

/// What an import brings: the path before it, its own name, and the one that it has here.
fn leaves_of(tree: &UseTree, before: &mut Place, into: &mut Vec<(Place, String, String)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            leaves_of(&path.tree, before, into);
            before.pop();
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                leaves_of(tree, before, into);
            }
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            into.push((before.clone(), name.clone(), name));
        }
        UseTree::Rename(rename) => {
            into.push((
                before.clone(),
                rename.ident.to_string(),
                rename.rename.to_string(),
            ));
        }
        UseTree::Glob(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crate of these files, and one that uses it.
    fn wrong(
        name: &str,
        files: &[(&str, &str)],
        user: &str,
        allowed: &[(&str, &str)],
    ) -> Vec<String> {
        let folder = std::env::temp_dir().join(format!("surface-{name}-{}", std::process::id()));
        let (src, other) = (folder.join("src"), folder.join("other"));
        for folder in [&src, &other] {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        for (file, text) in files {
            std::fs::write(src.join(file), text).expect("a file");
        }
        std::fs::write(other.join("main.rs"), user).expect("a file");
        let mut wrong = Vec::new();
        check("c", &src, &[other], allowed, &mut wrong).expect("code that can be read");
        std::fs::remove_dir_all(&folder).expect("a folder of ours");
        let title = |line: String| line.split(' ').nth(1).unwrap_or_default().to_owned();
        wrong.into_iter().map(title).collect()
    }

    #[test]
    fn what_nobody_names_is_found() {
        let files = [
            (
                "lib.rs",
                "mod inner; pub mod open; pub use inner::{Used, Unused, Named as Other};",
            ),
            (
                "inner.rs",
                "pub struct Used { pub seen: Part, pub unseen: u8, hidden: u8 }
                 impl Used { pub fn call(&self) {} pub fn idle(&self) {} fn own(&self) {} }
                 pub struct Part; pub struct Unused { pub field: u8 } pub struct Named;
                 pub fn not_let_out() {}",
            ),
            (
                "open.rs",
                "pub fn idle_too() -> Answer { Answer } pub struct Answer;
                 pub fn asked() -> Reply { Reply } pub struct Reply;
                 #[cfg(test)] mod tests { pub fn of_tests() {} }",
            ),
        ];
        let user = "use c::{Used, open}; fn main() { c::Other; let u: Used; u.call(); u.seen; open::asked(); }";
        let mut found = wrong(
            "found",
            &files,
            user,
            &[("Unused", "a reason"), ("Part", "none")],
        );
        found.sort();
        // The last is allowed without need: it is the type of a field that is named.
        let expected = ["Answer", "Part", "Used::idle", "Used::unseen", "idle_too"];
        assert_eq!(found, expected);
        // Who builds one must see all of it.
        let user =
            "fn main() { c::Used { seen: s, ..d }; c::open::asked(); c::Other.call().idle(); }";
        let mut found = wrong("built", &files, user, &[("Unused", "a reason")]);
        found.sort();
        assert_eq!(found, ["Answer", "idle_too"]);
    }
}
