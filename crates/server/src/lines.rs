//! Events as lines of a form.

use chrono::{DateTime, Local};
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
        let line = self.0.line(*event.metadata().level(), Local::now(), &text);
        writeln!(writer, "{line}")
    }
}
