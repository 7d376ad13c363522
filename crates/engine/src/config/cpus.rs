//! Lists of processors, as `server-cpulist` has them: `0,2,4-7`, or `0-7:2` for every second one.

/// The highest number that a processor may have.
const MOST: usize = 1023;

/// The processors of a list; none of an empty one. `None` if it is not written as such lists are.
pub fn parse(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    if text.trim().is_empty() {
        return Some(cpus);
    }
    for part in text.split(',') {
        let (range, step) = match part.split_once(':') {
            Some((range, step)) => (range, number(step)?),
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(range)?, number(range)?),
        };
        if last > MOST || first > last || step == 0 {
            return None;
        }
        cpus.extend((first..=last).step_by(step));
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

fn number(text: &str) -> Option<usize> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lists_of_processors() {
        assert_eq!(parse(""), Some(vec![]));
        assert_eq!(parse("3"), Some(vec![3]));
        assert_eq!(parse("0,2, 4-7"), Some(vec![0, 2, 4, 5, 6, 7]));
        assert_eq!(parse("0-7:3,1"), Some(vec![0, 1, 3, 6]));
        for bad in ["x", "1-", "-1", "3-1", "0-4:0", "1,,2", "0-9999999", "+1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
