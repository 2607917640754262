//! Nodes and values → text.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use rand::RngExt;

use super::variable::{options_of, range_of};
use super::{Node, OUTPUT_CHARS_MAX, Values, Variable, moment};
use crate::duration::human_duration;
use crate::reply_text::{clean, defuse, is_command_prefix, is_unseen};
use crate::stream_info::{UNKNOWN, between};
use crate::when::zone_of;

/// Said where a nested value turned out not to fit.
const UNREADABLE: &str = "?";

/// Fills a whole template.
pub(super) fn expand(
    nodes: &[Node],
    values: &Values<'_>,
    rng: &mut impl rand::Rng,
    now: DateTime<Utc>,
) -> String {
    let mut filler = Filler { values, rng, now, fetched: values.fetched.iter() };
    let mut text = String::new();
    // What the author wrote before the first piece that came from elsewhere. `None`: no such piece came yet.
    let mut authors_lead = None;
    for node in nodes {
        let n_bytes = text.len();
        filler.fill(node, &mut text);
        if authors_lead.is_none() && !is_authors(node) && text.len() > n_bytes {
            authors_lead = Some(text[..n_bytes].to_owned());
        }
        if text.len() > OUTPUT_BYTES_ENOUGH {
            break;
        }
    }
    let line = clean(&text);
    let is_safe = authors_lead.is_none_or(|lead| is_settled(&lead));
    let line = if is_safe { &line } else { defuse(&line) };
    let end = line.char_indices().nth(OUTPUT_CHARS_MAX).map_or(line.len(), |(end, _)| end);
    line[..end].to_owned()
}

/// The text of nodes that stand in a variable, as they are put into it.
pub(super) fn fill_all(
    nodes: &[Node],
    values: &Values<'_>,
    rng: &mut impl rand::Rng,
    now: DateTime<Utc>,
) -> String {
    Filler { values, rng, now, fetched: [].iter() }.fill_all(nodes)
}

/// Text of this size holds more than [`OUTPUT_CHARS_MAX`] characters, whatever they are.
const OUTPUT_BYTES_ENOUGH: usize = OUTPUT_CHARS_MAX * 8;

/// Whether the author alone made this piece.
fn is_authors(node: &Node) -> bool {
    match node {
        Node::Text(_) => true,
        Node::Variable(Variable::RandomPick(options)) => options.iter().all(is_authors),
        Node::Variable(_) => false,
    }
}

/// Whether this beginning decides that the line is no command, or which one it is.
fn is_settled(lead: &str) -> bool {
    let shown = lead.trim_start_matches(is_unseen);
    let word = defuse(shown);
    let is_command = shown.starts_with(is_command_prefix);
    if is_command { word.contains(char::is_whitespace) } else { !word.is_empty() }
}

struct Filler<'a, R> {
    values: &'a Values<'a>,
    rng: &'a mut R,
    now: DateTime<Utc>,
    /// What the next `$(urlfetch …)` become; they are met in the order in which they were asked for.
    fetched: std::slice::Iter<'a, String>,
}

impl<R: rand::Rng> Filler<'_, R> {
    fn fill(&mut self, node: &Node, text: &mut String) {
        match node {
            Node::Text(own) => text.push_str(own),
            Node::Variable(variable) => self.value(variable, text),
        }
    }

    fn value(&mut self, variable: &Variable, text: &mut String) {
        let values = self.values;
        match variable {
            Variable::User => text.push_str(values.user),
            Variable::ToUser => text.push_str(touser(values)),
            Variable::Word(place) => text.push_str(values.args.get(*place).map_or("", String::as_str)),
            Variable::Query => text.push_str(values.query),
            Variable::QueryString => text.push_str(&percent_encoded(values.query)),
            Variable::Count => match values.count {
                Some(count) => text.push_str(&count.to_string()),
                None => text.push_str(UNKNOWN),
            },
            Variable::Channel => text.push_str(values.channel),
            Variable::Game => text.push_str(values.stream.game_text()),
            Variable::Title => text.push_str(values.stream.title_text()),
            Variable::Uptime => text.push_str(&values.stream.uptime_text(self.now)),
            Variable::Quote => text.push_str(values.quote),
            Variable::RandomRange(bounds) => text.push_str(&self.number(bounds)),
            Variable::RandomPick(options) => text.push_str(&self.pick(options)),
            Variable::Time(zone) => match zone_of(&self.fill_all(zone)) {
                Some(zone) => text.push_str(&self.now.with_timezone(&zone).format("%H:%M").to_string()),
                None => text.push_str(UNREADABLE),
            },
            Variable::Countdown(when) => match moment::parse(&self.fill_all(when)) {
                Some(moment) => text.push_str(&human_duration(between(self.now, moment))),
                None => text.push_str(UNREADABLE),
            },
            Variable::UrlFetch(_) => text.push_str(self.fetched.next().map_or(UNREADABLE, String::as_str)),
            Variable::Countup(when) => match moment::parse(&self.fill_all(when)) {
                Some(moment) => text.push_str(&human_duration(between(moment, self.now))),
                None => text.push_str(UNREADABLE),
            },
        }
    }

    fn number(&mut self, bounds: &[Node]) -> String {
        match range_of(&self.fill_all(bounds)) {
            Some((from, to)) => self.rng.random_range(from..=to).to_string(),
            None => UNREADABLE.to_owned(),
        }
    }

    fn pick(&mut self, options: &[Node]) -> String {
        let mut options = options_of(&self.fill_all(options));
        if options.is_empty() {
            return UNREADABLE.to_owned();
        }
        let place = self.rng.random_range(0..options.len());
        options.swap_remove(place)
    }

    /// The text of what stands in a variable, cut where no answer could hold it.
    fn fill_all(&mut self, nodes: &[Node]) -> String {
        let mut text = String::new();
        for node in nodes {
            self.fill(node, &mut text);
            if text.len() > OUTPUT_BYTES_ENOUGH {
                break;
            }
        }
        text
    }
}

fn touser<'a>(values: &Values<'a>) -> &'a str {
    match values.touser.trim().trim_start_matches('@') {
        "" => values.user,
        named => named,
    }
}

/// For a URL's query: everything but letters, digits and `-_.~` as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => write!(encoded, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
    encoded
}
