//! The least a Tokio server can do for a request: read, write a fixed reply.
//!
//! One single-threaded runtime, one task a connection, nothing parsed and nothing stored. What a request costs here is
//! the kernel's TCP stack and the runtime; what a store costs above it is the store. Good for one request at a time
//! on each connection (pipeline 1): a read is taken for one request.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers whatever arrives on 127.0.0.1 with one fixed reply.
#[derive(Parser)]
struct Args {
    /// TCP port to listen on.
    #[arg(long)]
    port: u16,
    /// Reply with a bulk string of this many bytes; without it, with +OK.
    #[arg(long, value_name = "BYTES")]
    reply_size: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let reply: &'static [u8] = match args.reply_size {
        None => b"+OK\r\n",
        Some(size) => format!("${size}\r\n{}\r\n", "x".repeat(size))
            .into_bytes()
            .leak(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    let outcome = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(echo(stream, reply));
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let why: std::io::Error = why;
            eprintln!("echo: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Serves one connection until it closes or breaks.
async fn echo(mut stream: TcpStream, reply: &[u8]) {
    let mut buf = [0; 4096];
    while let Ok(1..) = stream.read(&mut buf).await {
        if stream.write_all(reply).await.is_err() {
            break;
        }
    }
}
