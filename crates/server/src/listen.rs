//! Listening sockets: opening them, and accepting on them.

use engine::config::Config;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};

/// The pause after an accept that failed for want of file descriptors or memory.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(addr) => addr.fmt(f),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}

/// An open listening socket. It is closed when the last reference goes.
#[derive(Debug)]
pub(crate) struct Listener {
    pub address: Address,
    /// The address as the configuration has it, for INFO.
    pub name: String,
    /// Whether clients have to speak TLS.
    pub tls: bool,
    pub socket: Socket,
}

impl Listener {
    /// What it is in INFO and in the log.
    pub fn kind(&self) -> &'static str {
        match self.address {
            Address::Unix(_) => "unix",
            Address::Tcp(_) if self.tls => "tls",
            Address::Tcp(_) => "tcp",
        }
    }
}

/// A listening socket as the runtime wants it.
pub(crate) enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    pub fn new(listener: &Listener) -> io::Result<Accepting> {
        let socket = listener.socket.try_clone()?;
        Ok(match listener.address {
            Address::Tcp(_) => Accepting::Tcp(TcpListener::from_std(socket.into())?),
            Address::Unix(_) => Accepting::Unix(UnixListener::from_std(socket.into())?),
        })
    }

    /// The next connection, free to be served by the runtime of another thread, and where it comes from if over TCP.
    pub async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Accepting::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((stream.into_std()?.into(), Some(peer)))
            }
            Accepting::Unix(listener) => Ok((listener.accept().await?.0.into_std()?.into(), None)),
        }
    }
}

/// Whether a failed accept says nothing about the next: the client was gone already.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::ConnectionAborted | K::ConnectionReset | K::Interrupted
    )
}

/// A socket that could not be opened: one line that says where and why.
#[derive(Debug)]
pub(crate) struct ListenError {
    place: String,
    error: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.error.to_string();
        // Without the number that the standard library appends.
        let reason = reason.split(" (os error").next().unwrap_or_default();
        write!(f, "cannot listen on {}: {reason}", self.place)
    }
}

impl std::error::Error for ListenError {}

/// Opens the TCP sockets that `bind`, `port` and `tls-port` ask for. One of `open` that is still wanted is kept, not opened again.
///
/// An address that begins with a minus is skipped when this machine does not have it; any other failure closes what was
/// opened and is returned.
pub(crate) fn tcp(
    config: &Config,
    open: &[Arc<Listener>],
) -> Result<Vec<Arc<Listener>>, ListenError> {
    let mut listeners: Vec<Arc<Listener>> = Vec::new();
    for (port, tls) in [(config.port(), false), (config.tls_port(), true)] {
        if port > 0 {
            on_port(config, &config.bind(), port, tls, open, &mut listeners)?;
        }
    }
    Ok(listeners)
}

/// The same for HTTP (`http-bind`, `http-port`, `http-tls`).
pub(crate) fn http(
    config: &Config,
    open: &[Arc<Listener>],
) -> Result<Vec<Arc<Listener>>, ListenError> {
    let mut listeners: Vec<Arc<Listener>> = Vec::new();
    let port = config.http_port();
    if port > 0 {
        let (bind, tls) = (config.http_bind(), config.flag("http-tls"));
        on_port(config, &bind, port, tls, open, &mut listeners)?;
    }
    Ok(listeners)
}

/// Opens the sockets of one port.
fn on_port(
    config: &Config,
    bind: &[String],
    port: u16,
    tls: bool,
    open: &[Arc<Listener>],
    listeners: &mut Vec<Arc<Listener>>,
) -> Result<(), ListenError> {
    for name in bind {
        let (host, optional) = match name.strip_prefix('-') {
            Some(host) => (host, true),
            None => (name.as_str(), false),
        };
        let fail = |error| ListenError {
            place: format!("{host}:{port}"),
            error,
        };
        for address in resolve(host, port).map_err(fail)? {
            let wanted = Address::Tcp(address);
            let same =
                |listener: &&Arc<Listener>| listener.address == wanted && listener.tls == tls;
            if listeners.iter().any(|listener| same(&listener)) {
                continue;
            }
            if let Some(listener) = open.iter().find(same) {
                listeners.push(listener.clone());
                continue;
            }
            // One that spoke TLS and is not to any more, or the other way round, keeps its socket: it could not be opened twice.
            let other = open.iter().find(|listener| listener.address == wanted);
            let opened = match other {
                Some(listener) => listener.socket.try_clone(),
                None => open_tcp(address, config.tcp_backlog()),
            };
            match opened {
                Ok(socket) => {
                    // Connections have the mark of the socket that they come from.
                    mark(config, &socket).map_err(fail)?;
                    listeners.push(Arc::new(Listener {
                        address: wanted,
                        name: name.clone(),
                        tls,
                        socket,
                    }));
                }
                Err(error) if optional && is_absent(&error) => {}
                Err(error) => {
                    return Err(ListenError {
                        place: address.to_string(),
                        error,
                    });
                }
            }
        }
    }
    Ok(())
}

/// The addresses a word of `bind` stands for.
fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(match host {
        "*" => vec![(Ipv4Addr::UNSPECIFIED, port).into()],
        "::*" => vec![(Ipv6Addr::UNSPECIFIED, port).into()],
        _ => match host.parse::<IpAddr>() {
            Ok(ip) => vec![(ip, port).into()],
            Err(_) => (host, port).to_socket_addrs()?.collect(),
        },
    })
}

/// Whether an address cannot be listened on because this machine does not have it, or no such protocol at all.
fn is_absent(error: &io::Error) -> bool {
    let code = error
        .raw_os_error()
        .map(rustix::io::Errno::from_raw_os_error);
    use rustix::io::Errno as E;
    matches!(
        code,
        Some(
            E::ADDRNOTAVAIL
                | E::AFNOSUPPORT
                | E::PROTONOSUPPORT
                | E::PFNOSUPPORT
                | E::SOCKTNOSUPPORT
                | E::NOPROTOOPT
        )
    )
}

/// Gives a socket the mark that `socket-mark-id` says, for the rules of firewalls.
fn mark(config: &Config, socket: &Socket) -> io::Result<()> {
    match config.number("socket-mark-id") {
        0 => Ok(()),
        mark => socket.set_mark(mark as u32),
    }
}

fn open_tcp(address: SocketAddr, backlog: i32) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // So that IPv4 on the same port is a listener of its own.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Opens the unix socket, if one is configured. A socket that an earlier server left behind is replaced, and so is an empty file.
pub(crate) fn unix(config: &Config) -> Result<Option<Arc<Listener>>, ListenError> {
    let Some(path) = config.unixsocket() else {
        return Ok(None);
    };
    let path = std::path::absolute(&path).unwrap_or(path);
    let fail = |error| ListenError {
        place: path.display().to_string(),
        error,
    };
    let group = config.text("unixsocketgroup");
    let socket = open_unix(
        &path,
        config.unixsocketperm(),
        Some(group.as_str()).filter(|name| !name.is_empty()),
        config.tcp_backlog(),
    )
    .map_err(fail)?;
    let name = path.display().to_string();
    Ok(Some(Arc::new(Listener {
        address: Address::Unix(path),
        name,
        tls: false,
        socket,
    })))
}

fn open_unix(
    path: &Path,
    permissions: Option<u32>,
    group: Option<&str>,
    backlog: i32,
) -> io::Result<Socket> {
    let group = group.map(crate::system::group).transpose()?;
    // A mistyped path must not cost somebody a file. An empty one is the name that a script has had made for the socket.
    let is_free = |found: &std::fs::Metadata| {
        found.file_type().is_socket() || found.is_file() && found.len() == 0
    };
    if std::fs::symlink_metadata(path).is_ok_and(|found| is_free(&found)) {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    if let Some(group) = group {
        std::os::unix::fs::chown(path, None, Some(group))?;
    }
    if let Some(mode) = permissions {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Wraps a socket that the embedding program opened.
pub(crate) fn adopt(listener: std::net::TcpListener) -> io::Result<Arc<Listener>> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    Ok(Arc::new(Listener {
        address: Address::Tcp(address),
        name: address.ip().to_string(),
        tls: false,
        socket: listener.into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(bind: &[&str], port: u16) -> Config {
        let mut config = Config::default();
        config.directive("bind", bind).unwrap();
        config.directive("port", &[&port.to_string()]).unwrap();
        config
    }

    fn addresses(listeners: &[Arc<Listener>]) -> Vec<String> {
        listeners
            .iter()
            .map(|listener| listener.address.to_string())
            .collect()
    }

    #[test]
    fn addresses_are_opened_once_and_kept_when_still_wanted() {
        let first = tcp(
            &config(&["127.0.0.1", "127.0.0.1", "127.0.0.2"], 21391),
            &[],
        )
        .unwrap();
        assert_eq!(addresses(&first), ["127.0.0.1:21391", "127.0.0.2:21391"]);
        let second = tcp(&config(&["127.0.0.2"], 21391), &first).unwrap();
        assert!(Arc::ptr_eq(&second[0], &first[1]));
        let error = tcp(&config(&["127.0.0.1"], 21391), &[])
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "cannot listen on 127.0.0.1:21391: Address already in use"
        );
        assert!(tcp(&config(&[], 21391), &[]).unwrap().is_empty());
        assert!(tcp(&config(&["127.0.0.1"], 0), &[]).unwrap().is_empty());
    }

    #[test]
    fn an_optional_address_may_be_missing_and_another_may_not() {
        // 192.0.2.0/24 is set aside for documentation: no machine has it.
        let found = tcp(&config(&["-192.0.2.1", "127.0.0.1"], 21392), &[]).unwrap();
        assert_eq!(addresses(&found), ["127.0.0.1:21392"]);
        assert!(tcp(&config(&["192.0.2.1"], 21392), &[]).is_err());
    }

    #[test]
    fn a_stale_unix_socket_or_an_empty_file_is_replaced_and_another_file_is_not() {
        let path = std::env::temp_dir().join(format!("redpoll-listen-{}", std::process::id()));
        let mut config = Config::default();
        config
            .directive("unixsocket", &[path.to_str().unwrap()])
            .unwrap();
        config.directive("unixsocketperm", &["700"]).unwrap();
        for _ in 0..2 {
            let listener = unix(&config).unwrap().unwrap();
            assert_eq!(listener.address, Address::Unix(path.clone()));
            assert_eq!(
                std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o700
            );
        }
        // Its own group may always be given.
        let gid = std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(&path).unwrap());
        config
            .directive("unixsocketgroup", &[&gid.to_string()])
            .unwrap();
        assert!(unix(&config).is_ok());
        config
            .directive("unixsocketgroup", &["no such group"])
            .unwrap();
        let error = unix(&config).unwrap_err().to_string();
        assert!(
            error.ends_with("no group 'no such group' in /etc/group"),
            "{error}"
        );
        config.directive("unixsocketgroup", &[""]).unwrap();
        assert!(unix(&config).is_ok());
        std::fs::write(&path, "").unwrap_err();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert!(unix(&config).is_ok());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(unix(&config).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        std::fs::remove_file(&path).unwrap();
    }
}
