//! Makes a table of the files of the console's page, which are compiled into the binary.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).unwrap_or_default();
    let folder = variable("CARGO_MANIFEST_DIR").join("ui/dist");
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    find(&folder, &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for file in files {
        println!("cargo:rerun-if-changed={}", file.display());
        let name = file.strip_prefix(&folder).unwrap_or(&file);
        let name = name.to_string_lossy();
        // Writing to a string does not fail.
        let _ = writeln!(
            table,
            "    ({:?}, include_bytes!({:?}).as_slice()),",
            format!("/{name}"),
            file.to_string_lossy()
        );
    }
    table.push(']');
    fs::write(variable("OUT_DIR").join("page.rs"), table)
}

/// All files of a folder and of those in it.
fn find(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
