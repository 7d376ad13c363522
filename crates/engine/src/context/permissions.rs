//! What a session may do: its user, as the [gate](crate::context::gate) asks for it, and what follows when users change.
//!
//! A session keeps its user, and takes up a new one before its next command when some user was changed. One without a user may do
//! everything: calls of the program that the engine is part of, and what is read from a log.

use crate::acl::log::{Entry as LogEntry, Kind as Refused};
use crate::acl::rules::has_spaces;
use crate::acl::selector::{Denied, Reason};
use crate::acl::user::User;
use crate::acl::{Changed, DEFAULT_USER};
use crate::base::clock::unix_ms;
use crate::base::error::Error;
use crate::client::clients::Client;
use crate::context::command::Entry;
use crate::context::describe::describe;
use crate::context::engine::Engine;
use crate::context::gate::{EXEC, QUEUE, Request, SCRIPT};
use crate::context::session::Session;
use crate::follow::messages::{KINDS, Kind};
use crate::follow::waiting::MayStill;
use crate::table::renamed::Renamed;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Session {
    /// Takes up what has changed of its user. Before each command, and before the gate is asked about one.
    #[inline(always)]
    pub(crate) fn heed_users(&mut self) {
        if self.engine.users.version() != self.users_version {
            self.renew_user();
        }
    }

    #[cold]
    fn renew_user(&mut self) {
        let engine = self.engine.clone();
        let users = &engine.users;
        let Some(old) = &self.user else {
            self.users_version = users.version();
            return;
        };
        let (user, version) = users.renewed(old);
        match user {
            Some(user) => self.user = Some(user),
            None => {
                // Its connection is being closed. Until then it is nobody.
                self.be(users.default_user());
                self.signed_in = false;
            }
        }
        self.users_version = version;
        self.authenticated = self.signed_in || users.is_open();
        self.unrestricted = self.user.as_ref().is_none_or(|user| user.all);
    }

    /// It is this user from now on, who has shown that it is.
    pub(crate) fn sign_in(&mut self, user: Arc<User>) {
        self.be(user);
        self.signed_in = true;
        self.users_version = 0;
        self.heed_users();
    }

    /// It is what it was when it came: the default user, or without one.
    pub(crate) fn sign_out(&mut self) {
        if self.client.kind == crate::client::clients::Kind::Embedded {
            self.user = None;
            (self.signed_in, self.authenticated, self.unrestricted) = (true, true, true);
            self.client.words.lock().user = "default".into();
            return;
        }
        let default = self.engine.users.default_user();
        self.signed_in = default.nopass && default.enabled;
        self.be(default);
        self.users_version = 0;
        self.heed_users();
    }

    /// Makes the client this user without a password, if there is one that is enabled: for one that has shown in another way who
    /// it is. False if there is not.
    pub fn sign_in_as(&mut self, name: &[u8]) -> bool {
        let user = self.engine.users.get(name).filter(|user| user.enabled);
        match user {
            Some(user) => {
                self.sign_in(user);
                true
            }
            None => false,
        }
    }

    /// The client has shown a certificate that gives it these names: it is the first user who is enabled and has one of them. If there
    /// is none it stays who it is, and that is listed (ACL LOG).
    pub fn sign_in_by_certificate(&mut self, names: &[String]) {
        if names.iter().any(|name| self.sign_in_as(name.as_bytes())) {
            return;
        }
        let engine = self.engine.clone();
        engine.users.denied_certificates.fetch_add(1, Relaxed);
        let name = names.first().map_or("", String::as_str);
        let kind = Refused::Certificate;
        engine.note_refusal(&self.client, "NULL", kind, "toplevel", b"", name.as_bytes());
    }

    fn be(&mut self, user: Arc<User>) {
        self.client.user.store(user.id, Relaxed);
        self.client.words.lock().user = String::from_utf8_lossy(&user.name).into_owned();
        self.user = Some(user);
    }

    /// The name of its user.
    pub(crate) fn user_name(&self) -> &[u8] {
        self.user.as_ref().map_or(DEFAULT_USER, |user| &user.name)
    }

    /// Whether it may make a call; what of it is refused.
    #[inline]
    pub(crate) fn may(&self, entry: &Entry, argv: &[&[u8]]) -> Result<(), Denied> {
        match &self.user {
            Some(user) => user.check(entry, argv, self.db),
            None => Ok(()),
        }
    }

    /// Whether it may make a call, for who serves it in another way than by carrying out a command. The error is the reply that
    /// the command would get; nothing is counted or logged.
    pub fn check_call(&mut self, argv: &[&[u8]]) -> Result<(), Error> {
        self.heed_users();
        let engine = self.engine.clone();
        let Some(entry) = engine.registry().resolve(argv) else {
            return Err(Error::new("ERR unknown command"));
        };
        if !self.authenticated {
            return Err(Error::new("NOAUTH Authentication required."));
        }
        self.may(entry, argv).map_err(|denied| {
            let user = self.user.as_ref();
            let why = user.map(|user| denied.reason.text(user, entry.command.name, None));
            Error::of_bytes([b"NOPERM ", &why.unwrap_or_default()[..]].concat())
        })
    }

    /// For a call that waits: what tells, when it is served, whether the user may still make it. None of a session that may do
    /// everything for good.
    #[cold]
    pub(crate) fn may_still(&self, entry: &Entry, argv: &[&[u8]]) -> Option<MayStill> {
        let user = self.user.clone()?;
        let (engine, id, name) = (Arc::downgrade(&self.engine), entry.id, entry.command.name);
        let (version, db, client) = (self.users_version, self.db, self.client.clone());
        let argv: Vec<Box<[u8]>> = argv.iter().map(|arg| (*arg).into()).collect();
        Some(Box::new(move || {
            let Some(engine) = engine.upgrade().filter(|e| e.users.version() != version) else {
                return Ok(());
            };
            let (now, _) = engine.users.renewed(&user);
            // Whose user is gone is closed.
            let now = now.unwrap_or_else(|| user.clone());
            let argv: Vec<&[u8]> = argv.iter().map(|arg| &**arg).collect();
            let Some(entry) = engine.registry().by_full_name(name.as_bytes()) else {
                return Ok(());
            };
            debug_assert_eq!(entry.id, id);
            now.check(entry, &argv, db).map_err(|denied| {
                let (reason, object) = (denied.reason, refused(&denied, name, &argv));
                engine.users.count(reason);
                let kind = Refused::Permission(reason);
                engine.note_refusal(&client, name, kind, "toplevel", object, &now.name);
                Error::of_bytes([b"NOPERM ", &reason.text(&now, name, None)[..]].concat())
            })
        }))
    }

    /// Whether it may make a call that reads keys which nobody knows before.
    pub(crate) fn may_read_all_keys(&self, entry: &Entry, argv: &[&[u8]]) -> bool {
        let user = self.user.as_ref();
        user.is_none_or(|user| user.reads_all_keys(entry, argv, self.db))
    }
}

/// What of a call is refused, as ACL LOG names it.
fn refused<'a>(denied: &Denied, command: &'a str, argv: &[&'a [u8]]) -> &'a [u8] {
    match denied.reason {
        Reason::Command | Reason::Database if denied.at == 0 => command.as_bytes(),
        _ => argv.get(denied.at).copied().unwrap_or_default(),
    }
}

/// Notes that a call is refused; the error for the client.
#[cold]
pub(crate) fn refusal(
    request: &Request<'_>,
    session: &Session,
    entry: &Entry,
    denied: Denied,
    way: u8,
) -> Error {
    let Some(user) = &session.user else {
        return Error::INTERNAL;
    };
    let (reason, command) = (denied.reason, entry.command.name);
    let object = refused(&denied, command, request.argv);
    let context = match way {
        SCRIPT => "lua",
        QUEUE | EXEC => "multi",
        _ => "toplevel",
    };
    let engine = request.engine;
    engine.users.count(reason);
    let kind = Refused::Permission(reason);
    let client = &session.client;
    engine.note_refusal(client, request.within, kind, context, object, &user.name);
    let why = reason.text(user, command, None);
    let why = String::from_utf8_lossy(&why);
    Error::new(match way {
        SCRIPT => format!("ERR ACL failure in script: {why}"),
        EXEC => format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command \
             is no longer allowed for the following reason: {}",
            match reason {
                Reason::Command => "no permission to execute the command or subcommand",
                Reason::Key => "no permission to touch the specified keys",
                Reason::Channel => {
                    "no permission to access one of the channels used as arguments to the command"
                }
                Reason::Database => "no permission to access the database",
            }
        ),
        _ => format!("NOPERM {why}"),
    })
}

impl Engine {
    /// Adds a refusal to ACL LOG. `command`: what the client is doing.
    pub(crate) fn note_refusal(
        &self,
        client: &Client,
        command: &str,
        kind: Refused,
        context: &'static str,
        object: &[u8],
        user: &[u8],
    ) {
        let now_ms = unix_ms();
        let mut line = String::new();
        describe(client, true, now_ms / 1000, command, &mut line);
        line.truncate(line.trim_end().len());
        let entry = LogEntry {
            number: 0,
            count: 1,
            kind,
            context,
            object: object.into(),
            user: user.into(),
            client: line,
            created_ms: now_ms,
            updated_ms: now_ms,
        };
        let most = self.config().number("acllog-max-len") as usize;
        self.users.log.lock().add(entry, most);
    }

    /// Whether new users may listen to all channels.
    pub(crate) fn all_channels_by_default(&self) -> bool {
        self.config().text("acl-pubsub-default") == "allchannels"
    }

    /// Closes the connections of those who are no user any more, or who listen to what they may not. True if the session is
    /// among them, whose connection is the handler's to close.
    pub(crate) fn disconnect(&self, changed: &Changed, session: &Session) -> bool {
        let mut me = false;
        let mut close = |client: &Client| {
            if client.user.load(Relaxed) == changed.id {
                if client.id == session.client.id {
                    me = true;
                } else {
                    client.kill();
                }
            }
        };
        match &changed.now {
            None => {
                self.clients()
                    .list()
                    .iter()
                    .for_each(|client| close(client));
                close(&session.client);
            }
            Some(user) if changed.fewer_channels => {
                for kind in KINDS {
                    self.follow.pubsub.of(kind).each(|name, subscribers| {
                        if !user.allows_channel(name, kind == Kind::Pattern) {
                            subscribers.iter().for_each(|client| close(client));
                        }
                    });
                }
            }
            Some(_) => {}
        }
        me
    }

    /// Loads the users of the configuration: its `user` lines, or the file that `aclfile` names; and the names that it gives to
    /// commands. The error is one line. Once, before there are clients; later calls do nothing.
    pub fn load_users(&self) -> Result<(), String> {
        if self.users_loaded.swap(true, Relaxed) {
            return Ok(());
        }
        self.rename_commands()?;
        let config = self.config();
        let file = config.text("aclfile");
        if config.users().is_empty() {
            return match file.is_empty() {
                true => Ok(()),
                false => self
                    .load_user_file()
                    .map(drop)
                    .map_err(|why| format!("The users cannot be loaded: {why}")),
            };
        }
        if !file.is_empty() {
            return Err(
                "There are users in the configuration and an aclfile: they have to stand in one place or the other"
                    .into(),
            );
        }
        for (name, rules) in config.users() {
            if has_spaces(name.as_bytes()) {
                return Err("Spaces not allowed in ACL usernames".into());
            }
            let mut words: Vec<&[u8]> = rules.iter().map(String::as_bytes).collect();
            if name.as_bytes() == DEFAULT_USER {
                words.insert(0, b"reset");
            }
            self.users
                .set(name.as_bytes(), &words, self.all_channels_by_default())
                .map_err(|why| {
                    let why = String::from_utf8_lossy(&why).into_owned();
                    // A modifier that is wrong may be a password.
                    let why = why.rsplit_once("': ").map_or(&*why, |(_, why)| why);
                    format!("Error in user declaration '{name}': {why}")
                })?;
        }
        Ok(())
    }

    /// Has clients call commands as the configuration's lines with `rename-command` say.
    fn rename_commands(&self) -> Result<(), String> {
        let mut renamed = Renamed::default();
        for (from, to) in self.config().renames() {
            renamed
                .rename(self.registry(), from, to)
                .map_err(|why| format!("rename-command {from} \"{to}\": {why}"))?;
        }
        if !self.config().renames().is_empty() {
            let _ = self.renamed.set(renamed);
        }
        Ok(())
    }

    /// Replaces all users by those of the ACL file, or by none if something is wrong with it.
    pub(crate) fn load_user_file(&self) -> Result<Vec<Changed>, String> {
        let path = self.config().text("aclfile");
        let text = self
            .host()
            .read_file(Path::new(&path))
            .map_err(|why| format!("Error loading ACLs, opening file '{path}': {why}"))?;
        self.users
            .load(&path, &text, self.all_channels_by_default())
    }

    /// Writes all users to the ACL file.
    pub(crate) fn save_user_file(&self) -> Result<(), String> {
        let path = self.config().text("aclfile");
        let mut text = Vec::new();
        for line in self.users.lines() {
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
        self.host().replace_file(Path::new(&path), &text)
    }

    /// Whether the default user needs no password: then protected mode lets in only who is on this machine.
    pub fn is_without_password(&self) -> bool {
        self.users.default_has_no_password()
    }

    /// What the name of a client's user may be, for CLIENT KILL USER and its kin.
    pub(crate) fn has_user(&self, name: &[u8]) -> bool {
        self.users.get(name).is_some()
    }
}
