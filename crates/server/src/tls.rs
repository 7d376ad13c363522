//! TLS as the configuration asks for it: certificates, keys, whom to trust, versions and ciphers.
//!
//! All of it is read into a [`Tls`] at once, so that what is in use always fits together. CONFIG SET of any `tls-` directive
//! reads it anew; handshakes that begin from then on use it, and connections that are open stay as they are.

use engine::config::Config;
use pkcs8::EncryptedPrivateKeyInfo;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, StoresServerSessions, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use parking_lot::Mutex;

/// Sessions kept when `tls-session-cache-size` sets no bound: clients choose how many there are.
const MOST_SESSIONS: usize = 1 << 20;

/// What handshakes are made with.
pub(crate) struct Tls {
    pub config: Arc<ServerConfig>,
    /// Of all that was read from files: to see whether they have changed.
    fingerprint: u64,
    /// The server's certificate.
    own: Option<Facts>,
    /// The one that it shows to other servers, if that is another.
    as_client: Option<Facts>,
    /// Of those that clients' certificates must come from, the one that expires first.
    authority: Option<Facts>,
}

/// What is told of a certificate.
#[derive(Clone, Debug)]
struct Facts {
    serial: String,
    end: SystemTime,
}

impl Facts {
    fn of(der: &CertificateDer<'_>) -> Option<Facts> {
        let certificate = Certificate::from_der(der).ok()?.tbs_certificate;
        let serial = certificate.serial_number.as_bytes();
        Some(Facts {
            serial: serial.iter().map(|byte| format!("{byte:02X}")).collect(),
            end: certificate.validity.not_after.to_system_time(),
        })
    }
}

/// INFO's lines about the certificates that are in use.
pub(crate) fn info(tls: Option<&Tls>, into: &mut String) {
    use std::fmt::Write;
    let of = |get: fn(&Tls) -> Option<&Facts>| tls.and_then(get);
    let now = SystemTime::now();
    for (name, facts) in [
        ("server", of(|tls| tls.own.as_ref())),
        ("client", of(|tls| tls.as_client.as_ref())),
        ("ca", of(|tls| tls.authority.as_ref())),
    ] {
        let serial = facts.map_or("none", |facts| &facts.serial);
        let left = facts.and_then(|facts| facts.end.duration_since(now).ok());
        let left = left.map_or(0, |left| left.as_secs());
        let _ = write!(
            into,
            "tls_{name}_cert_serial:{serial}\r\ntls_{name}_cert_expires_in_seconds:{left}\r\n"
        );
    }
}

/// The names that a client's certificate gives it, by `tls-auth-clients-user`; None if it is not asked for one.
pub(crate) fn names(
    config: &Config,
    shown: Option<&[CertificateDer<'static>]>,
) -> Option<Vec<String>> {
    let certificate = Certificate::from_der(shown?.first()?).ok()?.tbs_certificate;
    match config.text("tls-auth-clients-user").as_str() {
        "cn" => {
            let parts = certificate.subject.0.iter().flat_map(|part| part.0.iter());
            let names = parts.filter(|part| part.oid == COMMON_NAME);
            let texts = names.filter_map(|part| str::from_utf8(part.value.value()).ok());
            Some(texts.take(1).map(str::to_owned).collect())
        }
        "uri" => {
            let others = certificate.get::<SubjectAltName>().ok().flatten();
            let others = others.map(|(_, names)| names.0).unwrap_or_default();
            let uri = |name: &GeneralName| match name {
                GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
                _ => None,
            };
            Some(others.iter().filter_map(uri).collect())
        }
        _ => None,
    }
}

/// The type of the part of a name that people call its common name.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not what it holds: a part of it is a private key.
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads everything that the configuration names. The error is one line that says what cannot be used and why.
    pub fn load(config: &Config) -> Result<Tls, String> {
        let mut files = Files::default();
        let provider = provider(config)?;
        let versions = versions(&config.text("tls-protocols"))?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|_| "tls-protocols and the ciphers leave nothing to agree on".to_owned())?;
        let mut authority = None;
        let builder = match config.text("tls-auth-clients").as_str() {
            "no" => builder.with_no_client_auth(),
            wanted => {
                let roots = Arc::new(roots(config, &mut files, &mut authority)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = if wanted == "optional" {
                    verifier.allow_unauthenticated()
                } else {
                    verifier
                };
                let verifier = verifier
                    .build()
                    .map_err(|error| format!("tls-ca-cert-file: {error}"))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let as_client = match config.text(OF_CLIENT.certificate) {
            unset if unset.is_empty() => None,
            name => {
                let facts = Facts::of(&chain(config, &OF_CLIENT, &mut files)?[0]);
                warn_of_expiry(facts.as_ref(), &name);
                facts
            }
        };
        let chain = chain(config, &OF_SERVER, &mut files)?;
        let key = key(config, &OF_SERVER, &mut files)?;
        let own = Facts::of(&chain[0]);
        warn_of_expiry(own.as_ref(), &config.text("tls-cert-file"));
        let mut tls = builder.with_single_cert(chain, key).map_err(|error| {
            let (cert, key) = (config.text("tls-cert-file"), config.text("tls-key-file"));
            match error {
                rustls::Error::InconsistentKeys(_) => {
                    format!("tls-key-file '{key}' is not the key of tls-cert-file '{cert}'")
                }
                other => format!("tls-cert-file '{cert}' with tls-key-file '{key}': {other}"),
            }
        })?;
        tls.ignore_client_order = config.flag("tls-prefer-server-ciphers");
        if config.flag("tls-session-caching") {
            tls.session_storage = Arc::new(Sessions::new(
                config.number("tls-session-cache-size") as usize,
                Duration::from_secs(config.number("tls-session-cache-timeout") as u64),
            ));
        } else {
            tls.session_storage = Arc::new(NoServerSessionStorage {});
            tls.send_tls13_tickets = 0;
        }
        Ok(Tls {
            config: Arc::new(tls),
            fingerprint: files.0.finish(),
            own,
            as_client,
            authority,
        })
    }

    /// Whether another was made from the same files.
    pub fn same_files(&self, other: &Tls) -> bool {
        self.fingerprint == other.fingerprint
    }
}

/// What handshakes are made with now, for all who make them.
#[derive(Debug, Default)]
pub(crate) struct Certificates(Mutex<Option<Arc<Tls>>>);

impl Certificates {
    /// None while there is no port for TLS.
    pub fn current(&self) -> Option<Arc<Tls>> {
        self.0.lock().clone()
    }

    /// Reads certificates and keys, if there is a port for TLS. What was read before stays in use if the new cannot be used.
    pub fn load(&self, config: &Config) -> Result<(), String> {
        let for_http = config.http_port() != 0 && config.flag("http-tls");
        let new = if config.tls_port() == 0 && !for_http {
            None
        } else {
            Some(Arc::new(Tls::load(config)?))
        };
        *self.0.lock() = new;
        Ok(())
    }

    /// Reads certificates and keys anew if their files have changed.
    pub fn reload_if_changed(&self, config: &Config) {
        let Some(old) = self.current() else { return };
        match Tls::load(config) {
            Ok(new) if new.same_files(&old) => {}
            Ok(new) => {
                tracing::info!("The certificates have changed; new connections get the new ones");
                *self.0.lock() = Some(Arc::new(new));
            }
            Err(error) => tracing::warn!("The certificates were not read anew: {error}"),
        }
    }
}

/// What this server is as the client of another: a configuration that shows its certificate, if it has one, and whom it trusts.
pub(crate) fn as_client(config: &Config) -> Result<(rustls::ClientConfig, RootCertStore), String> {
    let mut files = Files::default();
    let versions = versions(&config.text("tls-protocols"))?;
    let roots = roots(config, &mut files, &mut None)?;
    let builder = rustls::ClientConfig::builder_with_provider(provider(config)?)
        .with_protocol_versions(&versions)
        .map_err(|_| "tls-protocols and the ciphers leave nothing to agree on".to_owned())?
        .with_root_certificates(roots.clone());
    let own = match config.text("tls-client-cert-file").is_empty() {
        true => &OF_SERVER,
        false => &OF_CLIENT,
    };
    if config.text(own.certificate).is_empty() {
        return Ok((builder.with_no_client_auth(), roots));
    }
    let client = builder
        .with_client_auth_cert(
            chain(config, own, &mut files)?,
            key(config, own, &mut files)?,
        )
        .map_err(|error| format!("{}: {error}", own.certificate))?;
    Ok((client, roots))
}

/// The directives that name a certificate and its key.
struct Own {
    certificate: &'static str,
    key: &'static str,
    password: &'static str,
}

const OF_SERVER: Own = Own {
    certificate: "tls-cert-file",
    key: "tls-key-file",
    password: "tls-key-file-pass",
};

const OF_CLIENT: Own = Own {
    certificate: "tls-client-cert-file",
    key: "tls-client-key-file",
    password: "tls-client-key-file-pass",
};

/// Reads files and remembers what was in them.
#[derive(Default)]
struct Files(DefaultHasher);

impl Files {
    /// The contents of the file that a directive names.
    fn read(&mut self, directive: &str, path: &Path) -> Result<Vec<u8>, String> {
        let bytes = std::fs::read(path).map_err(|error| {
            format!(
                "{directive} '{}': {}",
                path.display(),
                crate::system::reason(&error)
            )
        })?;
        bytes.hash(&mut self.0);
        Ok(bytes)
    }
}

/// The certificates of a file in PEM form.
fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err("no certificate in PEM form is in it".into()),
        Ok(found) => match found
            .iter()
            .find_map(|der| Certificate::from_der(der).err())
        {
            Some(error) => Err(format!("it holds what is no certificate ({error})")),
            None => Ok(found),
        },
        Err(error) => Err(format!("it is not in PEM form ({error})")),
    }
}

fn chain(
    config: &Config,
    own: &Own,
    files: &mut Files,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let name = own.certificate;
    let path = config.text(name);
    if path.is_empty() {
        return Err(format!("TLS needs a certificate: {name} is not set"));
    }
    let bytes = files.read(name, path.as_ref())?;
    certificates(&bytes).map_err(|why| format!("{name} '{path}': {why}"))
}

fn key(config: &Config, own: &Own, files: &mut Files) -> Result<PrivateKeyDer<'static>, String> {
    let name = own.key;
    let path = config.text(name);
    if path.is_empty() {
        return Err(format!("TLS needs a private key: {name} is not set"));
    }
    let fail = |why: &str| format!("{name} '{path}': {why}");
    let bytes = files.read(name, path.as_ref())?;
    let text = String::from_utf8_lossy(&bytes);
    if let Some(start) = text.find("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        let password = config.text(own.password);
        if password.is_empty() {
            return Err(fail(&format!(
                "a password protects it, and {} is not set",
                own.password
            )));
        }
        let (_, document) = pkcs8::SecretDocument::from_pem(&text[start..])
            .map_err(|error| fail(&format!("it is not in PEM form ({error})")))?;
        let key = EncryptedPrivateKeyInfo::try_from(document.as_bytes())
            .map_err(|error| fail(&error.to_string()))?
            .decrypt(password)
            .map_err(|_| fail(&format!("{} does not open it", own.password)))?;
        return Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into());
    }
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(fail(
            "it is encrypted in a form that is not supported; `openssl pkcs8 -topk8` makes the supported one of it",
        ));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| fail("no private key in PEM form is in it"))
}

/// Whom clients' certificates must come from.
fn roots(
    config: &Config,
    files: &mut Files,
    first: &mut Option<Facts>,
) -> Result<RootCertStore, String> {
    let mut note = |certificate: &CertificateDer<'_>| {
        let found = Facts::of(certificate);
        if let Some(facts) = found.filter(|f| first.as_ref().is_none_or(|first| f.end < first.end))
        {
            *first = Some(facts);
        }
    };
    let (file, dir) = (
        config.text("tls-ca-cert-file"),
        config.text("tls-ca-cert-dir"),
    );
    if file.is_empty() && dir.is_empty() {
        return Err("tls-auth-clients needs to know whom to trust: set tls-ca-cert-file or tls-ca-cert-dir, or tls-auth-clients to no".into());
    }
    let mut roots = RootCertStore::empty();
    if !file.is_empty() {
        let fail = |why: String| format!("tls-ca-cert-file '{file}': {why}");
        let bytes = files.read("tls-ca-cert-file", file.as_ref())?;
        for certificate in certificates(&bytes).map_err(fail)? {
            note(&certificate);
            roots
                .add(certificate)
                .map_err(|error| fail(error.to_string()))?;
        }
    }
    if !dir.is_empty() {
        let fail = |why: String| format!("tls-ca-cert-dir '{dir}': {why}");
        let entries =
            std::fs::read_dir(&dir).map_err(|error| fail(crate::system::reason(&error)))?;
        let mut paths: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.is_file()) {
            // Such folders hold other things too, lists of revoked certificates for one.
            let bytes = files.read("tls-ca-cert-dir", path)?;
            let found = certificates(&bytes).unwrap_or_default();
            found.iter().for_each(&mut note);
            roots.add_parsable_certificates(found);
        }
    }
    if roots.is_empty() {
        return Err(format!(
            "tls-ca-cert-dir '{dir}': no certificate in PEM form is in it"
        ));
    }
    Ok(roots)
}

/// A certificate past its time is served, as by other servers, since clients may not care; but it is said.
fn warn_of_expiry(certificate: Option<&Facts>, path: &str) {
    if certificate.is_some_and(|facts| facts.end < SystemTime::now()) {
        tracing::warn!(
            "tls-cert-file '{path}' has expired: clients that check it will not connect"
        );
    }
}

/// The versions that a list of OpenSSL's names allows; all that are there if it is empty.
fn versions(names: &str) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let mut versions = Vec::new();
    for name in names.split_whitespace() {
        versions.push(match name.to_ascii_lowercase().as_str() {
            "tlsv1.2" => &rustls::version::TLS12,
            "tlsv1.3" => &rustls::version::TLS13,
            "tlsv1" | "tlsv1.0" | "tlsv1.1" => {
                return Err(format!(
                    "tls-protocols: {name} is not supported, because it is broken"
                ));
            }
            _ => {
                return Err(format!(
                    "tls-protocols: '{name}' is none of TLSv1.2 and TLSv1.3"
                ));
            }
        });
    }
    if versions.is_empty() {
        versions = vec![&rustls::version::TLS13, &rustls::version::TLS12];
    }
    Ok(versions)
}

/// The ciphers that `tls-ciphers` and `tls-ciphersuites` leave, in their order.
fn provider(config: &Config) -> Result<Arc<CryptoProvider>, String> {
    let mut provider = ring::default_provider();
    let is_13 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
    let (new, old): (Vec<_>, Vec<_>) = provider.cipher_suites.iter().copied().partition(is_13);
    let mut suites = chosen_13(&config.text("tls-ciphersuites"), &new)?;
    suites.extend(chosen_12(&config.text("tls-ciphers"), &old)?);
    provider.cipher_suites = suites;
    Ok(Arc::new(provider))
}

/// The suites of TLS 1.3 that a list names, `TLS_AES_128_GCM_SHA256:...`; all of them if it is empty.
fn chosen_13(
    list: &str,
    all: &[SupportedCipherSuite],
) -> Result<Vec<SupportedCipherSuite>, String> {
    let mut chosen = Vec::new();
    for name in list.split([':', ',', ' ']).filter(|name| !name.is_empty()) {
        let suite = all
            .iter()
            .find(|suite| name_13(suite).eq_ignore_ascii_case(name));
        chosen.push(*suite.ok_or_else(|| {
            let names: Vec<String> = all.iter().map(name_13).collect();
            format!("tls-ciphersuites: '{name}' is none of {}", names.join(", "))
        })?);
    }
    Ok(if chosen.is_empty() {
        all.to_vec()
    } else {
        chosen
    })
}

fn name_13(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}

/// The suites of TLS 1.2 that a list in OpenSSL's notation leaves; all of them if it is empty.
///
/// Names and kinds of ciphers that there are none of are passed over, as by OpenSSL, so that lists made for other servers
/// hold; a list that leaves none is an error.
fn chosen_12(
    list: &str,
    all: &[SupportedCipherSuite],
) -> Result<Vec<SupportedCipherSuite>, String> {
    if list.is_empty() {
        return Ok(all.to_vec());
    }
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    let mut banned: Vec<SupportedCipherSuite> = Vec::new();
    for word in list.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
        if word.starts_with('@') {
            continue;
        }
        let (sign, kinds) = match word.split_at(1) {
            (sign @ ("!" | "-" | "+"), kinds) => (sign, kinds),
            _ => ("", word),
        };
        let meant: Vec<SupportedCipherSuite> = all
            .iter()
            .copied()
            .filter(|suite| kinds.split('+').all(|kind| is_of_kind(suite, kind)))
            .collect();
        match sign {
            "" => {
                let new = meant
                    .iter()
                    .filter(|suite| !chosen.contains(suite) && !banned.contains(suite));
                let new: Vec<_> = new.copied().collect();
                chosen.extend(new);
            }
            "+" => {
                let (last, first): (Vec<_>, Vec<_>) = chosen
                    .iter()
                    .copied()
                    .partition(|suite| meant.contains(suite));
                chosen = [first, last].concat();
            }
            _ => {
                chosen.retain(|suite| !meant.contains(suite));
                if sign == "!" {
                    banned.extend(meant);
                }
            }
        }
    }
    if chosen.is_empty() {
        let names: Vec<String> = all.iter().map(name_12).collect();
        return Err(format!(
            "tls-ciphers '{list}' leaves none of {}",
            names.join(", ")
        ));
    }
    Ok(chosen)
}

/// OpenSSL's name of a suite of TLS 1.2.
fn name_12(suite: &SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    let name = name
        .trim_start_matches("TLS_")
        .replace("_WITH_", "_")
        .replace('_', "-");
    name.replace("AES-", "AES")
        .replace("CHACHA20-POLY1305-SHA256", "CHACHA20-POLY1305")
}

/// Whether a suite is what a word of OpenSSL's notation stands for.
fn is_of_kind(suite: &SupportedCipherSuite, kind: &str) -> bool {
    let name = name_12(suite);
    let has = |part: &str| name.contains(part);
    match kind.to_ascii_uppercase().as_str() {
        "ALL" | "DEFAULT" | "HIGH" | "TLSV1.2" | "ECDHE" | "EECDH" | "KEECDH" | "KECDHE"
        | "AEAD" | "FIPS" => true,
        "AES" => has("AES"),
        "AESGCM" => has("GCM"),
        "AES128" => has("AES128"),
        "AES256" => has("AES256"),
        "CHACHA20" => has("CHACHA20"),
        "ECDSA" | "AECDSA" => has("ECDSA"),
        "RSA" | "ARSA" => has("RSA"),
        "SHA256" => name.ends_with("SHA256"),
        "SHA384" => name.ends_with("SHA384"),
        other => name.eq_ignore_ascii_case(other),
    }
}

/// Sessions that clients may resume, the oldest forgotten first.
struct Sessions {
    most: usize,
    /// How long one may be resumed; zero for ever.
    life: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    sessions: HashMap<Vec<u8>, (Instant, Vec<u8>)>,
    /// In the order in which they came; some are gone already.
    order: VecDeque<Vec<u8>>,
}

impl Sessions {
    fn new(most: usize, life: Duration) -> Sessions {
        Sessions {
            most: if most == 0 { MOST_SESSIONS } else { most },
            life,
            kept: Mutex::default(),
        }
    }

    fn is_alive(&self, since: Instant) -> bool {
        self.life.is_zero() || since.elapsed() < self.life
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the sessions: they are secrets.
        f.debug_struct("Sessions")
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let mut kept = self.kept.lock();
        kept.sessions.insert(key.clone(), (Instant::now(), value));
        kept.order.push_back(key);
        // The order may also hold ones that were taken: it must not grow for ever by these.
        while kept.order.len() > self.most {
            if let Some(oldest) = kept.order.pop_front() {
                kept.sessions.remove(&oldest);
            }
        }
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let kept = self.kept.lock();
        let (since, value) = kept.sessions.get(key)?;
        self.is_alive(*since).then(|| value.clone())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let (since, value) = self.kept.lock().sessions.remove(key)?;
        self.is_alive(since).then_some(value)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suites_12() -> Vec<SupportedCipherSuite> {
        let all = ring::default_provider().cipher_suites;
        all.into_iter()
            .filter(|suite| suite.tls13().is_none())
            .collect()
    }

    fn named(list: &str) -> Result<Vec<String>, String> {
        chosen_12(list, &suites_12()).map(|chosen| chosen.iter().map(name_12).collect())
    }

    #[test]
    fn cipher_lists_are_those_of_openssl() {
        let all = [
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-RSA-CHACHA20-POLY1305",
        ];
        assert_eq!(named("").unwrap(), all);
        assert_eq!(named("DEFAULT:!MEDIUM").unwrap(), all);
        assert_eq!(named("HIGH:!aNULL:!MD5").unwrap(), all);
        assert_eq!(
            named("ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA:RC4").unwrap(),
            [all[4]]
        );
        assert_eq!(
            named("ECDSA+CHACHA20:RSA+AES256").unwrap(),
            [all[2], all[3]]
        );
        assert_eq!(named("ALL:!RSA:+AES256").unwrap(), [all[1], all[2], all[0]]);
        assert_eq!(named("!AES128:ALL:-ECDSA").unwrap(), [all[3], all[5]]);
        assert!(
            named("RC4-SHA")
                .unwrap_err()
                .contains("leaves none of ECDHE-ECDSA-AES256")
        );
        assert!(named("COMPLEMENTOFALL").is_err());
    }

    #[test]
    fn suites_of_1_3_and_versions_are_named_exactly() {
        let all: Vec<_> = ring::default_provider()
            .cipher_suites
            .into_iter()
            .filter(|suite| suite.tls13().is_some())
            .collect();
        let named =
            |list: &str| chosen_13(list, &all).map(|c| c.iter().map(name_13).collect::<Vec<_>>());
        assert_eq!(
            named("TLS_CHACHA20_POLY1305_SHA256:tls_aes_128_gcm_sha256").unwrap(),
            ["TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"]
        );
        assert_eq!(named("").unwrap().len(), 3);
        assert!(
            named("TLS_AES_128_CCM_SHA256")
                .unwrap_err()
                .contains("is none of TLS_AES_256_GCM_SHA384")
        );
        assert_eq!(versions("").unwrap().len(), 2);
        assert_eq!(versions("TLSv1.3").unwrap(), [&rustls::version::TLS13]);
        assert!(versions("TLSv1.1 TLSv1.2").unwrap_err().contains("broken"));
        assert!(versions("SSLv3").is_err());
    }

    #[test]
    fn sessions_are_bounded_and_do_not_live_for_ever() {
        let sessions = Sessions::new(2, Duration::from_secs(300));
        for key in [b"a", b"b", b"c"] {
            sessions.put(key.to_vec(), key.to_vec());
        }
        assert_eq!(sessions.get(b"a"), None);
        assert_eq!(sessions.get(b"b"), Some(b"b".to_vec()));
        assert_eq!(sessions.take(b"c"), Some(b"c".to_vec()));
        assert_eq!(sessions.take(b"c"), None);
        for number in 0..100u32 {
            sessions.put(number.to_le_bytes().to_vec(), Vec::new());
            sessions.take(&number.to_le_bytes());
        }
        assert!(sessions.kept.lock().order.len() <= 2);
        let short = Sessions::new(2, Duration::from_nanos(1));
        short.put(vec![1], vec![1]);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(short.get(&[1]), None);
    }
}
