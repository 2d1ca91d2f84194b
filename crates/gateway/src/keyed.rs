//! One request with an idempotency key: what its key stands for decides what becomes of it.

use bytes::Bytes;
use commerce::{DuplicateLevel, Mark, Outcome, Reason, Source};
use sources::{Accepted, Decision, Keyed, Reply};
use tokio::sync::oneshot;
use topics::{Lane, Topic};

use crate::claims::{self, Answer, Job, Met, Question, Turn};
use crate::intake::{Delivered, Ended, Intake, Stamp};
use crate::letter::STAGE;
use crate::producer::Record;
use crate::trace::Correlation;

impl Intake {
    /// Answers as the key was answered, or carries the decision out as the request that the key stands for.
    pub(crate) async fn by_key(
        &self,
        source: Source,
        keyed: &Keyed,
        decision: Decision,
        delivered: Delivered<'_>,
    ) -> Ended {
        let claims = matches!(decision, Decision::Accept(_));
        let question = Question { keyed, at: delivered.received_at, claims };
        let correlation = delivered.correlation;
        match self.claims.ask(question, delivered.deadline).await {
            Ok(Met::Mine(turn)) => match decision {
                Decision::Accept(accepted) => match self.apply(turn, keyed, &accepted, delivered).await {
                    Ok(()) => Ended::new(accepted.reply, Outcome::Published),
                    Err(error) => self.unavailable(source, &error, correlation),
                },
                other => {
                    // Not asked for, so not met.
                    drop(turn);
                    self.carry_out(source, other, delivered).await
                }
            },
            Ok(Met::Nobody) => self.carry_out(source, decision, delivered).await,
            Ok(Met::Answered { answer, same: true }) => {
                let more = u64::from(answer.records.saturating_sub(1));
                self.counts.more_duplicates(source, DuplicateLevel::Transport, more);
                replayed(&answer, Outcome::Duplicate(DuplicateLevel::Transport))
            }
            Ok(Met::Answered { answer, same: false }) => {
                // However often it comes, it is one difference.
                let (key, content) = (keyed.key.0.to_be_bytes(), keyed.content.0.to_be_bytes());
                let name = Mark::of(&[STAGE.as_bytes(), b"key", &key, &content]);
                match self.keep(source, keyed.letter.clone(), Some(name), delivered).await {
                    Ok(()) => replayed(&answer, Outcome::DeadLettered(keyed.letter.failure.reason)),
                    Err(error) => self.unavailable(source, &*error, correlation),
                }
            }
            Ok(Met::Busy) => {
                let reply = sources::in_progress(source, correlation.as_str());
                Ended::new(reply, Outcome::Rejected(Reason::InProgress))
            }
            Err(error) => self.unavailable(source, &error, correlation),
        }
    }

    /// Commits the raw record and the answer together.
    async fn apply(
        &self,
        turn: Turn,
        keyed: &Keyed,
        accepted: &Accepted,
        delivered: Delivered<'_>,
    ) -> Result<(), claims::Error> {
        let stamp = Stamp::of(&delivered);
        let (mut headers, lane) = stamp.headers(accepted);
        let round = turn.round();
        headers.extend(round.as_deref().map(|round| (sources::KEY_ROUND, round)));
        let raw_key = accepted.delivery.to_hex();
        let partition = self.producer.partition(&raw(&raw_key, lane, &delivered));
        let answer = turn.answer(Answer {
            claim: turn.flight.claim,
            at: delivered.received_at,
            records: keyed.records,
            correlation: delivered.correlation.as_str().to_owned(),
            status: accepted.reply.status,
            body: accepted.reply.body.clone(),
        });
        let (done, waits) = oneshot::channel();
        let job = Job {
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            raw: accepted.body.clone().map_or(delivered.bytes, Bytes::from),
            flight: turn.flight,
            millis: delivered.received_at.0.div_euclid(1_000),
            hold: delivered.hold,
            raw_key,
            partition,
            answer,
            done,
        };
        self.claims.commit(job, waits, delivered.deadline).await
    }
}

fn raw<'a>(key: &'a str, lane: Lane, delivered: &'a Delivered<'_>) -> Record<'a> {
    let (value, received_at) = (&*delivered.bytes, delivered.received_at);
    Record { topic: Topic::Raw, key, value, headers: &[], received_at, lane }
}

fn replayed(answer: &Answer, outcome: Outcome) -> Ended {
    let reply = Reply { replayed: true, ..Reply::new(answer.status, answer.body.clone()) };
    Ended::replayed(reply, outcome, Correlation::of(&answer.correlation))
}
