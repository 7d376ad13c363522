//! How a server's figures are laid out on a screen.

use super::sample::{Rates, Sample};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Gauge, Paragraph, Row, Sparkline, Table};
use std::collections::VecDeque;

/// So many rates are kept, one for each column of a wide terminal.
const KEPT: usize = 240;

/// What is shown.
#[derive(Default)]
pub struct Screen {
    /// Where the server is.
    pub address: String,
    /// The latest sample.
    pub now: Option<Sample>,
    /// The latest rates last.
    pub history: VecDeque<Rates>,
    /// What is wrong with the connection.
    pub trouble: Option<String>,
    /// Whether new samples are kept from being shown.
    pub paused: bool,
    /// The order of commands.
    pub order: Order,
    /// Which measure of hot keys.
    pub measure: usize,
    /// Seconds between samples.
    pub interval: f64,
}

/// By what commands are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Calls.
    #[default]
    Calls,
    /// Time in all.
    Time,
}

impl Screen {
    /// Takes a new sample in.
    pub fn take(&mut self, sample: Sample) {
        if let Some(before) = &self.now {
            self.history
                .push_back(super::sample::rates(before, &sample));
            while self.history.len() > KEPT {
                self.history.pop_front();
            }
        }
        self.now = Some(sample);
        self.trouble = None;
    }

    /// Draws everything.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let [head, body, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(self.head(), head);
        frame.render_widget(self.foot(), foot);
        let Some(now) = &self.now else {
            return;
        };
        let none = Rates::default();
        let rates = self.history.back().unwrap_or(&none);
        let [graphs, figures, lists] = Layout::vertical([
            Constraint::Length(6),
            Constraint::Length(8),
            Constraint::Fill(1),
        ])
        .areas(body);
        self.draw_graphs(frame, graphs, rates);
        draw_figures(frame, figures, now, rates);
        self.draw_lists(frame, lists, now, rates);
    }

    fn head(&self) -> Paragraph<'static> {
        let mut spans = vec![
            Span::from(" redpoll top ").bold().reversed(),
            Span::from(format!(" {} ", self.address)).bold(),
        ];
        if let Some(now) = &self.now {
            let get = |name| now.info.get(name).unwrap_or("?").to_owned();
            let what = match now.info.get("redpoll_version") {
                Some(version) => format!("Redpoll {version} (Redis {})", get("redis_version")),
                None => match now.info.get("valkey_version") {
                    Some(version) => format!("Valkey {version}"),
                    None => format!("Redis {}", get("redis_version")),
                },
            };
            let uptime = duration(now.info.number("uptime_in_seconds"));
            spans.push(format!("{what}, {}, up {uptime} ", get("role")).into());
        }
        if self.paused {
            spans.push(" paused ".black().on_yellow());
        }
        if let Some(trouble) = &self.trouble {
            spans.push(format!(" {trouble} ").white().on_red());
        }
        Paragraph::new(Line::from(spans))
    }

    fn foot(&self) -> Paragraph<'static> {
        let key = |key: &'static str| Span::from(key).bold();
        Paragraph::new(Line::from(vec![
            key(" q"),
            " quit  ".into(),
            key("space"),
            " pause  ".into(),
            key("o"),
            " order of commands  ".into(),
            key("h"),
            " measure of hot keys  ".into(),
            key("+ -"),
            format!(" every {} s", self.interval).into(),
        ]))
    }

    fn draw_graphs(&self, frame: &mut Frame<'_>, area: Rect, rates: &Rates) {
        let [ops, latency, network] = Layout::horizontal([
            Constraint::Fill(1),
            Constraint::Fill(1),
            Constraint::Fill(1),
        ])
        .areas(area);
        let title = format!(" operations {}/s ", count(rates.ops));
        self.graph(frame, ops, title, Color::Green, |r| r.ops);
        let title = match rates.percentiles {
            Some([p50, p99, p999]) => {
                format!(
                    " 50% ≤{} 99% ≤{} 99.9% ≤{} ",
                    usec(p50),
                    usec(p99),
                    usec(p999)
                )
            }
            None => " latency: no histogram ".to_owned(),
        };
        self.graph(frame, latency, title, Color::Yellow, |r| {
            r.percentiles.map_or(0.0, |[_, p99, _]| p99 as f64)
        });
        let title = format!(
            " in {}/s out {}/s ",
            bytes(rates.net_in),
            bytes(rates.net_out)
        );
        self.graph(frame, network, title, Color::Cyan, |r| r.net_in + r.net_out);
    }

    fn graph(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        title: String,
        color: Color,
        of: impl Fn(&Rates) -> f64,
    ) {
        let width = usize::from(area.width.saturating_sub(2));
        let skip = self.history.len().saturating_sub(width);
        // The latest stands at the right.
        let empty = width.saturating_sub(self.history.len());
        let data = std::iter::repeat_n(0, empty)
            .chain(self.history.iter().skip(skip).map(|r| of(r) as u64));
        let graph = Sparkline::default()
            .block(Block::bordered().title(title))
            .style(Style::new().fg(color))
            .data(data.collect::<Vec<u64>>());
        frame.render_widget(graph, area);
    }

    fn draw_lists(&self, frame: &mut Frame<'_>, area: Rect, now: &Sample, rates: &Rates) {
        let [left, right] =
            Layout::horizontal([Constraint::Length(44), Constraint::Fill(1)]).areas(area);
        let mut commands = rates.commands.clone();
        let by = match self.order {
            Order::Calls => "calls",
            Order::Time => {
                commands.sort_by(|a, b| (b.1 * b.2).total_cmp(&(a.1 * a.2)));
                "time"
            }
        };
        let rows = commands.iter().map(|(name, calls, each)| {
            Row::new([
                name.clone(),
                format!("{:>10}", count(*calls)),
                format!("{:>9}", usec_f(*each)),
                format!("{:>6.1}%", calls * each / 10_000.0),
            ])
        });
        let widths = [
            Constraint::Fill(1),
            Constraint::Length(10),
            Constraint::Length(9),
            Constraint::Length(7),
        ];
        let heading =
            Row::new(["command", "   calls/s", "     each", "   core"]).style(Modifier::DIM);
        let table = Table::new(rows, widths)
            .header(heading)
            .block(Block::bordered().title(format!(" commands by {by} ")));
        frame.render_widget(table, left);

        let hot = now.hot.get(self.measure % now.hot.len().max(1));
        let [slow, hot_area] = match hot {
            None => [right, Rect::default()],
            Some(_) => Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(right),
        };
        let wall = now.info.number("server_time_usec") / 1_000_000;
        let rows = now.slow.iter().map(|slow| {
            let ago = match wall {
                0 => String::new(),
                wall => format!("{:>7}", duration((wall - slow.at).max(0))),
            };
            Row::new([
                ago,
                format!("{:>9}", usec(slow.usec.unsigned_abs())),
                slow.text.clone(),
            ])
        });
        let widths = [
            Constraint::Length(7),
            Constraint::Length(9),
            Constraint::Fill(1),
        ];
        let heading = Row::new(["    ago", "     took", "command"]).style(Modifier::DIM);
        let table = Table::new(rows, widths)
            .header(heading)
            .block(Block::bordered().title(" slow commands "));
        frame.render_widget(table, slow);
        if let Some(hot) = hot {
            let rows = hot
                .keys
                .iter()
                .map(|(key, figure)| Row::new([printable(key), format!("{figure:>14}")]));
            let title = format!(" hot keys by {} ", hot.measure);
            let table = Table::new(rows, [Constraint::Fill(1), Constraint::Length(14)])
                .block(Block::bordered().title(title));
            frame.render_widget(table, hot_area);
        }
    }
}

fn draw_figures(frame: &mut Frame<'_>, area: Rect, now: &Sample, rates: &Rates) {
    let [memory, clients, keys, durable] = Layout::horizontal([Constraint::Fill(1); 4]).areas(area);
    draw_memory(frame, memory, now);
    let n = |name: &str| now.info.number(name);
    panel(
        frame,
        clients,
        " clients ",
        &[
            (
                "connected",
                format!("{} of {}", n("connected_clients"), n("maxclients")),
            ),
            ("blocked", n("blocked_clients").to_string()),
            ("new", format!("{}/s", count(rates.connections))),
            ("listening", n("pubsub_clients").to_string()),
            ("errors", format!("{}/s", count(rates.errors))),
            ("CPU", format!("{:.0}% of one", rates.cpu * 100.0)),
        ],
    );
    let ratio = match rates.hit_ratio {
        Some(ratio) => format!("{:.1}%", ratio * 100.0),
        None => "-".into(),
    };
    panel(
        frame,
        keys,
        " keys ",
        &[
            ("in all", count(now.info.keys() as f64)),
            ("hit ratio", ratio),
            ("evicted", format!("{}/s", count(rates.evicted))),
            ("expired", format!("{}/s", count(rates.expired))),
            (
                "policy",
                now.info.get("maxmemory_policy").unwrap_or("?").to_owned(),
            ),
        ],
    );
    panel(frame, durable, " durability ", &durability(now));
}

fn draw_memory(frame: &mut Frame<'_>, area: Rect, now: &Sample) {
    let block = Block::bordered().title(" memory ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [bar, text] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(inner);
    let n = |name: &str| now.info.number(name) as f64;
    let (used, limit) = (n("used_memory"), n("maxmemory"));
    if limit > 0.0 {
        let share = (used / limit).clamp(0.0, 1.0);
        let color = match share {
            0.0..0.8 => Color::Green,
            0.8..0.95 => Color::Yellow,
            _ => Color::Red,
        };
        let gauge = Gauge::default()
            .gauge_style(Style::new().fg(color))
            .ratio(share)
            .label(format!("{} of {}", bytes(used), bytes(limit)));
        frame.render_widget(gauge, bar);
    } else {
        frame.render_widget(
            Paragraph::new(format!("{} used, no limit", bytes(used))),
            bar,
        );
    }
    lines(
        frame,
        text,
        &[
            ("resident", bytes(n("used_memory_rss"))),
            ("peak", bytes(n("used_memory_peak"))),
            ("data", bytes(n("used_memory_dataset"))),
            (
                "overhead",
                format!(
                    "{}x",
                    now.info.get("mem_fragmentation_ratio").unwrap_or("?")
                ),
            ),
        ],
    );
}

/// What would be lost now, and whether something is wrong with keeping it.
fn durability(now: &Sample) -> Vec<(&'static str, String)> {
    let get = |name| now.info.get(name);
    let n = |name: &str| now.info.number(name);
    let mut text = Vec::new();
    let wall = n("server_time_usec") / 1_000_000;
    let saved = match (n("rdb_bgsave_in_progress"), wall) {
        (1.., _) => "under way".to_owned(),
        (_, 0) => "?".to_owned(),
        (_, wall) => format!("{} ago", duration((wall - n("rdb_last_save_time")).max(0))),
    };
    text.push(("snapshot", saved));
    text.push((
        "changes since",
        count(n("rdb_changes_since_last_save") as f64),
    ));
    if get("rdb_last_bgsave_status").is_some_and(|status| status != "ok") {
        text.push(("last save", "FAILED".into()));
    }
    let log = match (n("aof_enabled"), get("aof_last_write_status")) {
        (0, _) => "off".to_owned(),
        (_, Some("ok") | None) => match n("aof_rewrite_in_progress") {
            0 => "on".into(),
            _ => "on, rewriting".into(),
        },
        _ => "WRITES FAIL".into(),
    };
    text.push(("log", log));
    match get("role") {
        Some("slave") => {
            let link = get("master_link_status").unwrap_or("?");
            text.push((
                "primary",
                format!("{link}, {} s", n("master_last_io_seconds_ago")),
            ));
        }
        _ => text.push(("replicas", n("connected_slaves").to_string())),
    }
    if n("loading") != 0 {
        text.push((
            "loading",
            format!("{}%", get("loading_loaded_perc").unwrap_or("?")),
        ));
    }
    text
}

fn panel(frame: &mut Frame<'_>, area: Rect, title: &'static str, what: &[(&str, String)]) {
    let block = Block::bordered().title(title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    lines(frame, inner, what);
}

fn lines(frame: &mut Frame<'_>, area: Rect, what: &[(&str, String)]) {
    let lines: Vec<Line<'_>> = what
        .iter()
        .map(|(label, value)| {
            let alarm =
                value.starts_with(|c: char| c.is_ascii_uppercase()) && value.contains("FAIL");
            let value = Span::from(value.as_str());
            Line::from(vec![
                Span::from(format!("{label:<14}")).dim(),
                if alarm { value.red().bold() } else { value },
            ])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// A key that need not be text.
fn printable(key: &str) -> String {
    key.chars()
        .map(|c| if c.is_control() { '·' } else { c })
        .collect()
}

/// A number with three digits or so: `950`, `12.3k`, `4.56M`.
pub fn count(n: f64) -> String {
    match n {
        ..9.95 if n.fract() > 0.0 => format!("{n:.1}"),
        ..1e4 => format!("{n:.0}"),
        ..1e6 => format!("{:.1}k", n / 1e3),
        ..1e9 => format!("{:.2}M", n / 1e6),
        _ => format!("{:.2}G", n / 1e9),
    }
}

/// Bytes in units of 1,024.
pub fn bytes(n: f64) -> String {
    match n {
        ..1024.0 => format!("{n:.0} B"),
        ..1_048_576.0 => format!("{:.1} KB", n / 1024.0),
        ..1_073_741_824.0 => format!("{:.1} MB", n / 1_048_576.0),
        _ => format!("{:.2} GB", n / 1_073_741_824.0),
    }
}

/// Microseconds in a unit that suits them.
pub fn usec(n: u64) -> String {
    usec_f(n as f64)
}

fn usec_f(n: f64) -> String {
    match n {
        ..10.0 if n.fract() > 0.0 => format!("{n:.1}us"),
        ..1000.0 => format!("{n:.0}us"),
        ..1e6 => format!("{:.1}ms", n / 1e3),
        _ => format!("{:.1}s", n / 1e6),
    }
}

/// Seconds as days, hours, minutes or seconds.
pub fn duration(seconds: i64) -> String {
    match seconds {
        ..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Fields;
    use crate::top::sample::{Hot, Slow, Usage};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    fn sample(at: Instant, ops: u64, more: &str) -> Sample {
        let info = format!(
            "redis_version:8.2.3\nredpoll_version:0.1.0\nrole:master\nuptime_in_seconds:90061\nserver_time_usec:1000000000\nused_memory:900\nmaxmemory:1000\nconnected_clients:7\nmaxclients:10000\ntotal_commands_processed:{ops}\naof_enabled:1\n{more}"
        );
        Sample {
            at,
            info: Fields(info),
            commands: BTreeMap::from([(
                "get".to_owned(),
                Usage {
                    calls: ops,
                    usec: ops * 2,
                },
            )]),
            histogram: BTreeMap::from([(4, ops)]),
            slow: vec![Slow {
                id: 1,
                at: 995,
                usec: 12_345,
                text: "KEYS *".into(),
                client: "me".into(),
            }],
            hot: vec![Hot {
                measure: "ops".into(),
                keys: vec![("session:1".into(), "42".into())],
            }],
        }
    }

    fn drawn(screen: &Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn everything_is_on_the_screen() {
        let begin = Instant::now();
        let mut screen = Screen {
            address: "h:1".into(),
            interval: 1.0,
            ..Screen::default()
        };
        screen.take(sample(begin, 0, ""));
        screen.take(sample(
            begin + Duration::from_secs(1),
            25_000,
            "aof_last_write_status:err\n",
        ));
        let text = drawn(&screen, 140, 40);
        for part in [
            "h:1",
            "Redpoll 0.1.0 (Redis 8.2.3), master, up 1d01h",
            "operations 25.0k/s",
            "50% ≤4us",
            "900 B of 1000 B",
            "7 of 10000",
            "WRITES FAIL",
            "KEYS *",
            "12.3ms",
            "session:1",
            "hot keys by ops",
            "every 1 s",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn small_screens_and_nothing_known_are_drawn_too() {
        let mut screen = Screen::default();
        for (width, height) in [(1, 1), (20, 5), (80, 24)] {
            drawn(&screen, width, height);
        }
        screen.trouble = Some("Connection refused".into());
        assert!(drawn(&screen, 80, 24).contains("Connection refused"));
        screen.take(sample(Instant::now(), 1, ""));
        screen.now.as_mut().unwrap().hot.clear();
        for (width, height) in [(1, 1), (20, 5), (80, 24)] {
            drawn(&screen, width, height);
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 3.25, 950.0, 12_345.0, 4_560_000.0].map(count),
            ["0", "3.2", "950", "12.3k", "4.56M"]
        );
        assert_eq!([999, 1500, 2_000_000].map(usec), ["999us", "1.5ms", "2.0s"]);
        assert_eq!(
            [59, 61, 3700, 90_000].map(duration),
            ["59s", "1m01s", "1h01m", "1d01h"]
        );
        assert_eq!([10.0, 2048.0].map(bytes), ["10 B", "2.0 KB"]);
    }
}
