//! Time that passes where no records come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use stream::{Context, Failure, Observer, Outgoing, Output, Poison, Processor, Record, Stage, Wake, Writer};

use crate::cluster::{client, count, produce, wait};
use crate::counting::{COUNTS, Job, Seen};

/// How often a task was asked when it is to be woken.
static ASKED: AtomicUsize = AtomicUsize::new(0);

fn clock() -> i64 {
    crate::counting::clock() * 1_000
}

/// Waits until the stage has asked itself a few times more what is due.
fn let_it_ask() {
    let before = ASKED.load(Ordering::Relaxed);
    wait("a few questions", || ASKED.load(Ordering::Relaxed) >= before + 5);
}

/// Has something due from the beginning until it is told the time, and says once that it was.
struct Sleeper;

impl Processor for Sleeper {
    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        if ctx.get(COUNTS, b"woken").is_none() {
            ctx.put(COUNTS, b"woken", b"")?;
            ctx.emit(0, Some(ctx.partition()), record.key, record.value)?;
        }
        Ok(())
    }

    fn wakes_at(&self, ctx: &Context<'_>) -> Result<Option<i64>, Failure> {
        ASKED.fetch_add(1, Ordering::Relaxed);
        Ok(ctx.get(COUNTS, b"woken").is_none().then_some(0))
    }

    fn wake(&mut self, now: i64, ctx: &mut Context<'_>) -> Result<(), Failure> {
        ctx.emit(1, Some(ctx.partition()), b"tick", Some(now.to_string().as_bytes()))
    }

    fn dead_letter(&mut self, _: &Record<'_>, poison: &Poison, _: &mut Context<'_>) -> Result<(), Failure> {
        Err(Failure::Fatal(poison.to_string()))
    }
}

#[test]
fn a_stage_is_told_the_time_once_what_was_written_before_it_has_been_handed_on() {
    let upstream = Job::new("upstream", 2);
    let job = Job::new("sleeper", 1);
    produce(&upstream.stage.input, 0, 10, 5);
    // The marker behind a transaction is an offset that no group ever commits.
    let writer = Writer::start(&client(), "wake-writer", 100_000, &|| false).unwrap();
    let redriven = Outgoing {
        topic: &upstream.stage.input,
        partition: Some(0),
        key: b"k0",
        value: Some(b"10"),
        timestamp_millis: 0,
        headers: &[],
    };
    writer.write(&[redriven]).unwrap();
    let input = Output { topic: job.stage.input.clone(), max_message_bytes: 100_000 };
    let stage = Stage {
        outputs: vec![job.stage.outputs[0].clone(), input],
        wake: Some(Wake {
            every: Duration::from_millis(20),
            margin: Duration::ZERO,
            clock,
            topic: upstream.stage.input.clone(),
            group: upstream.stage.name.clone(),
            has_lane: false,
        }),
        ..job.stage.clone()
    };
    let start = || {
        let (stage, stop) = (stage.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let observer: Arc<dyn Observer> = Arc::new(Seen::default());
            let make = || Ok(Box::new(Sleeper) as Box<dyn Processor>);
            stream::run(&stage, &make, &observer, &|| stopped.load(Ordering::Relaxed))
        });
        move || {
            stop.store(true, Ordering::Relaxed);
            thread.join().unwrap().unwrap();
        }
    };
    let end = start();
    let_it_ask();
    assert_eq!(count(&job.stage.input), 0, "what waits upstream may be what makes it pointless");
    let copy = upstream.start("a");
    wait("the tick, and what comes of it", || count(job.out()) == 1);
    end();
    let ticks = count(&job.stage.input);
    let end = start();
    let_it_ask();
    end();
    copy.stop().unwrap();
    assert_eq!((count(&job.stage.input), count(job.out())), (ticks, 1), "nothing is due any more");
}
