//! A line on stderr that moves, where somebody looks.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// The width of the bar.
const WIDTH: u64 = 30;
/// Between two pictures of it.
const PACE: Duration = Duration::from_millis(200);

/// How far something long has come. Shows nothing where stderr is no terminal.
#[derive(Debug)]
pub struct Progress {
    what: String,
    of: u64,
    done: u64,
    shown: Option<Instant>,
    is_wanted: bool,
}

impl Progress {
    /// Nothing done of `of` so far.
    pub fn new(what: &str, of: u64) -> Self {
        let is_wanted = std::io::stderr().is_terminal();
        Self { what: what.to_owned(), of, done: 0, shown: None, is_wanted }
    }

    /// One more.
    pub fn step(&mut self) {
        self.done = self.done.saturating_add(1);
        if self.done.is_multiple_of(64) {
            self.show("");
        }
    }

    /// So many by now, and what there is to say of it.
    pub fn reach(&mut self, done: u64, note: &str) {
        self.done = done;
        self.show(note);
    }

    fn show(&mut self, note: &str) {
        if self.is_wanted && self.shown.is_none_or(|at| at.elapsed() >= PACE) {
            self.shown = Some(Instant::now());
            eprint!("\r{:<10} {} {} {note} ", self.what, bar(self.done, self.of), self.done);
        }
    }

    /// Takes the line away.
    pub fn end(&self) {
        if self.shown.is_some() {
            eprint!("\r{:80}\r", "");
        }
    }
}

/// The part of `of` that is done as a bar.
pub fn bar(done: u64, of: u64) -> String {
    let filled = done.min(of).saturating_mul(WIDTH) / of.max(1);
    let filled = if of == 0 { WIDTH } else { filled };
    (0..WIDTH).fold("[".to_owned(), |bar, at| bar + if at < filled { "#" } else { "." }) + "]"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_full_when_all_is_done_and_only_then() {
        assert_eq!(bar(0, 10), format!("[{}]", ".".repeat(30)));
        assert_eq!(bar(5, 10), format!("[{}{}]", "#".repeat(15), ".".repeat(15)));
        assert!(bar(999, 1000).ends_with(".]"));
        for (done, of) in [(10, 10), (11, 10), (0, 0)] {
            assert_eq!(bar(done, of), format!("[{}]", "#".repeat(30)));
        }
    }
}
