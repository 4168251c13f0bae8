//! What a model says of its own decision, beside the decision: the reasoning log.

use serde_json::Value;

/// A model's own word on its decision. All of it is optional, none of it is believed blindly.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Judgement {
    /// How sure, 0 to 1.
    pub confidence: Option<f64>,
    /// The reasoning in brief.
    pub summary: Option<String>,
    /// The plan, as a DAG in JSON.
    pub plan: Option<Value>,
    /// What else was considered.
    pub alternatives: Option<Value>,
    /// What was refused, and why.
    pub rejected: Option<Value>,
    /// Why a person must take over, when one must.
    pub escalate: Option<String>,
    /// Of a final answer: whether the goal is reached. Absent: it is.
    pub success: Option<bool>,
}

impl Judgement {
    /// Reads it from an answer that is (or ends in) a JSON object with any of these keys; an answer
    /// without one says nothing of itself.
    #[must_use]
    pub fn read(content: &str) -> Self {
        let Some(start) = content.find('{') else {
            return Self::default();
        };
        let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(content[start..].trim_end())
        else {
            return Self::default();
        };
        let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
        Self {
            confidence: fields
                .get("confidence")
                .and_then(Value::as_f64)
                .filter(|value| (0.0..=1.0).contains(value)),
            summary: text("summary"),
            plan: fields.get("plan").cloned(),
            alternatives: fields.get("alternatives").cloned(),
            rejected: fields.get("rejected").cloned(),
            escalate: text("escalate"),
            success: fields.get("success").and_then(Value::as_bool),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_from_an_object_and_from_nothing_else() {
        let said = Judgement::read(
            r#"Done. {"confidence": 0.8, "success": false, "escalate": "no rights"}"#,
        );
        assert_eq!((said.confidence, said.success), (Some(0.8), Some(false)));
        assert_eq!(said.escalate.as_deref(), Some("no rights"));
        for text in [
            "",
            "{",
            "plain words",
            "[1]",
            r#"{"confidence": "high"}"#,
            r#"{"confidence": 7}"#,
        ] {
            assert_eq!(Judgement::read(text), Judgement::default(), "{text}");
        }
    }
}
