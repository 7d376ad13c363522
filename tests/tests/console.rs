//! The console in a browser: `tests/clients/console.js` goes through its views in headless Chromium as a person would, with a client
//! beside it that sees what came of it.

use redpoll_tests::Server;
use redpoll_tests::http::open_by;
use redpoll_tests::program::{node, on_path};

#[test]
fn a_person_at_the_console() {
    let test = "a_person_at_the_console";
    let Some(chromium) = on_path(test, "chromium") else {
        return;
    };
    let server = Server::redpoll_with(&["--requirepass", "secret"]);
    let mut client = server.connect();
    client.run("AUTH secret");
    let args = [
        server.port().to_string(),
        open_by(&mut client).port().to_string(),
        chromium.display().to_string(),
    ];
    node(test, &["puppeteer-core", "ioredis"], "console.js", &args);
}
