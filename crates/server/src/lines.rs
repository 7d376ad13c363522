//! Events as lines of a form.

use chrono::{DateTime, Local};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What a line looks like.
pub(crate) trait Form {
    /// The line of an event, without its end.
    fn line(&self, level: Level, now: DateTime<Local>, text: &str) -> String;
}

/// Lines of a form that somebody else may change.
pub(crate) struct Lines<F>(pub Arc<F>);

impl<S, N, F> FormatEvent<S, N> for Lines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: Form,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        ctx.field_format()
            .format_fields(Writer::new(&mut text), event)?;
        let text = without_numbers(&text);
        let line = self.0.line(*event.metadata().level(), Local::now(), &text);
        writeln!(writer, "{line}")
    }
}

/// The text without the numbers of errors of the system, which the standard library puts behind their words.
fn without_numbers(text: &str) -> Cow<'_, str> {
    let mut shorter = Cow::Borrowed(text);
    let mut from = 0;
    while let Some(at) = shorter[from..].find(NUMBER) {
        let at = from + at;
        let rest = &shorter[at + NUMBER.len()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let end = at + NUMBER.len() + digits;
        if digits > 0 && shorter[end..].starts_with(')') {
            shorter.to_mut().replace_range(at..=end, "");
            from = at;
        } else {
            from = end;
        }
    }
    shorter
}

/// What stands before such a number.
const NUMBER: &str = " (os error ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_are_told_in_words() {
        let missing = std::io::Error::from_raw_os_error(2);
        let line = format!("cannot lock /data: {missing}; {missing}");
        let words = "No such file or directory";
        assert_eq!(
            without_numbers(&line),
            format!("cannot lock /data: {words}; {words}")
        );
        for kept in [
            "",
            "nothing to cut",
            " (os error ",
            "a (os error x) (os error 5",
        ] {
            assert_eq!(without_numbers(kept), kept);
        }
    }
}
