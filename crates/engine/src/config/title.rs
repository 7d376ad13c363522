//! The title of the process, from `proc-title-template`.

use super::Config;

/// Puts values into the variables of a template; `None` if one of them is not known, a brace is not closed, or there is nothing to
/// see. `value` is asked for those that are known.
pub(super) fn expand(template: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    const KNOWN: [&str; 7] = [
        "title",
        "listen-addr",
        "server-mode",
        "port",
        "tls-port",
        "unixsocket",
        "config-file",
    ];
    if template.is_empty() {
        return None;
    }
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, variable)) = rest.split_once('{') {
        let (name, after) = variable.split_once('}')?;
        if !KNOWN.contains(&name) {
            return None;
        }
        text.push_str(before);
        text.push_str(&value(name)?);
        rest = after;
    }
    text.push_str(rest);
    text.truncate(text.trim_end().len());
    Some(text)
}

/// The title that the configuration asks for, of a program that was called like this; `None` if the template says nothing.
pub fn of(config: &Config, program: &str) -> Option<String> {
    let text = |name: &str| config.text(name);
    expand(&text("proc-title-template"), |name| {
        Some(match name {
            "title" => program.to_owned(),
            "listen-addr" => listen_addr(config),
            "config-file" => config
                .file()
                .map_or_else(|| "-".to_owned(), |file| file.display().to_string()),
            "port" | "tls-port" | "unixsocket" => text(name),
            // There is one mode: a server on its own.
            _ => String::new(),
        })
    })
}

fn listen_addr(config: &Config) -> String {
    if config.port() == 0
        && config.tls_port() == 0
        && let Some(path) = config.unixsocket()
    {
        return path.display().to_string();
    }
    let port = match config.port() {
        0 => config.tls_port(),
        port => port,
    };
    let bind = config.bind();
    format!("{}:{port}", bind.first().map_or("*", String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let mut config = Config::default();
        assert_eq!(
            of(&config, "redpoll").as_deref(),
            Some("redpoll 127.0.0.1:6379")
        );
        for (template, title) in [
            ("x", "x"),
            ("{title} {port}/{tls-port} {unixsocket}", "p 6379/0"),
            ("{config-file}{server-mode} !", "- !"),
        ] {
            config
                .directive("proc-title-template", &[template])
                .unwrap();
            assert_eq!(of(&config, "p").as_deref(), Some(title));
        }
        for bad in ["", "{nosuch}", "{title", "{title} {"] {
            let error = config.directive("proc-title-template", &[bad]).unwrap_err();
            assert!(error.starts_with("template format"), "{bad}: {error}");
        }
        config.directive("port", &["0"]).unwrap();
        config.directive("unixsocket", &["/tmp/s"]).unwrap();
        config
            .directive("proc-title-template", &["{listen-addr}"])
            .unwrap();
        assert_eq!(of(&config, "p").as_deref(), Some("/tmp/s"));
    }
}
