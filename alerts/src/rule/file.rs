//! Rule files: the YAML form, and where it is found.
//!
//! Every leaf is read as text with its line, so that `5.00` stays 5.00 dollars (never a float) and an
//! error can point at it. Unknown and doubled fields are errors.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::trust::{DemoteForm, PromoteForm};
use super::{Rule, check, composite};
use crate::{Error, Result};

/// The rules that ship with the crate.
const DEFAULT: &str = include_str!("../../rules/default.yaml");

/// A leaf, with its line.
pub(crate) type Leaf = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<Spanned<RuleForm>>,
}

/// One rule as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleForm {
    pub(super) name: Leaf,
    pub(super) description: Option<Leaf>,
    pub(super) severity: Option<Leaf>,
    pub(super) mode: Option<Leaf>,
    pub(super) key: Leaf,
    pub(super) when: Spanned<WhenForm>,
    pub(super) recover_below: Option<Leaf>,
    pub(super) recover_above: Option<Leaf>,
    #[serde(rename = "for")]
    pub(super) hold: Option<Leaf>,
    pub(super) keep_firing_for: Option<Leaf>,
    pub(super) cool_down: Option<Leaf>,
    pub(super) no_data: Option<Leaf>,
    pub(super) action: Option<Spanned<ActionForm>>,
    pub(super) then: Option<Vec<RungForm>>,
    pub(super) scope: Option<Leaf>,
    pub(super) notify: Option<Vec<Leaf>>,
    pub(super) promote: Option<Spanned<PromoteForm>>,
    pub(super) demote: Option<Spanned<DemoteForm>>,
}

/// What is measured, as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WhenForm {
    Sql(SqlForm),
    SpendRate(WindowForm),
    Budget(BudgetForm),
    BudgetLeakage(LeakageForm),
    ConflictingModifications(ToolsForm),
    InjectionMarkers(MarkersForm),
    MemoryPoisoning(ToolsForm),
    LowValueExecutions(LowValueForm),
    RepeatedToolCalls(RepeatsForm),
    RetryStorm(WindowForm),
    Reprompts(WindowForm),
    UnknownTool(UnknownToolForm),
    ErrorRate(ErrorRateForm),
    Escalations(WindowForm),
    Absence(AbsenceForm),
    RateOfChange(RateForm),
    SpendSpike(SeriesForm),
    LatencyShift(LatencyForm),
    TokenGrowth(SeriesForm),
    ConfidenceDrift(SeriesForm),
    PriceAnomaly(SeriesForm),
    SloBurn(ObjectiveForm),
    AllOf(Vec<Leaf>),
    AnyOf(Vec<Leaf>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlForm {
    pub(super) query: Leaf,
    pub(super) every: Leaf,
    pub(super) value: Option<Leaf>,
    pub(super) key_column: Option<Leaf>,
    pub(super) at_least: Option<Leaf>,
    pub(super) at_most: Option<Leaf>,
    pub(super) deterministic: Option<Leaf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowForm {
    pub(super) at_least: Leaf,
    pub(super) window: Leaf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RepeatsForm {
    pub(super) at_least: Leaf,
    pub(super) window: Leaf,
    pub(super) model_decided: Option<Leaf>,
    pub(super) pace: Option<PaceForm>,
    pub(super) spend: Option<Leaf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PaceForm {
    pub(super) calls: Leaf,
    pub(super) within: Leaf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorRateForm {
    pub(super) of: Option<Leaf>,
    pub(super) at_least: Leaf,
    pub(super) window: Leaf,
    pub(super) min_calls: Option<Leaf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BudgetForm {
    pub(super) limit: Leaf,
    pub(super) per: Leaf,
    pub(super) soft: Option<Leaf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LeakageForm {
    pub(super) limit: Leaf,
    pub(super) executions: Option<Leaf>,
    pub(super) window: Leaf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LowValueForm {
    pub(super) at_least: Leaf,
    pub(super) share: Option<Leaf>,
    pub(super) window: Leaf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolsForm {
    pub(super) at_least: Option<Leaf>,
    pub(super) window: Leaf,
    pub(super) tools: Option<Vec<Leaf>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MarkersForm {
    pub(super) at_least: Option<Leaf>,
    pub(super) window: Leaf,
    pub(super) markers: Option<Vec<Leaf>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnknownToolForm {
    pub(super) allow: Option<Vec<Leaf>>,
    pub(super) learn: Option<Spanned<LearnForm>>,
    pub(super) at_least: Option<Leaf>,
    pub(super) window: Leaf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LearnForm {
    #[serde(rename = "for")]
    pub(super) period: Leaf,
    pub(super) min_calls: Option<Leaf>,
    pub(super) forget: Option<Leaf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AbsenceForm {
    pub(super) silent_for: Leaf,
    pub(super) min_calls: Option<Leaf>,
    pub(super) learn: Option<Leaf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateForm {
    pub(super) of: Leaf,
    pub(super) at_least: Leaf,
    pub(super) window: Leaf,
    pub(super) base: Leaf,
    pub(super) floor: Leaf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeriesForm {
    pub(super) change: Leaf,
    pub(super) at_least: Option<Leaf>,
    pub(super) every: Option<Leaf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LatencyForm {
    pub(super) of: Option<Leaf>,
    pub(super) change: Leaf,
    pub(super) at_least: Option<Leaf>,
    pub(super) every: Option<Leaf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectiveForm {
    pub(super) objective: Leaf,
    pub(super) of: Leaf,
    pub(super) under: Option<Leaf>,
    pub(super) min_calls: Option<Leaf>,
    pub(super) windows: Option<Vec<BurnForm>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BurnForm {
    pub(super) short: Leaf,
    pub(super) long: Leaf,
    pub(super) factor: Leaf,
}

/// What is done, as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ActionForm {
    Notify,
    Throttle(ThrottleForm),
    Degrade(DegradeForm),
    Freeze,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RungForm {
    pub(super) after: Leaf,
    pub(super) action: Spanned<ActionForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ThrottleForm {
    pub(super) calls_per_minute: Leaf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DegradeForm {
    pub(super) tier: Option<Leaf>,
    pub(super) read_only: Option<Leaf>,
    pub(super) plan_depth: Option<Leaf>,
}

/// The rules of a file, or of every `.yaml` and `.yml` file in a folder (by name, without subfolders).
///
/// # Errors
/// When something cannot be read, is not valid (naming file, line, field, value and what is accepted),
/// or when two rules have one name.
pub fn load(path: &Path) -> Result<Vec<Rule>> {
    let mut seen = HashMap::new();
    let mut rules = Vec::new();
    for file in files(path)? {
        let text = std::fs::read_to_string(&file).map_err(|e| unreadable(&file, &e))?;
        read(&file.display().to_string(), &text, &mut seen, &mut rules)?;
    }
    composite::settle(&mut rules, &seen)?;
    Ok(rules)
}

/// The rules in a text; `file` is the name that errors show.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &str, text: &str) -> Result<Vec<Rule>> {
    let (mut seen, mut rules) = (HashMap::new(), Vec::new());
    read(file, text, &mut seen, &mut rules)?;
    composite::settle(&mut rules, &seen)?;
    Ok(rules)
}

/// The rules that are used when none are configured: see `alerts/rules/default.yaml`.
///
/// # Errors
/// Never, unless the shipped file is broken (a test reads it).
pub fn default_rules() -> Result<Vec<Rule>> {
    parse("alerts/rules/default.yaml", DEFAULT)
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !std::fs::metadata(path)
        .map_err(|e| unreadable(path, &e))?
        .is_dir()
    {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| unreadable(path, &e))? {
        let file = entry.map_err(|e| unreadable(path, &e))?.path();
        let yaml = file.extension().is_some_and(|e| e == "yaml" || e == "yml");
        if yaml && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Where a rule stands.
#[derive(Debug)]
pub(super) struct Stands {
    pub(super) file: String,
    pub(super) line: u64,
    /// Where it says what it measures.
    pub(super) when: u64,
}

fn read(
    file: &str,
    text: &str,
    seen: &mut HashMap<String, Stands>,
    rules: &mut Vec<Rule>,
) -> Result<()> {
    let parsed: File = serde_saphyr::from_str(text).map_err(|e| syntax(file, &e))?;
    for form in parsed.rules {
        let line = form.referenced.line();
        let when = form.value.when.referenced.line();
        for rule in check::rules(file, line, form.value)? {
            let stands = Stands {
                file: file.to_owned(),
                line,
                when,
            };
            if let Some(first) = seen.insert(rule.name.clone(), stands) {
                return Err(Error::RuleTwice {
                    file: file.to_owned(),
                    line,
                    rule: rule.name,
                    first: format!("{}:{}", first.file, first.line),
                });
            }
            rules.push(rule);
        }
    }
    Ok(())
}

pub(crate) fn syntax(file: &str, error: &serde_saphyr::Error) -> Error {
    let line = error.location().map_or(1, |l| l.line());
    let mut reason = error.without_snippet().to_string();
    // The line stands in front already; the column is of use only beside it.
    if let Some(cut) = reason.rfind(" at line ") {
        reason.truncate(cut);
    }
    if text_is_empty(&reason) {
        reason = "the file is empty; it must hold `rules:` (or `notifiers:`) and a list".to_owned();
    }
    Error::RuleSyntax {
        file: file.to_owned(),
        line,
        reason,
    }
}

fn text_is_empty(reason: &str) -> bool {
    reason.starts_with("unexpected end of input")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::RulesUnreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
