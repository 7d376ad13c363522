//! The console's files, as they were compiled in.

use crate::answer::{Answer, Body, CONTENT_POLICY, answer, plain};
use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use std::sync::LazyLock;

/// Path and contents of each file of `ui/dist`.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Where files stand whose names change with their contents.
const HASHED: &str = "/assets/";

/// What the page itself may load: beside what is served from here, the styles that are written into it, which are known by their hash.
static PAGE_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = find("/style.sha256").and_then(|hash| str::from_utf8(hash).ok());
    let allowed = format!(
        "style-src 'self' 'sha256-{}'",
        hash.unwrap_or_default().trim()
    );
    HeaderValue::try_from(CONTENT_POLICY.replace("style-src 'self'", &allowed))
        .unwrap_or_else(|_| HeaderValue::from_static(CONTENT_POLICY))
});

/// The file at a path, if there is one.
fn find(path: &str) -> Option<&'static [u8]> {
    let found = FILES.iter().find(|(name, _)| *name == path);
    found.map(|(_, contents)| *contents)
}

/// What a file is, by the end of its name.
fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Serves a file of the page; what is none of its paths is not found. What the page shows until its script has run depends on whether
/// somebody is logged in.
pub(crate) fn serve(
    method: &Method,
    path: &str,
    head: &HeaderMap,
    is_logged_in: impl FnOnce() -> bool,
) -> Answer {
    if method != Method::GET && method != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    let path = match path {
        "/" if is_logged_in() => "/in.html",
        "/" => "/index.html",
        path => path,
    };
    let takes_gzip = head
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|word| word.trim().starts_with("gzip")));
    let compressed = find(&format!("{path}.gz")).filter(|_| takes_gzip);
    let Some(contents) = compressed.or_else(|| find(path)) else {
        return plain(StatusCode::NOT_FOUND, "there is no such page\n");
    };
    let body = Body::Whole(Bytes::from_static(contents));
    let mut answer = answer(StatusCode::OK, kind(path), body);
    let head = answer.headers_mut();
    let caching = match path.starts_with(HASHED) {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    head.insert(
        header::VARY,
        HeaderValue::from_static("accept-encoding, cookie"),
    );
    if path.ends_with(".html") {
        head.insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY.clone());
    }
    if compressed.is_some() {
        head.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, head: &HeaderMap, is_logged_in: bool) -> Answer {
        serve(&Method::GET, path, head, || is_logged_in)
    }

    fn text(answer: Answer) -> String {
        match answer.into_body() {
            Body::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Body::Stream(_) => unreachable!("files are whole"),
        }
    }

    #[test]
    fn files_have_their_types() {
        let head = HeaderMap::new();
        let page = get("/", &head, false);
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        for path in ["/nosuch", "/../Cargo.toml", "//", "/index.html/"] {
            let answer = get(path, &head, false);
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        }
        let post = serve(&Method::POST, "/", &head, || false);
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(kind("/a/b.js"), "text/javascript; charset=utf-8");
        assert_eq!(kind("/a.b/c"), "application/octet-stream");
    }

    #[test]
    fn the_page_has_styles_of_its_own_and_no_script() {
        let head = HeaderMap::new();
        let page = get("/", &head, false);
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("script-src 'self';"), "{policy}");
        let hash = str::from_utf8(find("/style.sha256").unwrap()).unwrap();
        assert_eq!(hash.len(), 44, "{hash}");
        let styles = format!("style-src 'self' 'sha256-{hash}';");
        assert!(policy.contains(&styles), "{policy}");
        let (out, within) = (text(page), text(get("/", &head, true)));
        for page in [&out, &within] {
            assert!(page.contains("<style>") && !page.contains("style="));
            assert_eq!(page.matches("<script").count(), 1);
            assert!(page.contains("></script>"));
        }
        assert!(out.contains("name=\"password\"") && !within.contains("name=\"password\""));
        assert!(within.contains("<nav") && !out.contains("<nav"));
    }

    #[test]
    fn who_takes_gzip_gets_it() {
        let mut head = HeaderMap::new();
        head.insert("accept-encoding", HeaderValue::from_static("br, gzip"));
        for (path, is_logged_in) in [("/", false), ("/", true), ("/in.html", false)] {
            let page = get(path, &head, is_logged_in);
            assert_eq!(page.headers()["content-encoding"], "gzip");
            assert_eq!(page.headers()["vary"], "accept-encoding, cookie");
        }
    }
}
