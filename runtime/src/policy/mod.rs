//! Policy as code: Rego, evaluated before every action. Undefined or failing policy denies.

use std::sync::Arc;

use regorus::{CompiledPolicy, Engine, Value};
use sha2::{Digest, Sha256};

use crate::Error;

const DEFAULT: &str = include_str!("default.rego");
const ENTRYPOINT: &str = "data.flyball.action.decision";

/// What a policy says of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Not without a person.
    NeedsApproval,
    /// No.
    Deny,
}

impl Verdict {
    /// As it is written in telemetry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::NeedsApproval => "needs_approval",
            Self::Deny => "deny",
        }
    }
}

/// A verdict, and the rule that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// What it says.
    pub verdict: Verdict,
    /// Which rule; `undefined` when none speaks of the action, `failed: ...` when evaluation failed.
    pub rule: String,
}

/// The action about to be taken.
#[derive(Debug, Clone, serde::Serialize)]
#[allow(missing_docs)]
pub struct Input<'a> {
    pub agent: &'a str,
    pub role: &'a str,
    pub environment: &'a str,
    pub workspace: &'a str,
    pub execution_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    pub tool: ToolInput<'a>,
    pub arguments: &'a serde_json::Value,
    pub budget: BudgetInput,
}

/// The tool about to be called.
#[derive(Debug, Clone, serde::Serialize)]
#[allow(missing_docs)]
pub struct ToolInput<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub effect: &'a str,
    pub scopes: &'a [String],
}

/// The budget as it stands, as decimal texts.
#[derive(Debug, Clone, serde::Serialize)]
#[allow(missing_docs)]
pub struct BudgetInput {
    pub limit_usd: Option<String>,
    pub spent_usd: String,
}

/// A compiled bundle. Cheap to share; a changed bundle is a new one.
#[derive(Clone)]
pub struct Policy {
    compiled: Arc<CompiledPolicy>,
    version: String,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Policy {
    /// The bundle that comes with the runtime.
    ///
    /// # Errors
    /// Never, unless the embedded text is broken.
    pub fn builtin() -> Result<Self, Error> {
        Self::from_rego("default.rego", DEFAULT)
    }

    /// A bundle of one module that defines `data.flyball.action.decision`, an object of `verdict` (allow,
    /// needs_approval or deny) and `rule`.
    ///
    /// # Errors
    /// When it is not Rego, or does not define the decision: says where.
    pub fn from_rego(name: &str, text: &str) -> Result<Self, Error> {
        let broken = |error: String| Error::Policy {
            name: name.to_owned(),
            reason: error,
        };
        let mut engine = Engine::new();
        engine
            .add_policy(name.to_owned(), text.to_owned())
            .map_err(|error| broken(error.to_string()))?;
        let entrypoint: Arc<str> = Arc::from(ENTRYPOINT);
        let compiled = engine
            .compile_with_entrypoint(&entrypoint)
            .map_err(|error| broken(error.to_string()))?;
        let version = hex::encode(&Sha256::digest(text.as_bytes())[..8]);
        Ok(Self {
            compiled: Arc::new(compiled),
            version,
        })
    }

    /// Hash of the bundle, hex.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What it says of an action. Everything that is not a clear answer is a denial.
    #[must_use]
    pub fn decide(&self, input: &Input<'_>) -> Ruling {
        let deny = |rule: String| Ruling {
            verdict: Verdict::Deny,
            rule,
        };
        let input = match serde_json::to_string(input).map(|text| Value::from_json_str(&text)) {
            Ok(Ok(input)) => input,
            Ok(Err(error)) => return deny(format!("failed: {error}")),
            Err(error) => return deny(format!("failed: {error}")),
        };
        match self.compiled.eval_with_input(input) {
            Ok(value) => read(&value).unwrap_or_else(|| deny("undefined".to_owned())),
            Err(error) => deny(format!("failed: {error}")),
        }
    }
}

fn read(value: &Value) -> Option<Ruling> {
    let object = value.as_object().ok()?;
    let text = |key: &str| {
        object
            .get(&Value::from(key))?
            .as_string()
            .ok()
            .map(ToString::to_string)
    };
    let verdict = match text("verdict")?.as_str() {
        "allow" => Verdict::Allow,
        "needs_approval" => Verdict::NeedsApproval,
        "deny" => Verdict::Deny,
        _ => return None,
    };
    Some(Ruling {
        verdict,
        rule: text("rule").unwrap_or_else(|| "unnamed".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ask(
        policy: &Policy,
        effect: &str,
        role: &str,
        environment: &str,
        confidence: Option<f64>,
    ) -> Ruling {
        policy.decide(&Input {
            agent: "a",
            role,
            environment,
            workspace: "default",
            execution_id: "e",
            tenant: None,
            confidence,
            tool: ToolInput {
                name: "t",
                version: "1",
                effect,
                scopes: &[],
            },
            arguments: &serde_json::json!({"x": 1}),
            budget: BudgetInput {
                limit_usd: None,
                spent_usd: "0".into(),
            },
        })
    }

    #[test]
    fn the_default_bundle_rules_as_it_says() {
        use Verdict::{Allow, Deny, NeedsApproval};
        let policy = Policy::builtin().unwrap();
        for (effect, role, environment, confidence, verdict, rule) in [
            (
                "read_only",
                "observer",
                "production",
                None,
                Allow,
                "read_only",
            ),
            (
                "reversible",
                "executor",
                "production",
                Some(0.9),
                Allow,
                "reversible",
            ),
            (
                "reversible",
                "executor",
                "production",
                None,
                Allow,
                "reversible",
            ),
            (
                "reversible",
                "executor",
                "production",
                Some(0.3),
                NeedsApproval,
                "unsure_in_production",
            ),
            (
                "reversible",
                "executor",
                "staging",
                Some(0.3),
                Allow,
                "reversible",
            ),
            (
                "reversible",
                "observer",
                "staging",
                Some(0.9),
                Deny,
                "observers_only_read",
            ),
            (
                "irreversible",
                "executor",
                "development",
                Some(1.0),
                NeedsApproval,
                "irreversible",
            ),
            (
                "irreversible",
                "critic",
                "development",
                Some(1.0),
                Deny,
                "observers_only_read",
            ),
            (
                "explosive",
                "executor",
                "development",
                Some(1.0),
                Deny,
                "undefined",
            ),
            ("", "", "", None, Deny, "undefined"),
        ] {
            let ruling = ask(&policy, effect, role, environment, confidence);
            assert_eq!(
                (ruling.verdict, ruling.rule.as_str()),
                (verdict, rule),
                "{effect} {role} {environment}"
            );
        }
    }

    #[test]
    fn undefined_or_failing_or_senseless_is_denied() {
        for (body, says) in [
            (
                "decision := {\"verdict\": \"allow\", \"rule\": \"r\"} if input.agent == \"somebody else\"",
                "undefined",
            ),
            (
                "decision := {\"verdict\": \"allow\", \"rule\": \"r\"} if input.no.such.thing",
                "undefined",
            ),
            ("decision := \"allow\"", "undefined"),
            ("decision := true", "undefined"),
            ("decision := {\"verdict\": \"ALLOW\"}", "undefined"),
            ("decision := {\"verdict\": 1}", "undefined"),
            ("decision := 1 if true\ndecision := 2 if true", "failed"),
        ] {
            let policy =
                Policy::from_rego("t.rego", &format!("package flyball.action\n{body}\n")).unwrap();
            let ruling = ask(&policy, "read_only", "executor", "development", None);
            assert_eq!(ruling.verdict, Verdict::Deny, "{body}");
            assert!(ruling.rule.starts_with(says), "{body}: {}", ruling.rule);
        }
    }

    #[test]
    fn what_is_not_rego_or_decides_nothing_is_refused() {
        for text in [
            "",
            "package",
            "package flyball.action\nallow := {",
            "package other\nx := 1",
        ] {
            let error = Policy::from_rego("t.rego", text).unwrap_err().to_string();
            assert!(error.starts_with("policy t.rego"), "{error}");
        }
    }
}
