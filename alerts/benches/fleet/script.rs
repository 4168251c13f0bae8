//! What an execution does, step by step.

use std::collections::VecDeque;

use super::cast::{Agent, Trade};
use super::dice::Dice;
use super::shape::{CODE, CONVERSATION, around, below, fresh, pick};
use super::{MINUTE, SECOND};

/// A step. Whether a tool fails, what a token costs and how much is cached shows when it is taken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Do {
    Model {
        context: i64,
        output: i64,
    },
    /// Typical seconds; a failure is tried again, a few times.
    Tool {
        name: &'static str,
        input: u64,
        seconds: f64,
    },
    /// A tool that fails and is called again at once, whatever comes back.
    Storm {
        name: &'static str,
        input: u64,
    },
    Pause(i64),
}

/// A step, and whether it is there only since something is wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) act: Do,
    pub(super) bad: bool,
}

impl Do {
    pub(super) fn well(self) -> Step {
        Step {
            act: self,
            bad: false,
        }
    }

    pub(super) fn bad(self) -> Step {
        Step {
            act: self,
            bad: true,
        }
    }
}

/// An execution as it is meant to go.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) steps: VecDeque<Step>,
    /// Whether it hands over to a person in the end, or fails.
    pub(super) ending: &'static str,
    /// Executions of one conversation.
    pub(super) session: u64,
}

/// How one execution of an agent goes; `number` is how many it had before.
pub(super) fn script(agent: &Agent, number: u64, dice: &mut Dice) -> Script {
    let mut steps = VecDeque::new();
    match agent.trade {
        Trade::Chat => chat(&mut steps, number, dice),
        Trade::Rag => rag(&mut steps, dice),
        Trade::Support => support(&mut steps, dice),
        Trade::Coding => coding(&mut steps, dice),
        Trade::Batch => batch(&mut steps, dice),
        Trade::Pipeline => pipeline(&mut steps, dice),
    }
    let escalates = agent.trade == Trade::Support && dice.uniform() < 0.05;
    let ending = match dice.uniform() {
        _ if escalates => "escalation",
        x if x < 0.04 => "failure",
        _ => "success",
    };
    Script {
        steps,
        ending,
        session: number / 4,
    }
}

fn model(context: f64, output: f64) -> Step {
    let tokens = |n: f64, most: f64| n.clamp(1.0, most) as i64;
    Do::Model {
        context: tokens(context, 190_000.0),
        output: tokens(output, 8_000.0),
    }
    .well()
}

fn tool(name: &'static str, input: u64, seconds: f64) -> Step {
    Do::Tool {
        name,
        input,
        seconds,
    }
    .well()
}

fn chat(steps: &mut VecDeque<Step>, number: u64, dice: &mut Dice) {
    let (context, output) = pick(dice, &CONVERSATION);
    // Each turn of a session carries those before.
    let context = (600 + context * (1 + number as i64 % 4)) as f64;
    if dice.uniform() < 0.3 {
        steps.push_back(model(context, 40.0));
        steps.push_back(tool("search_help", fresh(dice), 0.4));
        steps.push_back(model(context + 1_500.0, output as f64));
    } else {
        steps.push_back(model(context, output as f64));
    }
}

fn rag(steps: &mut VecDeque<Step>, dice: &mut Dice) {
    steps.push_back(tool("retrieve", fresh(dice), 0.3));
    if dice.uniform() < 0.15 {
        steps.push_back(tool("web_search", fresh(dice), 1.2));
    }
    let context = around(dice, 6_000.0, 0.5);
    steps.push_back(model(context, around(dice, 250.0, 0.6)));
}

fn support(steps: &mut VecDeque<Step>, dice: &mut Dice) {
    let mut context = around(dice, 3_500.0, 0.3);
    steps.push_back(model(context, 60.0));
    for name in ["look_up_order", "look_up_customer", "search_help"] {
        if dice.uniform() < 0.6 {
            steps.push_back(tool(name, fresh(dice), 0.5));
            context += around(dice, 500.0, 0.6);
            steps.push_back(model(context, around(dice, 90.0, 0.5)));
        }
    }
    // An answer that does not hold to the form is asked for again, once or twice.
    if dice.uniform() < 0.05 {
        for _ in 0..=below(dice, 2) {
            steps.push_back(model(context, around(dice, 120.0, 0.4)));
        }
    }
    steps.push_back(tool("reply", fresh(dice), 0.3));
}

/// Reads, edits, and runs the same tests after each edit; now and then twice, since they are flaky.
fn coding(steps: &mut VecDeque<Step>, dice: &mut Dice) {
    let tests = fresh(dice);
    let turns = (around(dice, 12.0, 0.7) as usize).clamp(3, 60);
    let mut context = around(dice, 14_000.0, 0.3);
    for turn in 0..turns {
        let (read, output) = pick(dice, &CODE);
        let wrote = around(dice, 220.0, 0.8);
        steps.push_back(model(context, output as f64 + wrote));
        let (name, input, seconds) = match turn % 4 {
            0 | 1 => ("read_file", fresh(dice), 0.2),
            2 => ("edit_file", fresh(dice), 0.3),
            _ => ("run_tests", tests, 20.0),
        };
        steps.push_back(tool(name, input, seconds));
        if name == "run_tests" && dice.uniform() < 0.2 {
            steps.push_back(model(context, 30.0));
            steps.push_back(tool(name, input, seconds));
        }
        context += read as f64 + wrote;
    }
    steps.push_back(model(context, around(dice, 300.0, 0.5)));
}

fn batch(steps: &mut VecDeque<Step>, dice: &mut Dice) {
    steps.push_back(tool("read_rows", fresh(dice), 0.3));
    for _ in 0..3 {
        let context = around(dice, 3_000.0, 0.8);
        steps.push_back(model(context, around(dice, 400.0, 0.5)));
        steps.push_back(tool("write_row", fresh(dice), 0.1));
    }
}

/// Waits for what it has started: mostly in code, every five seconds; now and then its model looks every twenty.
fn pipeline(steps: &mut VecDeque<Step>, dice: &mut Dice) {
    steps.push_back(tool("list_runs", fresh(dice), 0.2));
    let context = around(dice, 2_500.0, 0.3);
    steps.push_back(model(context, 80.0));
    steps.push_back(tool("start_job", fresh(dice), 0.5));
    let job = fresh(dice);
    let asks = dice.uniform() < 0.2;
    let looks = 1 + (8.0 * dice.exponential()) as usize;
    for _ in 0..looks.min(if asks { 15 } else { 60 }) {
        if asks {
            steps.push_back(model(context, 15.0));
        }
        steps.push_back(tool("job_status", job, 0.1));
        steps.push_back(Do::Pause(if asks { 20 } else { 5 } * SECOND).well());
    }
    steps.push_back(model(context, around(dice, 120.0, 0.4)));
}

/// What a loop goes round: decided by a model each time, nothing new in it. Fast and cheap, or slower and dear; the
/// third goes to and fro between two calls.
pub(super) fn cycle(dice: &mut Dice) -> Vec<Step> {
    let (a, b) = (fresh(dice), fresh(dice));
    let turn = |name, input, context, seconds| {
        let model = Do::Model {
            context,
            output: 60,
        };
        let tool = Do::Tool {
            name,
            input,
            seconds,
        };
        [model.bad(), tool.bad()]
    };
    match below(dice, 3) {
        0 => turn("look_up_order", a, 4_000, 0.2).to_vec(),
        1 => turn("read_file", a, 60_000, 2.0).to_vec(),
        _ => [
            turn("read_file", a, 20_000, 0.3),
            turn("search_help", b, 20_000, 0.5),
        ]
        .concat(),
    }
}

/// A loop that words its calls anew each time: by no rule on equal calls is it seen.
pub(super) fn wandering(dice: &mut Dice, turns: i64) -> Vec<Step> {
    let context = (20_000 + 1_200 * turns).min(190_000);
    let tool = Do::Tool {
        name: "search_help",
        input: fresh(dice),
        seconds: 0.6,
    };
    let model = Do::Model {
        context,
        output: 150,
    };
    vec![model.bad(), tool.bad()]
}

/// A piece of a backlog that nobody meant to be worked through.
pub(super) fn backlog(dice: &mut Dice) -> VecDeque<Step> {
    let mut steps = VecDeque::new();
    for _ in 0..6 {
        let context = around(dice, 40_000.0, 0.4) as i64;
        let model = Do::Model {
            context: context.min(190_000),
            output: 400,
        };
        let tool = Do::Tool {
            name: "write_row",
            input: fresh(dice),
            seconds: 0.2,
        };
        steps.extend([model.bad(), tool.bad()]);
    }
    steps
}

/// How long a failed call is waited with: a second, two, four.
pub(super) fn backoff(attempt: u32) -> i64 {
    (SECOND << attempt.min(6)).min(MINUTE)
}
