//! What was computed of a figure for a question, kept until a cell of the figure changes.
//!
//! A dashboard asks the same questions again and again, and each snapshot shares the figures that haven't changed with
//! the one before. A union of the sets of a year, or the best of some ten thousand products, is computed once then.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The answers to so many different questions are kept; the oldest goes first.
const MOST: usize = 16;

/// Answers by question. A copy has none: it is made in order to be changed.
#[derive(Debug)]
pub struct Memo<T>(Mutex<VecDeque<(String, Answer<T>)>>);

/// Filled by the first who asks; the others wait for it.
type Answer<T> = Arc<OnceLock<Arc<T>>>;

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Clone for Memo<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> Memo<T> {
    /// The answer to a question; `question` has in it all that the answer depends on besides the figure.
    pub fn answer(&self, question: &str, compute: impl FnOnce() -> T) -> Arc<T> {
        let answer = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match known.iter().find(|(asked, _)| asked == question) {
                Some((_, answer)) => Arc::clone(answer),
                None => {
                    let answer = Answer::default();
                    known.push_back((question.to_owned(), Arc::clone(&answer)));
                    if known.len() > MOST {
                        known.pop_front();
                    }
                    answer
                }
            }
        };
        Arc::clone(answer.get_or_init(|| Arc::new(compute())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_computed_once_until_the_figure_is_copied_to_be_changed() {
        let memo = Memo::default();
        assert_eq!(*memo.answer("a", || 1), 1);
        assert_eq!((*memo.answer("a", || 2), *memo.answer("b", || 3)), (1, 3));
        assert_eq!(*memo.clone().answer("a", || 4), 4);
    }

    #[test]
    fn so_many_questions_are_remembered_and_no_more() {
        let memo = Memo::default();
        for number in 0..MOST * 3 {
            memo.answer(&number.to_string(), || number);
        }
        assert_eq!(memo.0.lock().unwrap().len(), MOST);
        assert_eq!(*memo.answer("0", || usize::MAX), usize::MAX);
    }
}
