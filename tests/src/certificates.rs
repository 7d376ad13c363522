//! Certificates for the tests of TLS: good ones, and such as must be refused.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use std::path::{Path, PathBuf};

/// A certificate with its key, as files.
pub struct Pair {
    /// The certificate's file.
    pub cert: PathBuf,
    /// The key's.
    pub key: PathBuf,
}

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

impl Authority {
    /// One of this name, whom nobody trusts yet.
    pub fn new(name: &str) -> Authority {
        let key = KeyPair::generate().expect("certificates can be made");
        let mut params = CertificateParams::new([]).expect("certificates can be made");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params
            .self_signed(&key)
            .expect("certificates can be made")
            .pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate in a folder, good for hosts and URIs, or expired years ago.
    pub fn sign(&self, dir: &Path, name: &str, good_for: &[&str], expired: bool) -> Pair {
        let key = KeyPair::generate().expect("certificates can be made");
        let (uris, names): (Vec<&str>, Vec<&str>) =
            good_for.iter().partition(|name| name.contains("://"));
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(names).expect("certificates can be made");
        for uri in uris {
            let uri = SanType::URI(uri.try_into().expect("certificates can be made"));
            params.subject_alt_names.push(uri);
        }
        params.distinguished_name.push(DnType::CommonName, name);
        if expired {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let cert = params
            .signed_by(&key, &self.issuer)
            .expect("certificates can be made");
        let pair = Pair {
            cert: dir.join(format!("{name}.crt")),
            key: dir.join(format!("{name}.key")),
        };
        std::fs::write(&pair.cert, cert.pem()).expect("certificates can be made");
        std::fs::write(&pair.key, key.serialize_pem()).expect("certificates can be made");
        pair
    }
}

/// A path as an argument.
pub fn path(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}
