//! The console's files, as they were compiled in.

use crate::answer::{Answer, Body, answer, plain};
use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};

/// Path and contents of each file of `ui/dist`.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Where files stand whose names change with their contents.
const HASHED: &str = "/assets/";

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

/// Serves a file of the page; what is none of its paths is not found.
pub(crate) fn serve(method: &Method, path: &str, head: &HeaderMap) -> Answer {
    if method != Method::GET && method != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    let path = if path == "/" { "/index.html" } else { path };
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
    head.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if compressed.is_some() {
        head.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_types() {
        let head = HeaderMap::new();
        let page = serve(&Method::GET, "/", &head);
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        assert!(page.headers()["content-security-policy"].to_str().is_ok());
        for path in ["/nosuch", "/../Cargo.toml", "//", "/index.html/"] {
            let answer = serve(&Method::GET, path, &head);
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        }
        let post = serve(&Method::POST, "/", &head);
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(kind("/a/b.js"), "text/javascript; charset=utf-8");
        assert_eq!(kind("/a.b/c"), "application/octet-stream");
    }
}
