//! TLS on the client's side: whom to trust, who one is, which ciphers.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedCipherSuite,
};
use std::path::Path;
use std::sync::Arc;

/// What the options say of TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// The name that the server's certificate must have, where it is not the host's.
    pub sni: Option<String>,
    /// A file of certificates to trust.
    pub cacert: Option<String>,
    /// A folder of such files.
    pub cacert_dir: Option<String>,
    /// Whether any certificate is good.
    pub insecure: bool,
    /// One's own certificate ...
    pub cert: Option<String>,
    /// ... and its key.
    pub key: Option<String>,
    /// Ciphers of TLS 1.2, by OpenSSL's names.
    pub ciphers: Option<String>,
    /// Ciphers of TLS 1.3, by OpenSSL's names.
    pub ciphersuites: Option<String>,
}

impl TlsOptions {
    /// The client's side of a connection to `host`. The error is one line.
    pub fn client(&self, host: &str) -> Result<ClientConnection, String> {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: self.suites()?,
            ..ring::default_provider()
        });
        let schemes = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS: {error}"))?;
        let builder = if self.insecure {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(schemes)))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let config = match (&self.cert, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates(Path::new(cert))?, private_key(key)?)
                .map_err(|error| format!("{cert} with {key}: {error}"))?,
            _ => return Err("--cert and --key go together".into()),
        };
        let name = self.sni.as_deref().unwrap_or(host).to_owned();
        let server = ServerName::try_from(name.clone())
            .map_err(|_| format!("{name} is no name that a certificate can have"))?;
        ClientConnection::new(Arc::new(config), server).map_err(|error| format!("TLS: {error}"))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut found = Vec::new();
        if let Some(file) = &self.cacert {
            found.extend(certificates(Path::new(file))?);
        }
        if let Some(dir) = &self.cacert_dir {
            let entries = std::fs::read_dir(dir).map_err(|error| format!("{dir}: {error}"))?;
            for entry in entries {
                let path = entry.map_err(|error| format!("{dir}: {error}"))?.path();
                // Such folders hold other files, too.
                found.extend(certificates(&path).unwrap_or_default());
            }
        }
        if self.cacert.is_none() && self.cacert_dir.is_none() {
            found = rustls_native_certs::load_native_certs().certs;
        }
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found);
        match added {
            0 => Err(
                "no certificate to trust was found; see --cacert, --cacertdir and --insecure"
                    .into(),
            ),
            _ => Ok(roots),
        }
    }

    fn suites(&self) -> Result<Vec<SupportedCipherSuite>, String> {
        let all = ring::ALL_CIPHER_SUITES;
        let (new, old): (Vec<_>, Vec<_>) = all
            .iter()
            .copied()
            .partition(|suite| suite.tls13().is_some());
        let mut chosen = pick("--tls-ciphersuites", self.ciphersuites.as_deref(), new)?;
        chosen.extend(pick("--tls-ciphers", self.ciphers.as_deref(), old)?);
        Ok(chosen)
    }
}

/// Those of `from` that a list with colons names, in its order; all, if there is no list.
fn pick(
    option: &str,
    list: Option<&str>,
    from: Vec<SupportedCipherSuite>,
) -> Result<Vec<SupportedCipherSuite>, String> {
    let Some(list) = list else {
        return Ok(from);
    };
    let named = list.split(':').filter_map(|name| {
        from.iter()
            .find(|suite| openssl_name(suite).eq_ignore_ascii_case(name))
    });
    let named: Vec<SupportedCipherSuite> = named.copied().collect();
    if named.is_empty() {
        let known: Vec<String> = from.iter().map(openssl_name).collect();
        return Err(format!(
            "{option}: none of {list} is supported; there are {}",
            known.join(":")
        ));
    }
    Ok(named)
}

/// What OpenSSL calls a suite: `TLS_AES_128_GCM_SHA256`, `ECDHE-RSA-AES128-GCM-SHA256`.
fn openssl_name(suite: &SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    if let Some(rest) = name.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    name.trim_start_matches("TLS_")
        .replace("_WITH", "")
        .replace("AES_", "AES")
        .replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305")
        .replace('_', "-")
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let say = |why: String| format!("{}: {why}", path.display());
    let bytes = std::fs::read(path).map_err(|error| say(error.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(say("no certificate in PEM form is in it".into())),
    }
}

fn private_key(path: &str) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| format!("{path}: no private key in PEM form is in it"))
}

/// Trusts every certificate (`--insecure`), but still checks that the server has its key.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_the_names_that_people_know() {
        let names: Vec<String> = ring::ALL_CIPHER_SUITES.iter().map(openssl_name).collect();
        for known in [
            "TLS_AES_128_GCM_SHA256",
            "TLS_CHACHA20_POLY1305_SHA256",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
        ] {
            assert!(names.iter().any(|name| name == known), "{names:?}");
        }
        let options = TlsOptions {
            ciphers: Some("NO-SUCH".into()),
            ..TlsOptions::default()
        };
        assert!(options.suites().is_err());
    }
}
