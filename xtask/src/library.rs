//! The library's own types: nothing that `crates/redpoll` shows its users names a type of another crate of ours, so that those can
//! change without a new version of the library that breaks programs.
//!
//! Read from the code: every public signature, field, variant, alias and implementation of a trait, but for what is `#[doc(hidden)]`. A path
//! that begins with one of our crates, or a name that the file imports from one, is an error; so is a public re-export.

use anyhow::{Context, Result};
use proc_macro2::Span;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, Fields, ImplItem, Item, Signature, TraitItem, Type, UseTree, Visibility};

/// Notes each place where the library with its `lib.rs` in `src` shows a type of one of `others`.
pub fn check(src: &Path, others: &[&str], wrong: &mut Vec<String>) -> Result<()> {
    let mut files = Vec::new();
    below(src, &mut files)?;
    files.sort();
    let mut parsed = Vec::new();
    let mut hidden = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for path in files {
        let text = std::fs::read_to_string(&path)?;
        let file = syn::parse_file(&text).with_context(|| path.display().to_string())?;
        for item in &file.items {
            match item {
                Item::Mod(item) if is_hidden(&item.attrs) => {
                    hidden.insert(item.ident.to_string());
                }
                Item::Struct(item) if is_public(&item.vis) => {
                    shown.insert(item.ident.to_string());
                }
                Item::Enum(item) if is_public(&item.vis) => {
                    shown.insert(item.ident.to_string());
                }
                _ => {}
            }
        }
        parsed.push((path, file));
    }
    for (path, file) in &parsed {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if hidden.contains(&*name) {
            continue;
        }
        let mut signatures = Signatures {
            others,
            imported: BTreeSet::new(),
            found: Vec::new(),
        };
        for item in &file.items {
            if let Item::Use(import) = item {
                signatures.import(&import.tree, false);
            }
        }
        for item in &file.items {
            signatures.item(item, &shown);
        }
        wrong.extend(signatures.found.into_iter().map(|(name, span)| {
            let place = format!("{}:{}", path.display(), span.start().line);
            format!("the library shows another crate's {name} ({place})")
        }));
    }
    Ok(())
}

/// The Rust files in and below a folder.
fn below(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            below(&path, into)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
    Ok(())
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_hidden(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| {
        attr.path().is_ident("doc")
            && attr
                .parse_args::<syn::Ident>()
                .is_ok_and(|word| word == "hidden")
    })
}

/// What one file shows of other crates.
struct Signatures<'a> {
    others: &'a [&'a str],
    /// Names that the file imports from them.
    imported: BTreeSet<String>,
    found: Vec<(String, Span)>,
}

impl Signatures<'_> {
    /// Notes the names that an import brings from another crate; `ours`: it is one already.
    fn import(&mut self, tree: &UseTree, ours: bool) {
        match tree {
            UseTree::Path(path) => {
                let ours = ours || self.others.contains(&&*path.ident.to_string());
                self.import(&path.tree, ours);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, ours)),
            UseTree::Name(name) if ours => {
                self.imported.insert(name.ident.to_string());
            }
            UseTree::Rename(rename) if ours => {
                self.imported.insert(rename.rename.to_string());
            }
            _ => {}
        }
    }

    /// Looks at one item. `shown`: the names of types that the library shows.
    fn item(&mut self, item: &Item, shown: &BTreeSet<String>) {
        match item {
            Item::Fn(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                self.visit_signature(&item.sig);
            }
            Item::Struct(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                self.visit_generics(&item.generics);
                self.fields(&item.fields, false);
            }
            Item::Enum(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                self.visit_generics(&item.generics);
                for variant in &item.variants {
                    self.fields(&variant.fields, true);
                }
            }
            Item::Type(item) if is_public(&item.vis) => self.visit_type(&item.ty),
            Item::Const(item) if is_public(&item.vis) => self.visit_type(&item.ty),
            Item::Static(item) if is_public(&item.vis) => self.visit_type(&item.ty),
            Item::Use(item) if is_public(&item.vis) => {
                let mut re_exported = Signatures {
                    others: self.others,
                    imported: BTreeSet::new(),
                    found: Vec::new(),
                };
                re_exported.import(&item.tree, false);
                let at = item.use_token.span;
                let names = re_exported.imported.into_iter();
                self.found.extend(names.map(|name| (name, at)));
            }
            Item::Trait(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                item.supertraits
                    .iter()
                    .for_each(|bound| self.visit_type_param_bound(bound));
                for member in &item.items {
                    match member {
                        TraitItem::Fn(member) if !is_hidden(&member.attrs) => {
                            self.visit_signature(&member.sig);
                        }
                        TraitItem::Type(member) => self.visit_trait_item_type(member),
                        TraitItem::Const(member) => self.visit_type(&member.ty),
                        _ => {}
                    }
                }
            }
            Item::Impl(item) if !is_hidden(&item.attrs) => {
                if !names_one(&item.self_ty, shown) {
                    return;
                }
                self.visit_generics(&item.generics);
                self.visit_type(&item.self_ty);
                match &item.trait_ {
                    // What a trait's methods say is said where the trait is.
                    Some((path, _)) => self.visit_path(path),
                    None => {
                        for member in &item.items {
                            self.member(member);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn member(&mut self, member: &ImplItem) {
        match member {
            ImplItem::Fn(member) if is_public(&member.vis) && !is_hidden(&member.attrs) => {
                self.visit_signature(&member.sig);
            }
            ImplItem::Const(member) if is_public(&member.vis) => self.visit_type(&member.ty),
            _ => {}
        }
    }

    fn visit_signature(&mut self, signature: &Signature) {
        visit::visit_signature(self, signature);
    }

    fn fields(&mut self, fields: &Fields, all: bool) {
        for field in fields {
            if all || is_public(&field.vis) {
                self.visit_type(&field.ty);
            }
        }
    }
}

impl<'ast> Visit<'ast> for Signatures<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let Some(first) = path.segments.first() {
            let name = first.ident.to_string();
            let is_crate = path.segments.len() > 1 && self.others.contains(&&*name);
            if is_crate || self.imported.contains(&name) {
                let words: Vec<String> =
                    path.segments.iter().map(|s| s.ident.to_string()).collect();
                self.found.push((words.join("::"), first.ident.span()));
            }
        }
        visit::visit_path(self, path);
    }
}

/// Whether a type is one of these, by whatever path and with whatever arguments.
fn names_one(of: &Type, shown: &BTreeSet<String>) -> bool {
    match of {
        Type::Path(path) => (path.path.segments.last())
            .is_some_and(|segment| shown.contains(&segment.ident.to_string())),
        Type::Reference(reference) => names_one(&reference.elem, shown),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a library of one file beside its `lib.rs`.
    fn shows(name: &str, lib: &str, file: &str) -> Vec<String> {
        let dir =
            std::env::temp_dir().join(format!("redpoll-library-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("lib.rs"), lib).unwrap();
        std::fs::write(dir.join("a.rs"), file).unwrap();
        let mut wrong = Vec::new();
        let checked = check(&dir, &["engine", "store"], &mut wrong);
        std::fs::remove_dir_all(&dir).unwrap();
        checked.unwrap();
        let name = |line: String| {
            let (_, rest) = line.split_once("another crate's ").unwrap();
            rest.split(' ').next().unwrap().to_owned()
        };
        wrong.into_iter().map(name).collect()
    }

    #[test]
    fn every_way_to_show_a_type_is_found() {
        let file = "use engine::{Engine, Config as Settings};
            pub struct Db { pub engine: Engine, inner: Engine }
            pub enum Kind { A(store::Value) }
            pub type Short = store::Type;
            pub fn free(x: &[Settings]) {}
            impl Db {
                pub fn of(work: impl FnMut(engine::Keys)) -> Option<Engine> { None }
                pub(crate) fn inside(&self) -> Engine { made() }
                fn private(&self) -> Engine { made() }
            }
            impl From<engine::Error> for Db {}
            impl From<Db> for Settings {}
            pub trait Way { fn engine(&self) -> Engine; }";
        assert_eq!(
            shows("all", "mod a; pub use engine::Worker; pub use a::Db;", file),
            [
                "Engine",
                "store::Value",
                "store::Type",
                "Settings",
                "engine::Keys",
                "Engine",
                "engine::Error",
                "Engine",
                "Worker",
            ]
        );
    }

    #[test]
    fn what_is_hidden_or_private_is_not_shown() {
        let file = "use engine::Engine;
            pub fn of(engine: Engine) {}";
        assert!(shows("module", "#[doc(hidden)] pub mod a;", file).is_empty());
        let file = "use engine::Engine;
            pub struct Db { engine: Engine }
            struct Own;
            impl From<Engine> for Own {}
            impl Db { #[doc(hidden)] pub fn engine(&self) -> &Engine { &self.engine } }
            pub trait Way { #[doc(hidden)] fn engine(&self) -> Engine; }
            impl Way for Db { fn engine(&self) -> Engine { made() } }
            pub fn value(x: Value) { let y: Engine; }";
        assert!(shows("items", "mod a;", file).is_empty());
    }
}
