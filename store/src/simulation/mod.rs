//! The whole store on a simulated machine that crashes: log, flush, commits and recovery as they are, on one thread.
//!
//! Turmoil gives the machine: a runtime whose clock stands still until everybody waits, and a disk that keeps
//! what was synced ([`disk`], [`power`]). A life ([`life`]) opens the store, sends requests and events of every kind, settles
//! and flushes, and at an operation of the disk that the seed chose the power goes or the process is killed.
//! Then the next life begins, and everything that was acknowledged must be there once ([`check`]).
//!
//! `FLYBALL_SIMULATED_CRASHES` sets how many crashes are tried, `FLYBALL_SEED` which history comes
//! first (and, alone, the only one): the same seed gives the same operations of the disk, which the printed hash shows.
//!
//! What runs on other threads meanwhile: deltalake reads and writes checkpoints of its log there, and our sorting
//! and encoding. The one life waits for each of them, so the order of what changes the disk is not touched.
// The whole machine lives on one thread.
#![allow(clippy::unwrap_used, clippy::future_not_send)]

mod check;
mod client;
mod dice;
mod disk;
mod life;
mod model;
mod objects;
mod power;
mod tape;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use turmoil::fs::FsHandle;

use life::{End, Run};

/// Crashes of one history, after which it starts anew on an empty disk.
const CRASHES: u32 = 6;
/// Lives of one history: those that end in order do not count.
const LIVES: u32 = 24;

/// What a history came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Story {
    hash: u64,
    operations: u64,
    crashes: u32,
    spans: usize,
}

/// What passes between the machine and whoever watches it.
struct Stage {
    run: Cell<Option<Run>>,
    scene: Cell<Scene>,
    ended: Cell<Option<End>>,
}

#[derive(Debug, Clone, Copy)]
enum Scene {
    Prepare,
    Live,
    Rest,
}

async fn play(stage: Rc<Stage>) -> turmoil::Result {
    let mut run = stage.run.take().unwrap();
    let end = match stage.scene.get() {
        Scene::Prepare => {
            run.prepare(FsHandle::current());
            End::Killed
        }
        Scene::Live => run.live(FsHandle::current()).await,
        Scene::Rest => {
            run.rest(FsHandle::current()).await;
            End::Closed
        }
    };
    stage.run.set(Some(run));
    stage.ended.set(Some(end));
    std::future::pending().await
}

fn history(seed: u64, lies: bool) -> Story {
    let run = Run::new(seed, lies);
    let disk = run.disk.clone();
    let stage = Rc::new(Stage {
        run: Cell::new(Some(run)),
        scene: Cell::new(Scene::Prepare),
        ended: Cell::new(None),
    });
    let mut builder = turmoil::Builder::new();
    builder
        .rng_seed(seed)
        .tick_duration(Duration::from_secs(1))
        .simulation_duration(Duration::from_secs(1 << 30));
    builder
        .fs()
        .block_size(power::BLOCK)
        .capacity(power::CAPACITY);
    let mut sim = builder.build();
    let actor = Rc::clone(&stage);
    sim.host("store", move || play(Rc::clone(&actor)));
    let mut scene = |scene: Scene| {
        stage.scene.set(scene);
        loop {
            if let Err(error) = sim.step() {
                for line in disk.last() {
                    println!("{line}");
                }
                panic!("seed {seed}, hash {:016x}: {error}", disk.hash());
            }
            if let Some(end) = stage.ended.take() {
                if end == End::Power {
                    sim.crash("store");
                }
                sim.bounce("store");
                return end;
            }
        }
    };
    scene(Scene::Prepare);
    let mut crashes = 0;
    for _ in 0..LIVES {
        if crashes < CRASHES {
            crashes += u32::from(scene(Scene::Live) != End::Closed);
        }
    }
    scene(Scene::Rest);
    let run = stage.run.take().unwrap();
    Story {
        hash: disk.hash(),
        operations: disk.operations(),
        crashes,
        spans: run.model.latest().len(),
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_a_crash() {
    let one = number("FLYBALL_SEED");
    let wanted = number("FLYBALL_SIMULATED_CRASHES").unwrap_or(if one.is_some() { 1 } else { 150 });
    let (mut seed, mut crashes, mut operations, mut spans) = (one.unwrap_or(1), 0, 0, 0);
    let started = std::time::Instant::now();
    while crashes < wanted {
        let story = history(seed, false);
        println!(
            "seed {seed}: {} crashes, {} operations, hash {:016x}",
            story.crashes, story.operations, story.hash
        );
        crashes += u64::from(story.crashes);
        operations += story.operations;
        spans += story.spans;
        seed += 1;
    }
    println!(
        "{crashes} crashes, {operations} operations, {spans} spans, {:?}",
        started.elapsed()
    );
}

#[test]
fn a_seed_replays_its_history() {
    for seed in 1_000_001..1_000_005 {
        assert_eq!(history(seed, false), history(seed, false), "seed {seed}");
    }
}

/// The watchman is watched: on a disk that only says it has synced the log, something must be missed.
#[test]
fn a_disk_that_lies_is_found_out() {
    let honest = |seed| std::panic::catch_unwind(|| history(seed, true)).is_ok();
    assert!(
        (1..50).any(|seed| !honest(seed)),
        "a disk that lies goes unnoticed"
    );
}
