//! Which path is whose, and who may come in.

use crate::answer::{Answer, Body, answer as answer_with, error, json, plain};
use crate::command::{self, Allowance, Awaited, Call, Failed, MOST_BLOCKED};
use crate::events::{self, Wanted as Events};
use crate::login::{self, Login};
use crate::metrics::Wanted;
use crate::peer::Peer;
use crate::shared::Shared;
use crate::text::Format;
use crate::{metrics, page};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use engine::Session;
use engine::config::{Change, all_directives};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use resp::{Out, Proto};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Bytes of a request's body: a value that somebody edits has to fit, with what JSON makes of it.
const MOST_BODY: usize = 32 << 20;

/// The same of who has not shown yet who it is.
const MOST_LOGIN: usize = 16 << 10;

/// How long nothing of a body may come, and how long all of a login's may take.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of a string that a page may ask for.
const MOST_LIMIT: u64 = 1 << 20;

/// The same if it does not say.
const LIMIT: u64 = 64 << 10;

/// Commands of one request.
const MOST_COMMANDS: usize = 1000;

/// Answers a request. `cut` ends its connection.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
    peer: Peer,
    cut: Arc<Notify>,
) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or_default();
    // Whoever asks for nothing but life needs to show nothing.
    match path {
        "/healthz" => return Ok(plain(StatusCode::OK, "ok\n")),
        "/readyz" => return Ok(ready(&shared)),
        _ => {}
    }
    let protected = shared.engine.config().flag("protected-mode");
    if protected
        && shared.engine.is_without_password()
        && !peer.address.ip().to_canonical().is_loopback()
    {
        return Ok(error(
            StatusCode::FORBIDDEN,
            "protected mode: the default user has no password, so only this machine may come in",
        ));
    }
    Ok(match (path, &head.method) {
        ("/metrics", &Method::GET | &Method::HEAD) => {
            metrics(shared, head.headers, query, peer).await
        }
        (api, method) if api.starts_with("/api/") => {
            if login::is_foreign(&head.headers, peer.encrypted) {
                return Ok(error(StatusCode::FORBIDDEN, "a request of another site"));
            }
            let api = Api {
                shared,
                head: &head.headers,
                peer,
                cut,
            };
            match (api_name(path), method) {
                ("session", &Method::GET) => api.session(),
                ("login", &Method::POST) => api.login(body).await,
                ("logout", &Method::POST) => api.logout(),
                ("command", &Method::POST) => api.command(body).await,
                ("may", &Method::POST) => api.permissions(body).await,
                ("history", &Method::GET) => api.history(query),
                ("directives", &Method::GET) => api.directives(),
                ("events", &Method::GET) => api.events(query),
                (
                    "session" | "login" | "logout" | "command" | "may" | "history" | "events"
                    | "directives",
                    _,
                ) => error(StatusCode::METHOD_NOT_ALLOWED, "another method"),
                _ => error(StatusCode::NOT_FOUND, "there is no such path"),
            }
        }
        (_, method) => page::serve(method, path, &head.headers, || {
            shared.logins.of(&head.headers).is_some()
        }),
    })
}

fn api_name(path: &str) -> &str {
    path.strip_prefix("/api/").unwrap_or_default()
}

/// Whether clients are served: 200, or 503 with the reason why not.
fn ready(shared: &Shared) -> Answer {
    let engine = &shared.engine;
    if engine.loading.is_on() {
        return plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the data set is being loaded\n",
        );
    }
    plain(StatusCode::OK, "ready\n")
}

/// A piece of work for a helper thread.
async fn aside<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Option<R> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// What went wrong inside.
fn broken() -> Answer {
    error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "this failed; the log may say why",
    )
}

/// All that could carry it out stand still.
fn busy(why: &str) -> Answer {
    error(StatusCode::SERVICE_UNAVAILABLE, why)
}

const NO_PLACE: &str = "too many requests that run commands or sign in at a time; try again";

fn too_slow() -> Answer {
    error(
        StatusCode::REQUEST_TIMEOUT,
        "the body takes too long to come",
    )
}

/// An answer for who may not have what it asks for.
fn refused(status: StatusCode, why: &str) -> Box<Answer> {
    Box::new(error(status, why))
}

/// Who asks for metrics, and whether it may have them.
enum Entry {
    /// Yes; with names of keys, if the user may have those too.
    Granted(bool),
    Unknown,
    Refused(String),
    /// Whether it may could not be found out.
    Late,
}

async fn metrics(shared: Arc<Shared>, head: HeaderMap, query: &str, peer: Peer) -> Answer {
    let shards = parameters(query).any(|(name, value)| name == "shards" && value != "0");
    let accept = head
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let format = Format::wanted(accept.unwrap_or_default());
    // Whoever shows a user or a token may have to wait.
    let place = match head.contains_key(header::AUTHORIZATION) {
        true => match shared.place_to_sign_in().await {
            Some(place) => Some(place),
            None => return busy(NO_PLACE),
        },
        false => None,
    };
    let made = aside(move || match may_have_metrics(&shared, &head, peer) {
        Entry::Granted(keys) => {
            drop(place);
            Ok(metrics::text(&shared, format, Wanted { shards, keys }))
        }
        other => Err(other),
    });
    match made.await {
        Some(Ok(text)) => answer_with(
            StatusCode::OK,
            format.content_type(),
            Body::Whole(Bytes::from(text)),
        ),
        Some(Err(Entry::Refused(why))) => error(StatusCode::FORBIDDEN, &why),
        Some(Err(Entry::Late)) => busy(command::LATE),
        Some(Err(_)) => {
            let mut answer = error(StatusCode::UNAUTHORIZED, "a user or a token is needed");
            answer.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"redpoll\", charset=\"UTF-8\""),
            );
            answer
        }
        None => broken(),
    }
}

/// Metrics are for who has the token, and for users who may run INFO.
fn may_have_metrics(shared: &Shared, head: &HeaderMap, peer: Peer) -> Entry {
    let engine = &shared.engine;
    let given = head
        .get(header::AUTHORIZATION)
        .map(|value| value.as_bytes())
        .unwrap_or_default();
    let scheme = |name: &[u8]| {
        let (found, rest) = given.split_at_checked(name.len())?;
        found.eq_ignore_ascii_case(name).then(|| rest.trim_ascii())
    };
    if let Some(token) = scheme(b"bearer ") {
        let wanted = engine.config().text("http-token");
        return match !wanted.is_empty() && login::same_secret(token, wanted.as_bytes()) {
            true => Entry::Granted(true),
            false => Entry::Unknown,
        };
    }
    let mut session = command::session(engine, peer, "metrics");
    if let Some(basic) = scheme(b"basic ") {
        let pair = STANDARD.decode(basic).unwrap_or_default();
        let Some(colon) = pair.iter().position(|byte| *byte == b':') else {
            return Entry::Unknown;
        };
        let (user, password) = (&pair[..colon], &pair[colon + 1..]);
        if shared.logins.has_to_wait(peer.address.ip()) {
            return Entry::Refused("too many wrong passwords; try again in a moment".into());
        }
        match sign_in(shared, &mut session, user, password) {
            Ok(true) => {}
            Err(Failed::Late) => return Entry::Late,
            Ok(false) | Err(_) => {
                shared.logins.note_wrong(peer.address.ip());
                return Entry::Unknown;
            }
        }
    }
    // Who has shown nothing may be somebody's page, which calls this machine by a name of its own (DNS rebinding). Numbers are told all the same, since
    // Prometheus calls it by any name; names of keys are not.
    let stranger = given.is_empty()
        && (login::is_foreign(head, peer.encrypted) || !login::names_no_stranger(head));
    match session.check_call(&[b"info"]) {
        Ok(()) => Entry::Granted(!stranger && session.check_call(&[b"hotkeys", b"top"]).is_ok()),
        Err(why) if why.code() == "NOAUTH" => Entry::Unknown,
        Err(why) => Entry::Refused(why.text().into_owned()),
    }
}

/// Makes a session a user's, by the command that clients use for it: so that it is counted and logged as theirs are. Whether it is
/// one now.
fn sign_in(
    shared: &Shared,
    session: &mut Session,
    user: &[u8],
    password: &[u8],
) -> Result<bool, Failed> {
    let mut out = Out::new(Proto::Resp3);
    let mut allowance = Allowance::new(MOST_BLOCKED);
    let argv: [&[u8]; 3] = [b"AUTH", user, password];
    shared
        .workers
        .with(|worker| command::run(worker, session, &argv, &mut out, &mut allowance))?;
    Ok(out.to_vec() == b"+OK\r\n")
}

/// A request below `/api/`.
struct Api<'a> {
    shared: Arc<Shared>,
    head: &'a HeaderMap,
    peer: Peer,
    /// Ends the request's connection, whatever is still to be sent on it.
    cut: Arc<Notify>,
}

impl Api<'_> {
    fn session(&self) -> Answer {
        let login = self.shared.logins.of(self.head);
        let (user, csrf) = match &login {
            Some(login) => (Some(&login.user), Some(&login.csrf)),
            None => (None, None),
        };
        let open = self.shared.engine.is_without_password();
        json(
            StatusCode::OK,
            serde_json::json!({
                "user": user,
                "csrf": csrf,
                "open": open && login::names_no_stranger(self.head),
                "version": engine::VERSION,
                "redis_version": engine::REDIS_VERSION,
            })
            .to_string(),
        )
    }

    /// The body as JSON, of so many bytes at most.
    async fn body(&self, body: Incoming, most: usize) -> Result<Value, Answer> {
        let kind = self.head.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // A form of another site cannot be sent as this.
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            return Err(error(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body has to be application/json",
            ));
        }
        let (mut body, mut bytes) = (Limited::new(body, most), Vec::new());
        loop {
            match timeout(BODY_PATIENCE, body.frame()).await {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => {
                    let data = frame.into_data().unwrap_or_default();
                    bytes.extend_from_slice(&data);
                }
                Ok(Some(Err(_))) => {
                    return Err(error(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "the body did not come whole, or is too long",
                    ));
                }
                Err(_) => return Err(too_slow()),
            }
        }
        serde_json::from_slice(&bytes)
            .map_err(|why| error(StatusCode::BAD_REQUEST, &format!("no JSON: {why}")))
    }

    async fn login(&self, body: Incoming) -> Answer {
        let address = self.peer.address.ip();
        if self.shared.logins.has_to_wait(address) {
            return error(
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong passwords; try again in a moment",
            );
        }
        let body = match timeout(BODY_PATIENCE, self.body(body, MOST_LOGIN)).await {
            Ok(Ok(body)) => body,
            Ok(Err(answer)) => return answer,
            Err(_) => return too_slow(),
        };
        let word = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let user = word("user").unwrap_or_else(|| "default".to_owned());
        let password = word("password").unwrap_or_default();
        let (shared, peer) = (self.shared.clone(), self.peer);
        if password.is_empty() && !login::names_no_stranger(self.head) {
            // Anybody's page may call this machine by a name of its own.
            return error(
                StatusCode::FORBIDDEN,
                "without a password only by an address, or as localhost",
            );
        }
        let Some(place) = shared.place_to_sign_in().await else {
            return busy(NO_PLACE);
        };
        let mut session = command::session(&shared.engine, peer, "console");
        let awaited = Awaited::new(&session);
        let begun = aside(move || {
            let _place = place;
            match sign_in(&shared, &mut session, user.as_bytes(), password.as_bytes()) {
                Ok(true) => Ok(shared.logins.begin(user, session)),
                Err(Failed::Late) => Err(Failed::Late),
                Ok(false) | Err(_) => {
                    shared.logins.note_wrong(address);
                    Err(Failed::Request("wrong user or password".into()))
                }
            }
        });
        let begun = begun.await;
        awaited.done();
        let (cookie, login) = match begun {
            Some(Ok(begun)) => begun,
            Some(Err(Failed::Request(why))) => return error(StatusCode::UNAUTHORIZED, &why),
            Some(Err(_)) => return busy(command::LATE),
            None => return broken(),
        };
        let text = serde_json::json!({
            "user": login.user,
            "csrf": login.csrf,
            "expires_s": login::IDLE.as_secs(),
        });
        let mut answer = json(StatusCode::OK, text.to_string());
        self.set_cookie(&mut answer, &cookie);
        answer
    }

    fn set_cookie(&self, answer: &mut Answer, value: &str) {
        let cookie = login::set_cookie(value, self.peer.encrypted);
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
        }
    }

    /// The login of a request that does something: it has to know the login's token.
    fn acting(&self) -> Result<Arc<Login>, Box<Answer>> {
        let login = self.login_of()?;
        let token = self.head.get("x-csrf-token").map(HeaderValue::as_bytes);
        match token.is_some_and(|token| login::same_secret(token, login.csrf.as_bytes())) {
            true => Ok(login),
            false => Err(refused(
                StatusCode::FORBIDDEN,
                "the header X-CSRF-Token is missing or wrong",
            )),
        }
    }

    fn login_of(&self) -> Result<Arc<Login>, Box<Answer>> {
        let login = self.shared.logins.of(self.head);
        login.ok_or_else(|| refused(StatusCode::UNAUTHORIZED, "log in first"))
    }

    fn logout(&self) -> Answer {
        if let Err(answer) = self.acting() {
            return *answer;
        }
        self.shared.logins.end(self.head);
        let mut answer = json(StatusCode::OK, "{}".into());
        self.set_cookie(&mut answer, "");
        answer
    }

    async fn command(&self, body: Incoming) -> Answer {
        let login = match self.acting() {
            Ok(login) => login,
            Err(answer) => return *answer,
        };
        let call = match self.body(body, MOST_BODY).await {
            Ok(body) => call(&body),
            Err(answer) => return answer,
        };
        let call = match call {
            Ok(call) => call,
            Err(why) => return error(StatusCode::BAD_REQUEST, why),
        };
        let shared = self.shared.clone();
        let Some(place) = shared.place_for_commands().await else {
            return busy(NO_PLACE);
        };
        let mut session = command::session(&shared.engine, self.peer, "console");
        // If the client goes, this future goes, and what it asked for is given up.
        let awaited = Awaited::new(&session);
        let answered = aside(move || {
            let _place = place;
            if !session.sign_in_as(login.user.as_bytes()) {
                return Err(Failed::Closed);
            }
            let allowance = Allowance::new(MOST_BLOCKED);
            command::answer(&shared.workers, &mut session, &call, allowance)
        });
        let answered = answered.await;
        awaited.done();
        match answered {
            Some(Ok(text)) => json(StatusCode::OK, text),
            Some(Err(Failed::Request(why))) => error(StatusCode::BAD_REQUEST, &why),
            Some(Err(Failed::Closed)) => error(
                StatusCode::CONFLICT,
                "the server closed the connection of this command",
            ),
            Some(Err(Failed::Late)) => busy(command::LATE),
            Some(Err(Failed::NotKept(why))) => error(
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("the change could not be kept: {why}"),
            ),
            None => broken(),
        }
    }

    /// Which of some commands the user may run, so that the page offers nothing else. Nothing is run, counted or logged.
    async fn permissions(&self, body: Incoming) -> Answer {
        let login = match self.acting() {
            Ok(login) => login,
            Err(answer) => return *answer,
        };
        let wanted = match self.body(body, MOST_BODY).await {
            Ok(body) => call(&body),
            Err(answer) => return answer,
        };
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(why) => return error(StatusCode::BAD_REQUEST, why),
        };
        let mut session = command::session(&self.shared.engine, self.peer, "console");
        if !session.sign_in_as(login.user.as_bytes()) {
            return error(StatusCode::UNAUTHORIZED, "log in again");
        }
        if wanted.db >= self.shared.engine.keyspace().databases() {
            return error(StatusCode::BAD_REQUEST, "there is no such database");
        }
        session.select(wanted.db);
        let answers = wanted.commands.iter().map(|command| {
            let argv: Vec<&[u8]> = command.iter().map(|arg| &**arg).collect();
            session.check_call(&argv).is_ok().to_string()
        });
        let answers: Vec<String> = answers.collect();
        json(
            StatusCode::OK,
            format!("{{\"may\":[{}]}}", answers.join(",")),
        )
    }

    /// The user's session, for what is no command but shows what a command would.
    fn may(&self, login: &Login, argv: &[&[u8]]) -> Result<(), Box<Answer>> {
        let mut session = command::session(&self.shared.engine, self.peer, "console");
        if !session.sign_in_as(login.user.as_bytes()) {
            return Err(refused(StatusCode::UNAUTHORIZED, "log in again"));
        }
        session
            .check_call(argv)
            .map_err(|why| refused(StatusCode::FORBIDDEN, &why.text()))
    }

    fn history(&self, query: &str) -> Answer {
        let allowed = self
            .login_of()
            .and_then(|login| self.may(&login, &[b"info"]));
        if let Err(answer) = allowed {
            return *answer;
        }
        let seconds = parameters(query)
            .find_map(|(name, value)| (name == "seconds").then_some(value))
            .and_then(|value| value.parse().ok());
        let text = self.shared.history.lock().json(seconds.unwrap_or(3600));
        json(StatusCode::OK, text)
    }

    /// What directives mean, from their table.
    fn directives(&self) -> Answer {
        if let Err(answer) = self.login_of() {
            return *answer;
        }
        let mut all = serde_json::Map::new();
        for row in all_directives() {
            let change = match row.change {
                Change::Startup => "no",
                Change::Runtime => "yes",
                Change::Protected => "protected",
            };
            let about = serde_json::json!({
                "takes": row.kind.describe(),
                "default": row.default,
                "doc": row.doc,
                "change": change,
            });
            for name in std::iter::once(&row.name).chain(row.aliases) {
                all.insert((*name).to_owned(), about.clone());
            }
        }
        json(StatusCode::OK, Value::Object(all).to_string())
    }

    fn events(&self, query: &str) -> Answer {
        let login = match self.login_of() {
            Ok(login) => login,
            Err(answer) => return *answer,
        };
        let mut wanted = Events::default();
        for (name, value) in parameters(query) {
            let on = value != "0" && !value.is_empty();
            match &*name {
                "stats" => wanted.stats = on,
                "slow" => wanted.slow = on,
                "monitor" => wanted.monitor = on,
                "channel" => wanted.channels.push(value),
                "pattern" => wanted.patterns.push(value),
                _ => return error(StatusCode::BAD_REQUEST, "no such event"),
            }
        }
        events::answer_stream(&self.shared, login, self.peer, self.cut.clone(), wanted)
    }
}

/// What a request wants to have run. The error says what is wrong with it.
fn call(body: &Value) -> Result<Call, &'static str> {
    let number = |name: &str, default: u64| match body.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value.as_u64().ok_or("db and limit are numbers"),
    };
    let (single, commands) = match (body.get("args"), body.get("commands")) {
        (Some(args), None) => (true, vec![arguments(args)?]),
        (None, Some(Value::Array(commands))) if commands.len() <= MOST_COMMANDS => {
            let commands = commands.iter().map(arguments);
            (false, commands.collect::<Result<_, _>>()?)
        }
        _ => return Err("either args, or commands, which are 1000 at most"),
    };
    let db = number("db", 0)?;
    Ok(Call {
        db: usize::try_from(db).unwrap_or(usize::MAX),
        commands,
        single,
        limit: number("limit", LIMIT)?.min(MOST_LIMIT) as usize,
    })
}

fn arguments(args: &Value) -> Result<Vec<Vec<u8>>, &'static str> {
    let wrong = "a command is a list of strings and of {\"b64\": ...}";
    let args = args.as_array().filter(|args| !args.is_empty());
    let bytes = |arg: &Value| match arg {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(_) => STANDARD.decode(arg.get("b64")?.as_str()?).ok(),
        _ => None,
    };
    let args = args.and_then(|args| args.iter().map(bytes).collect());
    args.ok_or(wrong)
}

/// The names and values of a query.
fn parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescaped(name), unescaped(value))
        })
}

fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (hex, bytes[at]) {
            (Some(byte), _) => {
                plain.push(byte);
                at += 3;
                continue;
            }
            (None, b'+') => plain.push(b' '),
            (None, byte) => plain.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn calls_are_read() {
        let one = call(&json!({"args": ["GET", {"b64": "/w=="}]})).expect("a call");
        assert_eq!(one.commands, [[b"GET".to_vec(), vec![0xff]]]);
        assert!(one.single && one.db == 0 && one.limit == 65536);
        let two = json!({"commands": [["MULTI"], ["EXEC"]], "db": 3, "limit": 1 << 30});
        let two = call(&two).expect("calls");
        assert_eq!((two.commands.len(), two.db, two.limit), (2, 3, 1 << 20));
        for wrong in [
            json!({}),
            json!([]),
            json!({"args": []}),
            json!({"args": "GET k"}),
            json!({"args": [1]}),
            json!({"args": [{"b64": "?"}]}),
            json!({"args": ["PING"], "db": -1}),
            json!({"args": ["PING"], "commands": [["PING"]]}),
            json!({"commands": [[]]}),
        ] {
            assert!(call(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn queries_are_unescaped() {
        let pairs: Vec<_> = parameters("a=1&channel=x%20y+z&&pattern=%2a%zz%c3%bc&b").collect();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            pairs,
            [
                pair("a", "1"),
                pair("channel", "x y z"),
                pair("pattern", "*%zz\u{fc}"),
                pair("b", "")
            ]
        );
    }
}
