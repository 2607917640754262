//! Nodes and values → text.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use rand::RngExt;

use super::variable::{options_of, range_of, zone_of};
use super::{Node, OUTPUT_CHARS_MAX, Values, Variable, moment};
use crate::duration::human_duration;
use crate::reply_text::{clean, defuse, is_command_prefix, is_unseen};
use crate::stream_info::{UNKNOWN, between};

/// Said where a nested value turned out not to fit.
const UNREADABLE: &str = "?";

/// Fills a whole template.
pub(super) fn expand(
    nodes: &[Node],
    values: &Values<'_>,
    rng: &mut impl rand::Rng,
    now: DateTime<Utc>,
) -> String {
    let mut filler = Filler { values, rng, now };
    let mut text = String::new();
    // What the author wrote before the first piece that came from elsewhere. `None`: no such piece came yet.
    let mut authors_lead = None;
    for node in nodes {
        let piece = filler.fill(node);
        if authors_lead.is_none() && !is_authors(node) && !piece.is_empty() {
            authors_lead = Some(text.clone());
        }
        text.push_str(&piece);
        if text.len() > OUTPUT_BYTES_ENOUGH {
            break;
        }
    }
    let line = clean(&text);
    let is_safe = authors_lead.is_none_or(|lead| is_settled(&lead));
    let line = if is_safe { &line } else { defuse(&line) };
    line.chars().take(OUTPUT_CHARS_MAX).collect()
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
}

impl<R: rand::Rng> Filler<'_, R> {
    fn fill(&mut self, node: &Node) -> String {
        match node {
            Node::Text(text) => text.clone(),
            Node::Variable(variable) => self.value(variable),
        }
    }

    fn value(&mut self, variable: &Variable) -> String {
        let values = self.values;
        match variable {
            Variable::User => values.user.to_owned(),
            Variable::ToUser => touser(values).to_owned(),
            Variable::Word(place) => values.args.get(*place).cloned().unwrap_or_default(),
            Variable::Query => values.query.to_owned(),
            Variable::QueryString => percent_encoded(values.query),
            Variable::Count => values.count.map_or_else(|| UNKNOWN.to_owned(), |count| count.to_string()),
            Variable::Channel => values.channel.to_owned(),
            Variable::Game => values.stream.game_text().to_owned(),
            Variable::Title => values.stream.title_text().to_owned(),
            Variable::Uptime => values.stream.uptime_text(self.now),
            Variable::RandomRange(bounds) => self.number(bounds),
            Variable::RandomPick(options) => self.pick(options),
            Variable::Time(zone) => match zone_of(&self.fill_all(zone)) {
                Some(zone) => self.now.with_timezone(&zone).format("%H:%M").to_string(),
                None => UNREADABLE.to_owned(),
            },
            Variable::Countdown(when) => match moment::parse(&self.fill_all(when)) {
                Some(moment) => human_duration(between(self.now, moment)),
                None => UNREADABLE.to_owned(),
            },
            Variable::Countup(when) => match moment::parse(&self.fill_all(when)) {
                Some(moment) => human_duration(between(moment, self.now)),
                None => UNREADABLE.to_owned(),
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
            text.push_str(&self.fill(node));
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
