//! One series, sample by sample.

use serde::{Deserialize, Serialize};

use crate::mean::Mean;
use crate::median::Daily;
use crate::recurrence::Recurrence;
use crate::tail::Tail;
use crate::{Aspect, Config, Evidence, Result, Verdict, exact};

/// How much of the recurrence is taken off: a surprise seen a hundredth of the memory ago loses 1.4 decades.
const RECURRENCE_WEIGHT: f64 = 0.7;
/// An event that goes on is told again when it has become so many decades rarer.
const ESCALATION: f64 = 1.0;
/// Activity is compared as a ratio, so that calm is as odd as restlessness. To both sides this share of the
/// mean activity is added first: between calm and calmer there is little to tell.
const ACTIVITY_PAD: f64 = 0.25;
/// A change of activity by less than a fifth does not matter, however rare it is (natural logarithm).
const ACTIVITY_MATTERS: f64 = 0.2;
/// Nor does a shift by less than half of what a single sample is usually off by.
const SHIFT_MATTERS: f64 = 0.5;
/// Values beyond are taken as this, so that differences stay finite.
const LARGEST: f64 = 1e150;

/// Watches one series.
///
/// ```
/// use flyball_detect::{Aspect, Config, Detector};
///
/// let mut detector = Detector::new(Config::default())?;
/// for minute in 0..1_000 {
///     // Dollars a minute, from 2.00 to 2.10.
///     detector.observe(minute * 60, 2.0 + (minute * 37 % 100) as f64 / 1_000.0);
/// }
/// let verdict = detector.observe(1_000 * 60, 9.0);
/// let evidence = verdict.evidence.expect("a level nobody has seen");
/// assert!(verdict.alarm && evidence.aspect == Aspect::Level);
/// assert!((evidence.expected - 2.05).abs() < 0.05 && evidence.usual_to < 2.2);
/// # Ok::<(), flyball_detect::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Detector {
    config: Config,
    /// Samples taken in.
    seen: u64,
    #[serde(with = "exact")]
    previous: f64,
    /// Mean over the last two event lengths.
    recent: Mean,
    /// What is usually added to that at this hour.
    usual_change: Daily,
    /// What is usual at this hour, wherever the series has been lately.
    usual_level: Daily,
    /// Mean absolute step over the last event length, and as far back as memory goes.
    activity: Mean,
    mean_activity: Mean,
    /// What the logarithm of their ratio usually is at this hour.
    usual_activity: Daily,
    /// Means over one and over four event lengths.
    short: Mean,
    long: Mean,
    activity_tail: Tail,
    level_tail: Tail,
    shift_tail: Tail,
    recurrence: Recurrence,
    event: Option<Event>,
}

/// An aspect of a sample beside what was expected of it.
#[derive(Debug, Clone, Copy)]
struct Compared {
    aspect: Aspect,
    observed: f64,
    expected: f64,
    /// Compared as a ratio, after this was added to both; none where the difference counts.
    ratio_pad: Option<f64>,
}

impl Compared {
    /// How far off it is: in the unit of the series, or as a natural logarithm.
    fn deviation(&self) -> f64 {
        match self.ratio_pad {
            None => (self.observed - self.expected).abs(),
            Some(pad) if pad > 0.0 => ((self.observed + pad) / (self.expected + pad)).ln().abs(),
            Some(_) => 0.0,
        }
    }

    /// What is no further off than this, in the unit of the series.
    fn usual_range(&self, within: f64) -> (f64, f64) {
        match self.ratio_pad {
            None => (self.expected - within, self.expected + within),
            Some(pad) => {
                let (ratio, padded) = (within.exp(), self.expected + pad);
                ((padded / ratio - pad).max(0.0), padded * ratio - pad)
            }
        }
    }
}

/// An event that was told and may be going on.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Event {
    /// Number of the last sample that was as rare as an alarm.
    last: u64,
    /// The rarity it was last told at.
    #[serde(with = "exact")]
    told: f64,
}

impl Detector {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if a setting is out of its range.
    pub fn new(config: Config) -> Result<Self> {
        Ok(Self {
            config: config.checked()?,
            seen: 0,
            previous: 0.0,
            recent: Mean::default(),
            usual_change: Daily::default(),
            usual_level: Daily::default(),
            activity: Mean::default(),
            mean_activity: Mean::default(),
            usual_activity: Daily::default(),
            short: Mean::default(),
            long: Mean::default(),
            activity_tail: Tail::default(),
            level_tail: Tail::default(),
            shift_tail: Tail::default(),
            recurrence: Recurrence::default(),
            event: None,
        })
    }

    /// Takes in the sample of a time (seconds since 1970, UTC; only the hour of the day matters) and says
    /// how unusual it is after all before it. What is not a number is passed over, as a gap is.
    pub fn observe(&mut self, at_seconds: i64, value: f64) -> Verdict {
        if value.is_nan() {
            return Verdict::default();
        }
        let compared = self.compare(at_seconds, value.clamp(-LARGEST, LARGEST));
        let number = self.seen;
        self.seen = self.seen.saturating_add(1);
        let weighed = self.weigh(compared);
        let most = weighed.into_iter().reduce(|most, next| {
            if next.surprise > most.surprise {
                next
            } else {
                most
            }
        });
        match most {
            // A state that was damaged where it was kept may hold numbers that no series leads to.
            Some(evidence) if evidence.surprise > 0.0 && evidence.is_finite() => {
                self.judge(number, evidence)
            }
            _ => Verdict::default(),
        }
    }

    /// Each aspect of the sample, what is observed and what was expected: activity, level, shift.
    fn compare(&mut self, at_seconds: i64, value: f64) -> [Compared; 3] {
        let Config {
            event_samples: event,
            memory_samples: memory,
            ..
        } = self.config;
        let previous = if self.seen == 0 { value } else { self.previous };
        self.previous = value;
        let activity = self.activity.update((value - previous).abs(), event);
        let mean = self.mean_activity.update(activity, 2 * memory);
        let ratio = if mean > 0.0 { activity / mean } else { 1.0 };
        let logarithm = (ratio + ACTIVITY_PAD).ln();
        let usual = self.usual_activity.usual(at_seconds, logarithm, memory);
        let activity = Compared {
            aspect: Aspect::Activity,
            observed: activity,
            expected: mean * (usual.exp() - ACTIVITY_PAD).max(0.0),
            ratio_pad: Some(mean * ACTIVITY_PAD),
        };

        // A series may wander, and a day may begin at once: a level is unexpected if it is neither near
        // where the series has been lately, nor near what is usual at this hour.
        let recent = if self.seen == 0 {
            value
        } else {
            self.recent.get()
        };
        let lately = recent + self.usual_change.usual(at_seconds, value - recent, memory);
        let at_this_hour = self.usual_level.usual(at_seconds, value, memory);
        self.recent.update(value, 2 * event);
        let nearer = (value - at_this_hour).abs() < (value - lately).abs();
        let level = Compared {
            aspect: Aspect::Level,
            observed: value,
            expected: if nearer { at_this_hour } else { lately },
            ratio_pad: None,
        };

        let shift = Compared {
            aspect: Aspect::Shift,
            observed: self.short.update(value, event),
            expected: self.long.update(value, 4 * event),
            ratio_pad: None,
        };
        [activity, level, shift]
    }

    /// How surprising each is.
    fn weigh(&mut self, compared: [Compared; 3]) -> [Evidence; 3] {
        let Config {
            event_samples: event,
            memory_samples: memory,
            ..
        } = self.config;
        let weigh = |compared: Compared, tail: &mut Tail, matters: f64| {
            // How far off is usual, is as before this sample.
            let (usual_from, usual_to) = compared.usual_range(tail.threshold().max(matters));
            Evidence {
                aspect: compared.aspect,
                observed: compared.observed,
                expected: compared.expected,
                usual_from,
                usual_to,
                surprise: tail.surprise(compared.deviation(), matters, event, memory),
                last_seen: None,
            }
        };
        let [activity, level, shift] = compared;
        let activity = weigh(activity, &mut self.activity_tail, ACTIVITY_MATTERS);
        let level = weigh(level, &mut self.level_tail, 0.0);
        let matters = SHIFT_MATTERS * self.level_tail.mean();
        let shift = weigh(shift, &mut self.shift_tail, matters);
        [activity, level, shift]
    }

    /// Takes off what recurs, and tells an event once.
    fn judge(&mut self, number: u64, mut evidence: Evidence) -> Verdict {
        let Config {
            event_samples,
            memory_samples,
            alarm_rarity,
        } = self.config;
        evidence.last_seen = self.recurrence.since(number, evidence.surprise);
        self.recurrence
            .note(number, evidence.surprise, memory_samples);
        let horizon = number.saturating_add(1).min(u64::from(memory_samples)) as f64;
        let since = evidence
            .last_seen
            .map_or(1.0, |samples| samples as f64 / horizon);
        let rarity = (evidence.surprise + RECURRENCE_WEIGHT * since.min(1.0).log10()).max(0.0);

        let mut alarm = false;
        if rarity >= alarm_rarity {
            let told = self
                .event
                .filter(|event| number.saturating_sub(event.last) <= u64::from(event_samples))
                .map(|event| event.told);
            alarm = told.is_none_or(|told| rarity >= told + ESCALATION);
            self.event = Some(Event {
                last: number,
                told: if alarm {
                    rarity
                } else {
                    told.unwrap_or(rarity)
                },
            });
        }
        // What is rare but told already stays just below an alarm.
        let telling = if alarm {
            rarity
        } else {
            rarity.min(0.99 * alarm_rarity)
        };
        Verdict {
            score: telling / (telling + alarm_rarity),
            rarity,
            alarm,
            evidence: Some(evidence),
        }
    }
}
