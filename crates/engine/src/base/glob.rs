//! Glob patterns as KEYS, SCAN MATCH, CONFIG GET and PSUBSCRIBE take them: `*`, `?`, `[a-z]`, `[^a]`, `\x`.

/// Whether `text` matches `pattern`, byte for byte.
///
/// A pattern with many stars is matched in time proportional to pattern times text: only the last star is ever
/// tried again, since an earlier one can take over nothing that the later could not.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, false)
}

/// The same with ASCII letters in any case.
pub fn matches_ignore_case(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, true)
}

fn run(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    // Redis's matcher looks at nothing, not even a star, once the text is used up, so only an empty pattern matches an
    // empty text. (KEYS * and MATCH * are not matched at all.)
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last star: (pattern position behind it, text position it ends at).
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        if t < text.len() && p < pattern.len() {
            let (hit, next) = one(&pattern[p..], text[t], ignore_case);
            if hit {
                p += next;
                t += 1;
                continue;
            }
        } else if t == text.len() && p == pattern.len() {
            return true;
        }
        match star {
            Some((after, end)) if end < text.len() => {
                star = Some((after, end + 1));
                p = after;
                t = end + 1;
            }
            _ => return false,
        }
    }
}

/// Whether the first element of `pattern` (not a star) matches `c`, and how long the element is.
fn one(pattern: &[u8], c: u8, ignore_case: bool) -> (bool, usize) {
    let fold = |b: u8| {
        if ignore_case {
            b.to_ascii_lowercase()
        } else {
            b
        }
    };
    match pattern[0] {
        b'?' => (true, 1),
        b'\\' if pattern.len() >= 2 => (fold(pattern[1]) == fold(c), 2),
        b'[' => {
            let mut i = 1;
            let negated = pattern.get(i) == Some(&b'^');
            i += usize::from(negated);
            let mut hit = false;
            loop {
                match pattern.get(i) {
                    // A class that is never closed ends with the pattern.
                    None => break,
                    Some(b']') => {
                        i += 1;
                        break;
                    }
                    Some(b'\\') if i + 1 < pattern.len() => {
                        hit |= fold(pattern[i + 1]) == fold(c);
                        i += 2;
                    }
                    Some(&low) if pattern.len() > i + 2 && pattern[i + 1] == b'-' => {
                        let (a, b) = (fold(low), fold(pattern[i + 2]));
                        hit |= (a.min(b)..=a.max(b)).contains(&fold(c));
                        i += 3;
                    }
                    Some(&b) => {
                        hit |= fold(b) == fold(c);
                        i += 1;
                    }
                }
            }
            (hit != negated, i)
        }
        b => (fold(b) == fold(c), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, want: bool) {
        assert_eq!(
            matches(pattern.as_bytes(), text.as_bytes()),
            want,
            "{pattern} on {text}"
        );
    }

    #[test]
    fn patterns() {
        check("", "", true);
        check("*", "", false);
        check("a*", "a", true);
        check("h?llo", "hello", true);
        check("h?llo", "hllo", false);
        check("h[ae]llo", "hallo", true);
        check("h[^e]llo", "hello", false);
        check("h[a-c]llo", "hbllo", true);
        check("h[c-a]llo", "hbllo", true);
        check("*a*b*c", "xxaxxbxxc", true);
        check("*a*b*c", "xxaxxcxxb", false);
        check("\\*", "*", true);
        check("\\*", "x", false);
        check("[\\]]", "]", true);
        check("a\\", "a\\", true);
        check("[abc", "b", true);
        check("**b", "aab", true);
        assert!(matches_ignore_case(b"MaX*", b"maxmemory"));
    }

    #[test]
    fn many_stars_end_soon() {
        let text = vec![b'a'; 30_000];
        let pattern = b"a*a*a*a*a*a*a*a*a*a*b".to_vec();
        assert!(!matches(&pattern, &text));
    }
}
