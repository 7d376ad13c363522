//! Running a script: its locks, its calls of commands, and undoing it.

pub mod run;
#[cfg(test)]
mod tests;
