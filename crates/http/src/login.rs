//! Who is logged in to the console.
//!
//! A login is a cookie with a random value, a token that every request which does something has to repeat in a header, and one
//! client in the engine's list, by which it can be seen and killed. It names a user; what that user may do is asked anew for
//! each command, by the same gate as for any client.
//!
//! Requests that a page of another site makes a browser send are refused three times over: the cookie is not sent with them
//! (SameSite=Strict), their origin is not this port's, and they do not know the token. A name that somebody else makes point to this machine
//! (DNS rebinding) gets no login without a password.

use engine::{Session, random_bytes};
use hyper::header::{self, HeaderMap};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The cookie's name.
pub(crate) const COOKIE: &str = "redpoll_session";

/// How long a login lasts from its last request.
pub(crate) const IDLE: Duration = Duration::from_secs(15 * 60);

/// How long it lasts at most.
const LONGEST: Duration = Duration::from_secs(12 * 3600);

/// Logins at a time; one more ends the one that was not used for longest.
const MOST: usize = 256;

/// Wrong passwords from one address after which it has to wait, and for how long they count.
const MOST_WRONG: u32 = 10;
const WRONG_FOR: Duration = Duration::from_secs(10);

/// Addresses whose wrong passwords are counted.
const MOST_ADDRESSES: usize = 4096;

/// One login.
pub(crate) struct Login {
    /// The name of its user.
    pub user: String,
    /// What requests that do something repeat.
    pub csrf: String,
    /// The client that stands for it. Behind a lock to be shared; nobody waits for it.
    holder: Mutex<Session>,
    began: Instant,
    used: Mutex<Instant>,
    /// Event streams that are open: they keep it from running out.
    pub streams: AtomicUsize,
}

impl Login {
    /// Whether it is good no longer: too old, or its client was killed, as happens when its user is deleted.
    fn is_over(&self) -> bool {
        let now = Instant::now();
        let idle = now.duration_since(*self.used.lock()) > IDLE && self.streams.load(Relaxed) == 0;
        idle || now.duration_since(self.began) > LONGEST || self.is_killed()
    }

    /// Whether its client was killed.
    pub fn is_killed(&self) -> bool {
        self.holder.lock().client().kill_requested()
    }
}

/// All logins, by the cookie's value.
#[derive(Default)]
pub(crate) struct Logins {
    all: Mutex<HashMap<String, Arc<Login>>>,
    wrong: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

/// A random word that nobody guesses.
fn secret() -> String {
    let bytes: [u8; 24] = random_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Logins {
    /// Begins a login of the session's user, who has shown who it is. Returns the cookie's value with it.
    pub fn begin(&self, user: String, holder: Session) -> (String, Arc<Login>) {
        let now = Instant::now();
        let login = Arc::new(Login {
            user,
            csrf: secret(),
            holder: Mutex::new(holder),
            began: now,
            used: Mutex::new(now),
            streams: AtomicUsize::new(0),
        });
        let cookie = secret();
        let mut all = self.all.lock();
        if all.len() >= MOST {
            let oldest = all.iter().min_by_key(|(_, login)| *login.used.lock());
            let oldest = oldest.map(|(cookie, _)| cookie.clone());
            if let Some(oldest) = oldest {
                all.remove(&oldest);
            }
        }
        all.insert(cookie.clone(), login.clone());
        (cookie, login)
    }

    /// The login of a request, if it has one that is still good.
    pub fn of(&self, head: &HeaderMap) -> Option<Arc<Login>> {
        let mut all = self.all.lock();
        let cookie = cookies(head).find(|cookie| all.contains_key(*cookie))?;
        if all.get(cookie)?.is_over() {
            all.remove(cookie);
            return None;
        }
        let login = all.get(cookie)?.clone();
        *login.used.lock() = Instant::now();
        Some(login)
    }

    /// Ends the login of a request.
    pub fn end(&self, head: &HeaderMap) {
        let mut all = self.all.lock();
        for cookie in cookies(head) {
            all.remove(cookie);
        }
    }

    /// Forgets those that are over.
    pub fn forget_old(&self) {
        self.all.lock().retain(|_, login| !login.is_over());
        self.wrong
            .lock()
            .retain(|_, (_, since)| since.elapsed() < WRONG_FOR);
    }

    /// Whether an address has given too many wrong passwords lately.
    pub fn has_to_wait(&self, address: IpAddr) -> bool {
        let wrong = self.wrong.lock();
        wrong
            .get(&address)
            .is_some_and(|(n, since)| *n >= MOST_WRONG && since.elapsed() < WRONG_FOR)
    }

    /// Counts a wrong password.
    pub fn note_wrong(&self, address: IpAddr) {
        let mut wrong = self.wrong.lock();
        if wrong.len() >= MOST_ADDRESSES {
            wrong.retain(|_, (_, since)| since.elapsed() < WRONG_FOR);
        }
        if wrong.len() < MOST_ADDRESSES || wrong.contains_key(&address) {
            let (n, since) = wrong.entry(address).or_insert((0, Instant::now()));
            if since.elapsed() >= WRONG_FOR {
                (*n, *since) = (0, Instant::now());
            }
            *n += 1;
        }
    }
}

/// The values of all cookies of our name that a request has.
fn cookies(head: &HeaderMap) -> impl Iterator<Item = &str> {
    head.get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// The cookie of a new login, or one that is over (`value` is empty then).
pub(crate) fn set_cookie(value: &str, encrypted: bool) -> String {
    let age = if value.is_empty() { "; Max-Age=0" } else { "" };
    let secure = if encrypted { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}")
}

/// Whether a request comes from a page of another site, as far as its browser says so. What is no browser says nothing.
pub(crate) fn is_foreign(head: &HeaderMap, encrypted: bool) -> bool {
    let text = |name: &str| head.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site")
        && site != "same-origin"
        && site != "none"
    {
        return true;
    }
    let Some(origin) = text("origin") else {
        return false;
    };
    let scheme = if encrypted { "https" } else { "http" };
    let own = format!("{scheme}://{}", text("host").unwrap_or_default());
    !origin.eq_ignore_ascii_case(&own)
}

/// Whether a request calls this machine by an address or as localhost, which nobody else can make point here.
pub(crate) fn names_no_stranger(head: &HeaderMap) -> bool {
    let Some(host) = head.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost") || address.unwrap_or(host).parse::<IpAddr>().is_ok()
}

/// Whether two secrets are the same; takes as long wherever they differ.
pub(crate) fn same_secret(a: &[u8], b: &[u8]) -> bool {
    let differ = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && differ == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    header::HeaderName::from_static(name),
                    header::HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn requests_of_other_sites_are_known_by_their_origin() {
        let foreign = |pairs: &[(&'static str, &'static str)]| is_foreign(&head(pairs), false);
        assert!(!foreign(&[("host", "127.0.0.1:8080")]));
        assert!(!foreign(&[
            ("host", "a:8080"),
            ("origin", "http://a:8080"),
            ("sec-fetch-site", "same-origin")
        ]));
        for origin in ["http://b:8080", "http://a", "https://a:8080", "null"] {
            assert!(
                foreign(&[("host", "a:8080"), ("origin", origin)]),
                "{origin}"
            );
        }
        for site in ["cross-site", "same-site"] {
            assert!(
                foreign(&[("host", "a"), ("sec-fetch-site", site)]),
                "{site}"
            );
        }
        let encrypted = head(&[("host", "a"), ("origin", "https://a")]);
        assert!(!is_foreign(&encrypted, true));
    }

    #[test]
    fn names_that_anybody_can_point_here_are_strangers() {
        let named = |host: &'static str| names_no_stranger(&head(&[("host", host)]));
        for host in [
            "127.0.0.1",
            "10.1.2.3:80",
            "localhost:8080",
            "[::1]:8080",
            "LOCALHOST",
        ] {
            assert!(named(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:80",
            "",
            "127.0.0.1.evil",
        ] {
            assert!(!named(host), "{host}");
        }
        assert!(!names_no_stranger(&head(&[])));
    }

    #[test]
    fn cookies_are_found_among_others() {
        let head = head(&[("cookie", "a=b; redpoll_session=x; c=d"), ("host", "h")]);
        assert_eq!(cookies(&head).collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn wrong_passwords_are_counted_by_address() {
        let logins = Logins::default();
        let (a, b): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        for _ in 0..MOST_WRONG {
            assert!(!logins.has_to_wait(a));
            logins.note_wrong(a);
        }
        assert!(logins.has_to_wait(a) && !logins.has_to_wait(b));
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(same_secret(b"abc", b"abc"));
        assert!(!same_secret(b"abc", b"abd"));
        assert!(!same_secret(b"abc", b"ab"));
        assert!(!same_secret(b"", b"a"));
        assert_ne!(secret(), secret());
    }
}
