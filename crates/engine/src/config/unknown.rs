//! A directive that there is not: what it may have been meant to be.

/// What is wrong with a directive of this name, with the one that may be meant. The words in front are those of real servers, which programs look for.
pub(super) fn refusal<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let mut said = "Bad directive or wrong number of arguments".to_owned();
    let bare = name.trim_start_matches('-');
    let bare = bare.split(['=', ':']).next().unwrap_or(bare);
    if bare == name {
        if let Some(near) = nearest(name, known) {
            said.push_str(&format!("; is '{near}' meant?"));
        }
    } else if known.clone().any(|row| row == bare) {
        said.push_str(&format!(
            "; '{bare}' and its value stand as two words (--{bare} value)"
        ));
    } else if name.starts_with('-') {
        said.push_str("; a directive has two dashes and its whole name (--port 6379)");
    }
    said
}

/// The known name that most likely was meant: at most two letters wrong, and no more than a third of them.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let bound = (name.len() / 3).min(2);
    known
        .map(|row| (changes(name, row), row))
        .filter(|(changes, _)| *changes <= bound)
        .min()
        .map(|(_, row)| row)
}

/// How many letters have to be put in, taken out, replaced or exchanged with their neighbour to make one of the other.
fn changes(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let above = &rows[i - 1];
            let replaced = above[j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn what_is_unknown_is_told_what_may_be_meant() {
        let known = ["port", "maxmemory", "maxmemory-policy", "save"];
        let of = |name| refusal(name, known.into_iter());
        let plain = "Bad directive or wrong number of arguments";
        for (name, meant) in [
            ("prot", "port"),
            ("maxmemroy", "maxmemory"),
            ("max-memory", "maxmemory"),
            ("maxmemory_policy", "maxmemory-policy"),
            ("ports", "port"),
        ] {
            assert_eq!(of(name), format!("{plain}; is '{meant}' meant?"));
        }
        for name in ["foo", "maxclients", "", "pt"] {
            assert_eq!(of(name), plain, "{name}");
        }
        for name in ["port=7000", "-port", "port:"] {
            assert!(of(name).contains("'port' and its value stand as two words"));
        }
        assert!(of("-p").contains("two dashes"));
        assert_eq!(of("host=1"), plain);
    }
}
