//! The two text formats that metrics are told in: Prometheus's own (0.0.4), and OpenMetrics (1.0.0).
//!
//! They differ in how a counter's family is called, in what ends the text, and in their content type.

use std::fmt::{Display, Write};

/// One of the formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// The one that an Accept header asks for most; Prometheus's own if it does not care.
    pub fn wanted(accept: &str) -> Format {
        let (mut open, mut plain) = (0.0, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let quality = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1.0, |q| q.parse().unwrap_or(0.0));
            match name {
                "application/openmetrics-text" => open = f64::max(open, quality),
                "text/plain" | "text/*" | "*/*" => plain = f64::max(plain, quality),
                _ => {}
            }
        }
        match open > 0.0 && open >= plain {
            true => Format::OpenMetrics,
            false => Format::Prometheus,
        }
    }

    /// What the text says that it is.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a family of metrics is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows, or begins again at zero; its samples end in `_total`.
    Counter,
    Gauge,
    Histogram,
    /// Always 1, for its labels; its sample ends in `_info`.
    Info,
}

/// Writes metrics. Families come one after the other, each with all of its samples.
pub(crate) struct Writer {
    text: String,
    format: Format,
    name: &'static str,
    kind: Kind,
}

impl Writer {
    /// Nothing yet. `bytes`: about how many there will be.
    pub fn new(format: Format, bytes: usize) -> Writer {
        Writer {
            text: String::with_capacity(bytes + (4 << 10)),
            format,
            name: "",
            kind: Kind::Gauge,
        }
    }

    /// Begins a family. `name` is without the ending that its kind has.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        (self.name, self.kind) = (name, kind);
        let (ending, type_name) = match (kind, self.format) {
            (Kind::Counter, Format::Prometheus) => ("_total", "counter"),
            (Kind::Counter, Format::OpenMetrics) => ("", "counter"),
            (Kind::Gauge, _) => ("", "gauge"),
            (Kind::Histogram, _) => ("", "histogram"),
            (Kind::Info, Format::Prometheus) => ("_info", "gauge"),
            (Kind::Info, Format::OpenMetrics) => ("", "info"),
        };
        // Writing to a string does not fail.
        let _ = write!(
            self.text,
            "# HELP {name}{ending} {help}\n# TYPE {name}{ending} {type_name}\n"
        );
    }

    /// A sample of the family.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line(self.ending(), labels, value);
    }

    /// What the names of the family's samples end in.
    fn ending(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        }
    }

    /// The same of a whole number.
    pub fn count(&mut self, labels: &[(&str, &str)], value: u64) {
        self.start(self.ending(), labels);
        self.text
            .push_str(if labels.is_empty() { " " } else { "} " });
        self.number(value);
    }

    /// A family with one sample.
    pub fn single(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }

    /// A histogram: how many were no larger than each bound, how many there were, and their sum.
    pub fn histogram<'b>(
        &mut self,
        label: (&str, &str),
        bounds: impl IntoIterator<Item = (&'b str, u64)>,
        count: u64,
        sum: f64,
    ) {
        // Name and label of all its lines, which differ behind that.
        let start = self.text.len();
        self.start("_bucket", &[label]);
        self.text.push_str(",le=\"");
        let bucket = self.text[start..].to_owned();
        self.text.truncate(start);
        for (bound, below) in bounds {
            self.text.push_str(&bucket);
            self.text.push_str(bound);
            self.text.push_str("\"} ");
            self.number(below);
        }
        self.text.push_str(&bucket);
        self.text.push_str("+Inf\"} ");
        self.number(count);
        self.line("_sum", &[label], sum);
        self.line("_count", &[label], count);
    }

    /// A whole number that ends its line. Most of a text are such, and formatting takes several times as long.
    fn number(&mut self, number: u64) {
        let (mut digits, mut at, mut rest) = ([0; 20], 20, number);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let digits = digits[at..].iter().map(|digit| char::from(*digit));
        self.text.extend(digits);
        self.text.push('\n');
    }

    fn line(&mut self, ending: &str, labels: &[(&str, &str)], value: impl Display) {
        self.start(ending, labels);
        self.text
            .push_str(if labels.is_empty() { " " } else { "} " });
        let _ = writeln!(self.text, "{value}");
    }

    /// Name and labels, but for the brace that ends these.
    fn start(&mut self, ending: &str, labels: &[(&str, &str)]) {
        self.text.push_str(self.name);
        self.text.push_str(ending);
        for (i, (name, value)) in labels.iter().enumerate() {
            self.text.push(if i == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            // Hardly any label has something to escape.
            let mut rest = *value;
            while let Some(at) = rest.find(['\\', '"', '\n']) {
                self.text.push_str(&rest[..at]);
                self.text.push_str(match rest.as_bytes()[at] {
                    b'\\' => "\\\\",
                    b'"' => "\\\"",
                    _ => "\\n",
                });
                rest = &rest[at + 1..];
            }
            self.text.push_str(rest);
            self.text.push('"');
        }
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_chosen_by_quality() {
        for (accept, format) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/plain", Format::Prometheus),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;q=0.5",
                Format::Prometheus,
            ),
            ("application/openmetrics-text;q=0", Format::Prometheus),
        ] {
            assert_eq!(Format::wanted(accept), format, "{accept}");
        }
    }

    fn written(format: Format) -> String {
        let mut writer = Writer::new(format, 0);
        writer.single("a_seconds", Kind::Counter, "Seconds.", 1.5);
        writer.single("b", Kind::Gauge, "Things.", 3);
        writer.family("c", Kind::Info, "What it is.");
        writer.sample(&[("x", "a\"b\\c\nd"), ("y", "z")], 1);
        writer.family("d", Kind::Histogram, "Times.");
        writer.histogram(("k", "v"), [("0.1", 2), ("1", 3)], 4, 2.5);
        writer.finish()
    }

    #[test]
    fn families_are_written_as_each_format_wants() {
        let samples = [
            "a_seconds_total 1.5",
            "b 3",
            r#"c_info{x="a\"b\\c\nd",y="z"} 1"#,
            r#"d_bucket{k="v",le="0.1"} 2"#,
            r#"d_bucket{k="v",le="1"} 3"#,
            r#"d_bucket{k="v",le="+Inf"} 4"#,
            r#"d_sum{k="v"} 2.5"#,
            r#"d_count{k="v"} 4"#,
        ];
        for format in [Format::Prometheus, Format::OpenMetrics] {
            let text = written(format);
            let found: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
            assert_eq!(found, samples);
        }
        let plain = written(Format::Prometheus);
        assert!(plain.contains("# TYPE a_seconds_total counter\n") && !plain.contains("# EOF"));
        assert!(plain.contains("# TYPE c_info gauge\n"));
        let open = written(Format::OpenMetrics);
        assert!(open.contains("# TYPE a_seconds counter\n") && open.ends_with("# EOF\n"));
        assert!(open.contains("# TYPE c info\n"));
    }
}
