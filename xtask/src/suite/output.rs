//! What the suite prints about its tests, read.

use std::collections::BTreeMap;

/// What became of a test. Of several with one name the worst counts: failed, then passed, then left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Not run: by a tag, or because it was named.
    LeftOut,
    Passed,
    /// With the first line of what it says.
    Failed(String),
}

/// What a unit said.
#[derive(Default)]
pub struct Said {
    tests: BTreeMap<String, Outcome>,
    ended: bool,
}

/// What an error is called that happens between two tests.
const BETWEEN: &str = "(between tests)";

impl Said {
    /// Reads all that was printed: lines `[ok]: NAME (5 ms)`, `[skip]: NAME`, `[ignore]: NAME: why`, `[err]: NAME in FILE`, whose next
    /// line says why, and `[1/1 done]: UNIT (5 seconds)`.
    pub fn read(text: &str, unit: &str) -> Said {
        let mut said = Said::default();
        let place = format!(" in tests/{unit}.tcl");
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((tag, rest)) = line.strip_prefix('[').and_then(|l| l.split_once("]: ")) else {
                continue;
            };
            match tag {
                "ok" => {
                    let name = rest.rsplit_once(" (").map_or(rest, |(name, _)| name);
                    said.note(name, Outcome::Passed);
                }
                "skip" => said.note(rest, Outcome::LeftOut),
                // A block of tests that is left out has no name.
                "ignore" => {
                    if let Some((name, _)) = rest.split_once(": Tag: ") {
                        said.note(name, Outcome::LeftOut);
                    } else if let Some((name, _)) = rest.rsplit_once(": ") {
                        said.note(name, Outcome::LeftOut);
                    }
                }
                "err" => match rest.strip_suffix(&place) {
                    Some(name) => {
                        let why = lines.peek().copied().unwrap_or_default();
                        said.note(name, Outcome::Failed(why.to_owned()));
                    }
                    None => said.note(BETWEEN, Outcome::Failed(rest.to_owned())),
                },
                "exception" => said.note(BETWEEN, Outcome::Failed(rest.to_owned())),
                "TIMEOUT" => {
                    // Who was at what follows: `sock5 => (IN PROGRESS) NAME`.
                    let at = lines.peek().and_then(|line| line.split_once(" => "));
                    let at = at.map_or(rest, |(_, at)| at);
                    said.note(BETWEEN, Outcome::Failed(format!("it hangs: {at}")));
                }
                _ if tag.ends_with(" done") => said.ended = true,
                _ => {}
            }
        }
        said
    }

    fn note(&mut self, name: &str, outcome: Outcome) {
        let worst = self
            .tests
            .entry(name.to_owned())
            .or_insert(Outcome::LeftOut);
        if outcome > *worst {
            *worst = outcome;
        }
    }

    /// Whether the suite came to the unit's end.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// What became of the tests of this name.
    pub fn outcome(&self, name: &str) -> Option<&Outcome> {
        self.tests.get(name)
    }

    /// The tests that failed, with what they say.
    pub fn failed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tests
            .iter()
            .filter_map(|(name, outcome)| match outcome {
                Outcome::Failed(why) => Some((name.as_str(), why.as_str())),
                _ => None,
            })
    }

    /// How many passed, failed, and were left out.
    pub fn counts(&self) -> [usize; 3] {
        let count = |kind: fn(&Outcome) -> bool| self.tests.values().filter(|o| kind(o)).count();
        [
            count(|outcome| *outcome == Outcome::Passed),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| *outcome == Outcome::LeftOut),
        ]
    }
}
