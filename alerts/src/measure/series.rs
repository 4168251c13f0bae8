//! A number for each step of time, and how unusual it is after all before it.
//!
//! Facts are gathered by the step in which they were received; a step is closed when the next one begins, or
//! three seconds after its end, and its number goes to the key's detector. Where nothing happened there is no
//! number (an agent that rests is not fast), except for spend, of which nothing is zero. The detector says
//! nothing in its first hundred steps: unknown holds. What was learnt is kept over a restart, with the step that was open;
//! facts that are read again then and were counted by the time of keeping are not counted twice.

use flyball_detect::{Aspect, Config, Detector, Verdict};
use flyball_store::rows::Kind;
use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::drivers::{Cube, Split, split};
use crate::fact::Fact;
use crate::rule::{SECOND, Series};

/// How long after its end a step is waited for.
const GRACE: i64 = 3 * SECOND;
/// Steps of zero that are told one by one; who was idle for longer is forgotten.
const IDLE: i64 = 1_440;
/// Steps that the detector learns from before it says anything.
const LEARNS: u64 = 100;
/// Weight of the newest in their mean: it spans about as many steps as the detector's recent mean.
const MEAN: f64 = 1.0 / 64.0;
/// Steps of a block; what a step is compared with is the block before and the one that is being filled.
const BLOCK: u32 = 60;

impl Series {
    /// Whether a fact says anything about it.
    pub(crate) fn concerns(self, fact: &Fact<'_>) -> bool {
        match self {
            Self::Spend => !fact.cost().is_zero(),
            Self::Latency(calls) => fact.call(calls) && fact.row.duration_ns.is_some(),
            Self::Tokens => {
                fact.progressed() || (fact.kind(Kind::ModelCall) && fact.tokens().is_some())
            }
            Self::Confidence => fact.row.confidence.is_some(),
            Self::Price => fact.kind(Kind::ModelCall) && fact.row.cost_usd.is_some(),
        }
    }

    /// Whether so much more (or less) than usual is bad, and enough to matter.
    fn bad(self, more: f64, change: f64) -> bool {
        match self {
            Self::Spend | Self::Latency(_) | Self::Tokens => more >= change,
            Self::Confidence => -more >= change,
            Self::Price => more.abs() >= change,
        }
    }
}

/// What was gathered in a step.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Sums {
    n: i64,
    total: f64,
    dollars: Decimal,
    tokens: i64,
}

impl Sums {
    fn number(&self, of: Series) -> Option<f64> {
        let mean = || (self.n > 0).then(|| self.total / self.n as f64);
        match of {
            Series::Spend => self.dollars.to_f64(),
            Series::Latency(_) => mean().map(f64::exp),
            Series::Tokens => (self.n > 0).then(|| self.tokens as f64 / self.n as f64),
            Series::Confidence => mean(),
            Series::Price => {
                let each = self
                    .dollars
                    .checked_div(Decimal::from(self.tokens.max(0)))?;
                each.to_f64().map(|each| each * 1e6)
            }
        }
    }
}

/// What was spent on which model, for the drivers of a spike.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Spent {
    open: Cube,
    block: (Cube, u32),
    last: (Cube, u32),
}

impl Spent {
    /// Ends a step. Answers what its change is made of, if asked to.
    fn close(&mut self, wanted: bool) -> Option<Split> {
        let open = std::mem::take(&mut self.open);
        let told = wanted.then(|| {
            let mut before = self.last.0.clone();
            before.merge(&self.block.0);
            let steps = self.last.1 + self.block.1;
            (steps > 0).then(|| split(&before, steps, &open)).flatten()
        });
        self.block.0.merge(&open);
        self.block.1 += 1;
        if self.block.1 >= BLOCK {
            self.last = std::mem::take(&mut self.block);
        }
        told.flatten()
    }
}

/// What was said of a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Said {
    /// Its first nanosecond.
    step: i64,
    number: f64,
    /// 0 when it is not bad, or too little to matter.
    rarity: Decimal,
    verdict: Verdict,
    #[serde(skip)]
    drivers: Option<Split>,
}

/// What is known of one series, to be kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KnownSeries {
    detector: Box<Detector>,
    seen: u64,
    mean: f64,
    step: Option<i64>,
    sums: Sums,
    spent: Option<Box<Spent>>,
    said: Option<Said>,
    last: i64,
}

impl KnownSeries {
    /// Steps that were told.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> u64 {
        self.seen
    }
}

/// The series of one key.
#[derive(Debug)]
pub(crate) struct Watched {
    of: Series,
    every: i64,
    change: f64,
    /// None only if the default settings of the detector were out of their own range.
    detector: Option<Box<Detector>>,
    seen: u64,
    /// Mean of the last numbers: how far off one is, when what is unusual is the unrest.
    mean: f64,
    /// The step that is being gathered.
    step: Option<i64>,
    sums: Sums,
    spent: Option<Box<Spent>>,
    said: Option<Said>,
    last: i64,
    /// What was received until then is in what was kept.
    counted_until: i64,
}

impl Watched {
    pub(crate) fn new(of: Series, every: i64, change: Decimal) -> Self {
        Self {
            of,
            every,
            change: change.to_f64().unwrap_or(f64::MAX),
            detector: Detector::new(Config::default()).ok().map(Box::new),
            seen: 0,
            mean: 0.0,
            step: None,
            sums: Sums::default(),
            spent: (of == Series::Spend).then(Box::default),
            said: None,
            last: i64::MIN,
            counted_until: i64::MIN,
        }
    }

    /// What is to be kept; none before the first step has ended.
    pub(crate) fn known(&self) -> Option<KnownSeries> {
        let detector = self.detector.as_ref().filter(|_| self.seen > 0)?;
        Some(KnownSeries {
            detector: detector.clone(),
            seen: self.seen,
            mean: self.mean,
            step: self.step,
            sums: self.sums,
            spent: self.spent.clone(),
            said: self.said.clone(),
            last: self.last,
        })
    }

    /// Takes over what was kept. After a `gap` that nobody can fill, what was gathered of the open step is worth nothing,
    /// and the time since is no silence.
    pub(crate) fn know(&mut self, known: KnownSeries, gap: bool) {
        self.detector = Some(known.detector);
        self.seen = known.seen;
        self.mean = known.mean;
        self.last = known.last;
        self.counted_until = known.last;
        if self.spent.is_some() {
            self.spent = Some(known.spent.unwrap_or_default());
        }
        if gap {
            if let Some(spent) = &mut self.spent {
                spent.open = Cube::default();
            }
        } else {
            (self.step, self.sums, self.said) = (known.step, known.sums, known.said);
        }
    }

    pub(crate) fn touch(&self) -> i64 {
        let block = self
            .spent
            .as_ref()
            .map_or(0, |spent| i64::from(spent.last.1));
        self.last ^ self.sums.tokens ^ block
    }

    pub(crate) fn add(&mut self, fact: &Fact<'_>) {
        if fact.replayed() && fact.received <= self.counted_until {
            return;
        }
        let step = fact.received.div_euclid(self.every);
        match self.step {
            // Its step is told already.
            Some(open) if step < open => return,
            Some(open) if step > open => self.close(open, step),
            _ => self.step = Some(step),
        }
        self.last = self.last.max(fact.received);
        let (sign, sums) = (fact.sign(), &mut self.sums);
        match self.of {
            Series::Spend => {
                sums.dollars = sums.dollars.saturating_add(fact.cost());
                if let Some(spent) = &mut self.spent {
                    let model = fact.model().or(fact.row.tool_name).unwrap_or("unknown");
                    let tokens = fact.tokens().unwrap_or(0);
                    spent.open.add(model, sign, tokens, fact.cost());
                }
            }
            Series::Latency(_) => {
                // A call that took no time took a nanosecond.
                let seconds = fact.row.duration_ns.unwrap_or(0).max(1) as f64 / 1e9;
                sums.n += sign;
                sums.total += sign as f64 * seconds.ln();
            }
            // What came before progress did not grow without it.
            Series::Tokens if fact.progressed() => *sums = Sums::default(),
            Series::Tokens => {
                sums.n += sign;
                sums.tokens = sums.tokens.saturating_add(fact.tokens().unwrap_or(0));
            }
            Series::Confidence => {
                let confidence = fact.row.confidence.filter(|c| (0.0..=1.0).contains(c));
                if let Some(confidence) = confidence {
                    sums.n += sign;
                    sums.total += sign as f64 * confidence;
                }
            }
            Series::Price => {
                sums.dollars = sums.dollars.saturating_add(fact.cost());
                sums.tokens = sums.tokens.saturating_add(fact.tokens().unwrap_or(0));
            }
        }
    }

    /// The rarity of the last step, in decades; none while it learns, or when there was no number.
    pub(crate) fn value(&mut self, now: i64) -> Option<Decimal> {
        let current = (now - GRACE).div_euclid(self.every);
        if let Some(open) = self.step.filter(|open| current > *open) {
            self.close(open, current);
        }
        self.said.as_ref().map(|said| said.rarity)
    }

    pub(crate) fn numbers(&self) -> Value {
        let Some(Said {
            step,
            number,
            rarity,
            verdict,
            drivers,
        }) = &self.said
        else {
            return json!({ "steps": self.seen, "learns_for": LEARNS });
        };
        let evidence = verdict.evidence;
        json!({
            "unit": self.of.unit(),
            "step": rfc3339(*step),
            "steps": self.seen,
            "number": shown(*number),
            "score": shown(verdict.score),
            "rarity": rarity.to_string(),
            "aspect": evidence.map(|e| e.aspect.to_string()),
            "observed": evidence.map(|e| shown(e.observed)),
            "expected": evidence.map(|e| shown(e.expected)),
            "usual_from": evidence.map(|e| shown(e.usual_from)),
            "usual_to": evidence.map(|e| shown(e.usual_to)),
            "drivers": drivers.as_ref().map(Split::shown),
        })
    }

    /// Whether it was idle for a day.
    pub(crate) fn is_empty(&self, now: i64) -> bool {
        now.saturating_sub(self.last) > IDLE * 60 * SECOND
    }

    /// Ends a step, and those without anything before `next`.
    fn close(&mut self, open: i64, next: i64) {
        let sums = std::mem::take(&mut self.sums);
        let number = sums.number(self.of);
        self.tell(open, number);
        let idle = open + 1..next;
        if self.of == Series::Spend {
            for step in idle.start.max(next - IDLE)..idle.end {
                self.tell(step, Some(0.0));
            }
        } else if !idle.is_empty() {
            self.said = None;
        }
        self.step = Some(next);
    }

    fn tell(&mut self, step: i64, number: Option<f64>) {
        self.said = None;
        let (Some(number), Some(detector)) = (number, &mut self.detector) else {
            return;
        };
        let at = step.saturating_mul(self.every);
        let verdict = detector.observe(at / SECOND, number);
        let more = verdict
            .evidence
            .map_or(0.0, |evidence| match evidence.aspect {
                // Of unrest, what is observed is a mean of steps, and says little of this number.
                Aspect::Activity => number - self.mean,
                Aspect::Level | Aspect::Shift => evidence.observed - evidence.expected,
            });
        let weight = if self.seen == 0 { 1.0 } else { MEAN };
        self.mean += weight * (number - self.mean);
        self.seen += 1;
        let bad = self.of.bad(more, self.change);
        let drivers = self.spent.as_mut().and_then(|spent| spent.close(bad));
        if self.seen <= LEARNS {
            return;
        }
        let rarity = if bad { verdict.rarity } else { 0.0 };
        self.said = Some(Said {
            step: at,
            number,
            rarity: Decimal::from_f64(rarity).unwrap_or_default().round_dp(2),
            verdict,
            drivers,
        });
    }
}

/// Numbers of a detector are estimates: six digits are plenty.
fn shown(number: f64) -> String {
    Decimal::from_f64(number).map_or_else(
        || number.to_string(),
        |number| number.round_sf(6).unwrap_or(number).normalize().to_string(),
    )
}

fn rfc3339(nanos: i64) -> String {
    chrono::DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
