//! Statements one after the other: typed at a prompt that remembers them, or read from standard input.

use std::borrow::Cow;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use flyball_query::catalogue::{self, Kind};
use flyball_query::format::{Format, render};
use flyball_store::Moment;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Editor, Helper};

use super::door::Door;
use super::split;
use crate::say::say;

/// Statements that are remembered.
const HISTORY_MAX: usize = 1000;

/// Commands of the prompt itself, and what they do.
#[rustfmt::skip]
const COMMANDS: [(&str, &str); 8] = [
    ("\\d",             "tables and views"),
    ("\\d NAME",        "columns of one"),
    ("\\metrics",       "metrics, and what each measures"),
    ("\\format FORMAT", "print as table, csv, json or jsonl"),
    ("\\read MOMENT",   "read latest, committed, a time (RFC 3339), or how long ago (90s, 15m, 2h, 7d)"),
    ("\\timing",        "say how long each statement took, or stop saying so"),
    ("\\?",             "this list"),
    ("\\q",             "leave; so does Ctrl-D"),
];

/// What holds from one statement to the next.
pub(super) struct Shell<'d> {
    door: &'d Door,
    format: Format,
    moment: Moment,
    timing: bool,
}

/// Whether to go on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    On,
    Leave,
}

impl<'d> Shell<'d> {
    pub(super) fn new(door: &'d Door, format: Format, moment: Moment) -> Self {
        Self {
            door,
            format,
            moment,
            timing: false,
        }
    }

    /// Until the input ends, or somebody leaves.
    pub(super) async fn run(&mut self) -> Result<()> {
        match std::io::stdin().is_terminal() {
            true => self.prompt().await,
            false => self.script().await,
        }
    }

    /// Asks for one after the other. What goes wrong is told, and the next is asked for.
    async fn prompt(&mut self) -> Result<()> {
        let config = rustyline::Config::builder()
            .max_history_size(HISTORY_MAX)?
            .history_ignore_space(true)
            .build();
        let mut editor: Editor<Lines, DefaultHistory> = Editor::with_config(config)?;
        editor.set_helper(Some(Lines));
        // Without a place for it, nothing is remembered.
        let history = history_file().filter(|path| make_private(path).is_ok());
        if let Some(path) = &history {
            let _ = editor.load_history(path);
        }
        say!("SQL, ended by a semicolon. \\? lists what else there is, \\q leaves.");
        loop {
            let mut text = match editor.readline("flyball> ") {
                Ok(text) => text,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if text.trim().is_empty() {
                continue;
            }
            editor.add_history_entry(text.as_str())?;
            if let Some(path) = &history {
                let _ = editor.append_history(path);
            }
            match self.take(&mut text).await {
                Ok(Next::On) => {}
                Ok(Next::Leave) => return Ok(()),
                Err(error) => eprintln!("flyball: {}", crate::words(&error)),
            }
        }
    }

    /// Runs what standard input says, and ends at the first error.
    async fn script(&mut self) -> Result<()> {
        let mut text = String::new();
        // Adds a line with its end, until there is none.
        while std::io::stdin().read_line(&mut text)? > 0 {
            if self.take(&mut text).await? == Next::Leave {
                return Ok(());
            }
        }
        if !split::is_blank(&text) {
            self.ask(text.trim()).await?;
        }
        Ok(())
    }

    /// Does what has been said as a whole; what has not ended stays in the text.
    async fn take(&mut self, text: &mut String) -> Result<Next> {
        loop {
            text.drain(..text.len() - text.trim_start().len());
            if text.starts_with('\\') {
                let rest = text.split_off(text.find('\n').map_or(text.len(), |at| at + 1));
                let command = std::mem::replace(text, rest);
                if self.command(command.trim()).await? == Next::Leave {
                    return Ok(Next::Leave);
                }
                continue;
            }
            match split::first(text) {
                Some(statement) if split::is_blank(&statement) => {}
                Some(statement) => self.ask(&statement).await?,
                None => return Ok(Next::On),
            }
        }
    }

    async fn command(&mut self, command: &str) -> Result<Next> {
        let (name, rest) = command
            .split_once(char::is_whitespace)
            .unwrap_or((command, ""));
        match (name, rest.trim().trim_end_matches(';')) {
            ("\\q", "") => return Ok(Next::Leave),
            ("\\?", "") => {
                for (command, what) in COMMANDS {
                    say!("{command:16} {what}");
                }
            }
            ("\\d", "") => self.ask(TABLES).await?,
            ("\\d", table) => self.describe(table).await?,
            ("\\metrics", "") => {
                let metrics = catalogue::all();
                for metric in metrics.iter().filter(|entry| entry.kind == Kind::Metric) {
                    say!("{:40} {}", metric.name, metric.summary);
                }
            }
            ("\\timing", "") => {
                self.timing = !self.timing;
                say!("timing is {}", if self.timing { "on" } else { "off" });
            }
            ("\\format", format) => match format.parse::<Format>()? {
                binary if binary.is_binary() && std::io::stdout().is_terminal() => {
                    bail!(
                        "{binary} is not for terminals: `flyball query SQL --output FILE` writes it"
                    );
                }
                format => self.format = format,
            },
            ("\\read", moment) => self.moment = moment.parse()?,
            _ => bail!("{command}: no such command, or it takes something else; \\? lists them"),
        }
        Ok(Next::On)
    }

    /// The columns of a table or view.
    async fn describe(&self, table: &str) -> Result<()> {
        let quoted = table.replace('\'', "''");
        let sql = format!("{COLUMNS} AND table_name = '{quoted}' ORDER BY ordinal_position");
        let rows = self.door.rows(&sql, Moment::Latest).await?;
        if rows.iter().all(|batch| batch.num_rows() == 0) {
            bail!("\\d {table}: there is no such table or view; \\d lists them");
        }
        say!("{}", render(&rows, Format::Table)?.trim_end());
        Ok(())
    }

    /// Prints the rows of one statement. Ctrl-C ends the statement, and nothing else.
    async fn ask(&self, sql: &str) -> Result<()> {
        let started = Instant::now();
        let mut out = std::io::stdout();
        let answer = self.door.answer(sql, self.moment, self.format, &mut out);
        tokio::select! {
            done = answer => { done?; }
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                bail!("the statement was ended");
            }
        }
        out.flush()?;
        if self.timing {
            say!("{:.1} ms", started.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(())
    }
}

const TABLES: &str = "SELECT table_name AS name, lower(replace(table_type, 'BASE ', '')) AS kind \
     FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1";
const COLUMNS: &str = "SELECT column_name, data_type, is_nullable FROM information_schema.columns \
     WHERE table_schema = 'public'";

/// Tells the editor when what was typed is whole, so that a statement of many lines is one entry.
struct Lines;

impl Validator for Lines {
    fn validate(&self, typed: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let mut text = typed.input().to_owned();
        let command = text.trim_start().starts_with('\\');
        while split::first(&mut text).is_some() {}
        Ok(if command || split::is_blank(&text) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl Completer for Lines {
    type Candidate = String;
}

impl Hinter for Lines {
    type Hint = String;
}

impl Highlighter for Lines {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _default: bool,
    ) -> Cow<'b, str> {
        Cow::Borrowed(prompt)
    }
}

impl Helper for Lines {}

/// Where statements are remembered: `$XDG_STATE_HOME/flyball/history`, or `~/.local/state/flyball/history`.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.filter(|path| path.is_absolute()).or_else(|| {
        let home = std::env::var_os("HOME").map(PathBuf::from)?;
        Some(home.join(".local/state"))
    })?;
    Some(state.join("flyball/history"))
}

/// A file that its owner alone can read, made when it is not there: statements name people.
fn make_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options
        .open(path)?
        .set_permissions(Permissions::from_mode(0o600))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_remembered_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/flyball/history");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        make_private(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        make_private(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
    }
}
