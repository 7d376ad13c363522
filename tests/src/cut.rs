//! A connection between two servers that can be cut, anywhere.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Passes on what two servers say to each other.
pub struct Cable {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: Mutex<SocketAddr>,
    open: Mutex<Vec<TcpStream>>,
    /// Bytes that are still passed on to who has connected; negative: no limit.
    left: AtomicI64,
    /// Connections are closed at once.
    refuses: AtomicBool,
    /// Nothing passes, and nobody is told.
    held: AtomicBool,
    made: AtomicUsize,
}

impl Cable {
    /// Connections to the port of this lead to the target.
    pub fn to(target: SocketAddr) -> Cable {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            open: Mutex::default(),
            left: AtomicI64::new(-1),
            refuses: AtomicBool::new(false),
            held: AtomicBool::new(false),
            made: AtomicUsize::new(0),
        });
        let for_thread = Arc::downgrade(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Some(shared) = for_thread.upgrade() else {
                    return;
                };
                if !shared.refuses.load(SeqCst) {
                    // If the target is away, the connection is closed.
                    let _ = connect(&shared, client);
                }
            }
        });
        Cable { port, shared }
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// New connections lead there.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.shared.target.lock().expect("no panic") = target;
    }

    /// Cuts the connections that there are.
    pub fn cut(&self) {
        for stream in self.shared.open.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts them once so many more bytes have gone to who has connected.
    pub fn cut_after(&self, bytes: usize) {
        self.shared.left.store(bytes as i64, SeqCst);
    }

    /// Lets none through, or again.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refuses.store(refuse, SeqCst);
    }

    /// Lets nothing pass without closing anything, as a network does that has lost its way; or lets all of it pass again.
    pub fn hold(&self, hold: bool) {
        self.shared.held.store(hold, SeqCst);
    }

    /// Connections that were made so far.
    pub fn connections(&self) -> usize {
        self.shared.made.load(SeqCst)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.refuse(true);
        self.hold(false);
        self.cut();
        // The listener's thread wakes up and ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn connect(shared: &Arc<Shared>, client: TcpStream) -> std::io::Result<()> {
    let target = *shared.target.lock().expect("no panic");
    let server = TcpStream::connect(target)?;
    shared.made.fetch_add(1, SeqCst);
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    {
        let mut open = shared.open.lock().expect("no panic");
        open.extend([client.try_clone()?, server.try_clone()?]);
    }
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    let (there, back) = (shared.clone(), shared.clone());
    thread::spawn(move || pass_on(from, to, &there, false));
    thread::spawn(move || pass_on(server, client, &back, true));
    Ok(())
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, shared: &Shared, bounded: bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let mut pass = n;
        let mut last = false;
        while shared.held.load(SeqCst) {
            thread::sleep(Duration::from_millis(2));
        }
        if bounded {
            let left = shared.left.load(SeqCst);
            if left >= 0 {
                pass = pass.min(left as usize);
                last = pass < n || pass as i64 == left;
                shared
                    .left
                    .store(if last { -1 } else { left - pass as i64 }, SeqCst);
            }
        }
        if to.write_all(&buffer[..pass]).is_err() || last {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
