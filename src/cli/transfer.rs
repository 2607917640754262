//! `waddlebot export` and `waddlebot import`: quotes, commands, bookmarks and timers as JSON or CSV.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::client::Client;
use super::output::{Failure, print_json, say, tell, tell_part};

/// Largest file of an import, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Most rows and bytes of one call; the node takes 500 and 1 MiB.
const ROWS_PER_CALL: usize = 250;
const BYTES_PER_CALL: usize = 512 << 10;

/// Changes that are shown; the rest are counted.
const CHANGES_SHOWN_MAX: usize = 20;

/// What can be transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Quotes,
    Commands,
    Bookmarks,
    Timers,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Quotes => "quotes",
            Self::Commands => "commands",
            Self::Bookmarks => "bookmarks",
            Self::Timers => "timers",
        }
    }
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A list of objects
    Json,
    /// A table with the names of the fields in its first line
    Csv,
}

impl Format {
    /// What was asked for, else what the file's name says, else JSON.
    fn of(asked: Option<Self>, file: Option<&Path>) -> Self {
        let extension = file.and_then(Path::extension).and_then(|extension| extension.to_str());
        let by_name = extension.filter(|extension| extension.eq_ignore_ascii_case("csv")).map(|_| Self::Csv);
        asked.or(by_name).unwrap_or(Self::Json)
    }
}

#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    #[arg(value_enum)]
    kind: Kind,
    /// The channel; quotes, commands and bookmarks are those of its community
    key: String,
    /// Where to write; standard output when absent
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Default: as the file's name ends, else json
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    #[arg(value_enum)]
    kind: Kind,
    /// The channel that gets them, or whose community does
    key: String,
    /// The rows; `-` reads standard input
    file: PathBuf,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Default: as the file's name ends, else json
    #[arg(long, value_enum)]
    format: Option<Format>,
}

pub(super) async fn export(client: &Client, args: &ExportArgs) -> Result<(), Failure> {
    let cannot =
        |error: &dyn std::fmt::Display| Failure::said(format!("the export cannot be written: {error}"));
    let sink: Box<dyn Write> = match &args.out {
        Some(path) => Box::new(File::create(path).map_err(|error| cannot(&error))?),
        None => Box::new(std::io::stdout()),
    };
    let mut writer = Writer::new(BufWriter::new(sink), Format::of(args.format, args.out.as_deref()));
    let path = ["transfer", args.kind.as_str(), &args.key];
    let (mut cursor, mut n_rows) = (None::<String>, 0);
    loop {
        let query: Vec<(&str, &str)> = cursor.iter().map(|cursor| ("cursor", cursor.as_str())).collect();
        let page = client.get(&path, &query).await?;
        let (Some(rows), Some(columns)) = (page["rows"].as_array(), page["columns"].as_array()) else {
            return Err(Failure::said("the node answered with no rows; is it a waddlebot of this version?"));
        };
        let columns: Vec<&str> = columns.iter().filter_map(Value::as_str).collect();
        writer.rows(&columns, rows).map_err(|error| cannot(&error))?;
        n_rows += rows.len();
        match page["next_cursor"].as_str() {
            Some(next) if cursor.as_deref() != Some(next) => cursor = Some(next.to_owned()),
            _ => break,
        }
    }
    writer.end().map_err(|error| cannot(&error))?;
    tell(format_args!("{n_rows} {} exported", args.kind.as_str()));
    Ok(())
}

/// Writes rows page by page.
struct Writer<W: Write> {
    sink: W,
    format: Format,
    n_rows: usize,
    has_header: bool,
}

impl<W: Write> Writer<W> {
    const fn new(sink: W, format: Format) -> Self {
        Self { sink, format, n_rows: 0, has_header: false }
    }

    fn rows(&mut self, columns: &[&str], rows: &[Value]) -> std::io::Result<()> {
        match self.format {
            Format::Json => {
                for row in rows {
                    let start = if self.n_rows == 0 { "[\n" } else { ",\n" };
                    write!(self.sink, "{start}{row}")?;
                    self.n_rows += 1;
                }
                Ok(())
            }
            Format::Csv => {
                let mut table = csv::Writer::from_writer(&mut self.sink);
                if !std::mem::replace(&mut self.has_header, true) {
                    table.write_record(columns)?;
                }
                for row in rows {
                    table.write_record(columns.iter().map(|column| cell(&row[*column])))?;
                }
                table.flush()
            }
        }
    }

    fn end(mut self) -> std::io::Result<()> {
        if self.format == Format::Json {
            self.sink.write_all(if self.n_rows == 0 { b"[]\n" } else { b"\n]\n" })?;
        }
        self.sink.flush()
    }
}

/// A value as a table holds it: lists with commas, nothing for null.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

pub(super) async fn import(client: &Client, args: &ImportArgs, json: bool) -> Result<(), Failure> {
    let rows = read(&args.file, Format::of(args.format, Some(&args.file)))?;
    if rows.is_empty() {
        return Err(Failure::said("the file holds no rows"));
    }
    let calls = in_calls(rows);
    // All of it is tried first, so that a row that is wrong is found before anything is changed.
    let tried = send(client, args, &calls, true).await?;
    let done = if args.dry_run { tried } else { send(client, args, &calls, false).await? };
    if json {
        print_json(&done.value(args.dry_run));
        return Ok(());
    }
    for line in done.changes.iter().take(CHANGES_SHOWN_MAX) {
        say(line);
    }
    if done.changes.len() > CHANGES_SHOWN_MAX {
        say(format_args!("and {} more", done.changes.len() - CHANGES_SHOWN_MAX));
    }
    let would = if args.dry_run { " would be" } else { "" };
    say(format_args!(
        "{}{would} added, {}{would} changed, {} there already",
        done.added, done.changed, done.same
    ));
    Ok(())
}

/// The sums of all calls.
#[derive(Debug, Default)]
struct Sums {
    added: u64,
    changed: u64,
    same: u64,
    changes: Vec<String>,
}

impl Sums {
    fn value(&self, dry_run: bool) -> Value {
        json!({ "dry_run": dry_run, "added": self.added, "changed": self.changed, "same": self.same,
            "changes": self.changes })
    }
}

async fn send(
    client: &Client,
    args: &ImportArgs,
    calls: &[(usize, Vec<Map<String, Value>>)],
    dry_run: bool,
) -> Result<Sums, Failure> {
    let shows_progress = calls.len() > 1 && std::io::stderr().is_terminal();
    let n_rows: usize = calls.iter().map(|(_, rows)| rows.len()).sum();
    let mut sums = Sums::default();
    for (first, rows) in calls {
        let body = json!({ "dry_run": dry_run, "rows": rows });
        let sent = client.post(&["transfer", args.kind.as_str(), &args.key], &body).await;
        let done = sent.map_err(|failure| {
            let again =
                if dry_run { "nothing was changed" } else { "run it again: what is there is left alone" };
            Failure::said(format!("rows {} to {}: {failure}; {again}", first + 1, first + rows.len()))
        })?;
        let count = |name: &str| done[name].as_u64().unwrap_or(0);
        (sums.added, sums.changed) = (sums.added + count("added"), sums.changed + count("changed"));
        sums.same += count("same");
        for line in done["changes"].as_array().into_iter().flatten() {
            let row = line["row"].as_u64().unwrap_or(0) + *first as u64;
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            sums.changes.push(format!(
                "row {row}: {} {}",
                text("did"),
                super::output::visible(&text("what"))
            ));
        }
        if shows_progress {
            let doing = if dry_run { "checked" } else { "imported" };
            tell_part(format_args!("\r{} of {n_rows} rows {doing}", first + rows.len()));
        }
    }
    if shows_progress {
        tell("");
    }
    Ok(sums)
}

/// Cuts rows into calls; each with the number of rows before it.
fn in_calls(rows: Vec<Map<String, Value>>) -> Vec<(usize, Vec<Map<String, Value>>)> {
    let mut calls: Vec<(usize, Vec<Map<String, Value>>)> = Vec::new();
    let mut n_bytes = 0;
    for (before, row) in rows.into_iter().enumerate() {
        let row_bytes = serde_json::to_string(&row).map_or(0, |text| text.len());
        match calls.last_mut() {
            Some((_, call)) if call.len() < ROWS_PER_CALL && n_bytes + row_bytes <= BYTES_PER_CALL => {
                call.push(row);
                n_bytes += row_bytes;
            }
            _ => {
                calls.push((before, vec![row]));
                n_bytes = row_bytes;
            }
        }
    }
    calls
}

fn read(file: &Path, format: Format) -> Result<Vec<Map<String, Value>>, Failure> {
    let unreadable =
        |error: &dyn std::fmt::Display| Failure::said(format!("{} cannot be read: {error}", file.display()));
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| unreadable(&error))?)
    };
    let mut text = String::new();
    source.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::said(format!("{} is larger than {} MiB", file.display(), FILE_BYTES_MAX >> 20)));
    }
    // Some spreadsheets begin a file with this mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match format {
        Format::Json => serde_json::from_str(text)
            .map_err(|error| Failure::said(format!("{} is no list of objects: {error}", file.display()))),
        Format::Csv => read_table(text).map_err(|error| unreadable(&error)),
    }
}

fn read_table(text: &str) -> Result<Vec<Map<String, Value>>, csv::Error> {
    let mut table = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(text.as_bytes());
    let columns = table.headers()?.clone();
    let mut rows = Vec::new();
    for record in table.records() {
        let record = record?;
        let cells = columns.iter().zip(record.iter());
        rows.push(cells.map(|(column, cell)| (column.to_owned(), Value::from(cell))).collect());
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Map<String, Value> {
        let mut row = Map::new();
        row.insert("quote_text".to_owned(), text.into());
        row
    }

    #[test]
    fn a_table_with_quotes_commas_and_line_ends_comes_back_as_it_was() {
        let rows = [
            json!({ "name": "a", "text": "one, \"two\"\nthree", "tags": ["x", "y"], "flag": true, "n": 5, "none": null }),
            json!({ "name": "b", "text": "=1+1", "tags": [], "flag": false, "n": 0, "none": null }),
        ];
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, Format::Csv);
        let columns = ["name", "text", "tags", "flag", "n", "none"];
        writer.rows(&columns, &rows[..1]).unwrap();
        writer.rows(&columns, &rows[1..]).unwrap();
        writer.end().unwrap();
        let back = read_table(std::str::from_utf8(&bytes).unwrap()).unwrap();
        assert_eq!(back.len(), 2);
        assert_eq!(back[0]["text"], "one, \"two\"\nthree");
        assert_eq!(
            (&back[0]["tags"], &back[0]["flag"], &back[0]["none"]),
            (&json!("x, y"), &json!("true"), &json!(""))
        );
        assert_eq!(back[1]["text"], "=1+1");
        assert!(read_table("a,b\n1\n").is_err(), "a line with too few cells");
    }

    #[test]
    fn json_is_one_list_over_all_pages() {
        for n_pages in 0..3 {
            let mut bytes = Vec::new();
            let mut writer = Writer::new(&mut bytes, Format::Json);
            for page in 0..n_pages {
                writer.rows(&[], &[json!({ "page": page }), json!({})]).unwrap();
            }
            writer.end().unwrap();
            let back: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(back.len(), 2 * n_pages);
        }
    }

    #[test]
    fn a_call_is_bounded_in_rows_and_bytes() {
        let calls = in_calls((0..600).map(|n| row(&n.to_string())).collect());
        let sizes: Vec<_> = calls.iter().map(|(before, rows)| (*before, rows.len())).collect();
        assert_eq!(sizes, [(0, 250), (250, 250), (500, 100)]);
        let long = "x".repeat(BYTES_PER_CALL / 2);
        assert_eq!(in_calls((0..4).map(|_| row(&long)).collect()).len(), 4);
    }

    #[test]
    fn the_format_is_what_was_asked_for_or_what_the_name_says() {
        let csv = Path::new("quotes.CSV");
        assert_eq!(Format::of(None, Some(csv)), Format::Csv);
        assert_eq!(Format::of(Some(Format::Json), Some(csv)), Format::Json);
        assert_eq!(Format::of(None, None), Format::Json);
    }
}
