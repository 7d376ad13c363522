//! The examples are programs that people copy: each runs to its end and says what it is there to say. (`killed` runs with the library's
//! own tests.)

use redpoll_tests::check::show;
use redpoll_tests::server::free_port;
use redpoll_tests::{Client, eventually};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Where an example is. Whoever runs the tests of the whole workspace has built it with them; else it is built here, with the features of
/// its package alone, which takes minutes on a small machine.
fn example(package: &str, name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).unwrap().join("examples").join(name);
    if built.is_file() {
        return built;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", package, "--example", name])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{name} does not build"
    );
    built
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn many_tasks_share_a_database() {
    let run = Command::new(example("redpoll", "shared_db"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(said.contains("1000 customers came"), "{said}");
}

/// Its own calls and a client's commands work on the same key.
#[test]
fn a_program_serves_its_database() {
    let port = free_port();
    let mut program = Running(
        Command::new(example("redpoll-server", "embed_server"))
            .arg(port.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut client = None;
    eventually("the program serves", || {
        client = Client::try_connect(address).ok();
        client.is_some()
    });
    let mut client = client.unwrap();
    // Without a client it counts on, and ends when it comes to 1000.
    eventually("the program counts", || {
        let ticks = show(&client.run("GET ticks"));
        ticks.chars().any(|c| c.is_ascii_digit())
    });
    client.run("SET ticks 999");
    let ended = program.0.wait().unwrap();
    assert!(ended.success(), "{ended}");
}
