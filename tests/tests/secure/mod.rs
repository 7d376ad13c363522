//! What tests of TLS share: certificates and keys in a folder, servers that show them, and a client that does.
#![allow(dead_code, reason = "each test uses a part of it")]

use redpoll_tests::Server;
use redpoll_tests::certificates::{Authority, Pair, path};
use redpoll_tests::server::{free_port, fresh_dir};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Everything that the tests need, in a folder of its own.
pub struct Files {
    pub dir: PathBuf,
    pub ca: PathBuf,
    pub server: Pair,
    pub client: Pair,
    pub expired: Pair,
    pub untrusted: Pair,
    /// Of a client whose certificate has several names.
    pub named: Pair,
}

impl Files {
    pub fn new() -> Files {
        let dir = fresh_dir();
        let (ours, other) = (Authority::new("ours"), Authority::new("another"));
        let ca = dir.join("ca.crt");
        std::fs::write(&ca, &ours.pem).unwrap();
        Files {
            server: ours.sign(&dir, "server", &["localhost", "127.0.0.1"], false),
            client: ours.sign(&dir, "client", &[], false),
            expired: ours.sign(&dir, "expired", &["localhost"], true),
            untrusted: other.sign(&dir, "untrusted", &["localhost"], false),
            named: ours.sign(&dir, "named", &["spiffe://nobody", "spiffe://ann"], false),
            ca,
            dir,
        }
    }

    /// A server with a port for TLS, and that port.
    pub fn start(&self, more: &[&str]) -> (Server, u16) {
        let port = free_port();
        let text = port.to_string();
        let mut args = vec![
            "--tls-port",
            &text,
            "--tls-cert-file",
            path(&self.server.cert),
            "--tls-key-file",
            path(&self.server.key),
            "--tls-ca-cert-file",
            path(&self.ca),
        ];
        args.extend(more);
        (Server::redpoll_with(&args), port)
    }

    /// How a client trusts us, and what it shows.
    pub fn config(&self, shown: Option<&Pair>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&self.ca).unwrap())
            .unwrap();
        let builder =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
        Arc::new(match shown {
            Some(pair) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(&pair.cert).unwrap()],
                    PrivateKeyDer::from_pem_file(&pair.key).unwrap(),
                )
                .unwrap(),
            None => builder.with_no_client_auth(),
        })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub type Secure = StreamOwned<ClientConnection, TcpStream>;

/// Connects; the handshake comes with what is first sent.
pub fn connect(config: &Arc<ClientConfig>, port: u16, name: &str) -> Secure {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), socket)
}
