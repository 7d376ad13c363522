//! Connections to other servers: plain, or over TLS if `tls-replication` says so.
//!
//! As with real servers the other side's certificate must come from who is trusted (`tls-ca-cert-file`, `tls-ca-cert-dir`), but need not
//! be made out to the name that was dialled: servers are known by addresses, which certificates rarely name. This side shows the
//! certificate for clients (`tls-client-cert-file`), or its own as a server if there is none.

use crate::tls;
use engine::Engine;
use replication::wire::{Channel, Dial, connect};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error,
    SignatureScheme, StreamOwned,
};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// A connection over TLS.
struct Secured(StreamOwned<ClientConnection, TcpStream>);

impl Read for Secured {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Secured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Channel for Secured {
    fn socket(&self) -> &TcpStream {
        &self.0.sock
    }

    fn holds_some(&self) -> bool {
        // More is read when nothing is left of what was.
        !self.0.conn.wants_read()
    }
}

/// Whoever is trusted may answer, under whatever name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.0
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at last: all the rest was in order.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// What a connection to another server is made with: for [`replication::Hub::start_with`].
pub fn dialler() -> Arc<Dial> {
    Arc::new(dial)
}

fn dial(
    engine: &Engine,
    host: &str,
    port: u16,
    patience: Duration,
) -> io::Result<Box<dyn Channel>> {
    let socket = connect(engine, host, port, patience)?;
    let config = engine.config();
    if !config.flag("tls-replication") {
        return Ok(Box::new(socket));
    }
    let (client, roots) = tls::as_client(config).map_err(io::Error::other)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(
        Arc::new(roots),
        client.crypto_provider().clone(),
    )
    .build()
    .map_err(|error| io::Error::other(format!("tls-ca-cert-file: {error}")))?;
    let mut client: ClientConfig = client;
    client
        .dangerous()
        .set_certificate_verifier(Arc::new(AnyName(verifier)));
    let name = match host.parse() {
        Ok(address) => ServerName::IpAddress(std::net::IpAddr::into(address)),
        Err(_) => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
    };
    // The handshake is over when the first bytes are.
    socket.set_read_timeout(Some(patience))?;
    socket.set_write_timeout(Some(patience))?;
    let connection = ClientConnection::new(Arc::new(client), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        stream
            .conn
            .complete_io(&mut stream.sock)
            .map_err(|error| match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                    let seconds = patience.as_secs();
                    let text = format!("no answer to the TLS handshake within {seconds} seconds");
                    io::Error::new(ErrorKind::TimedOut, text)
                }
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => io::Error::new(
                    error.kind(),
                    "the primary closed the connection in the TLS handshake",
                ),
                _ => error,
            })?;
    }
    Ok(Box::new(Secured(stream)))
}
