#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::spec::AgentSpec;

fn refund() -> Contract {
    Contract {
        effect: Effect::Irreversible,
        scopes: vec!["payments.write".into()],
        input: json!({"type":"object","required":["order","cents"],"additionalProperties":false,
            "properties":{"order":{"type":"string","minLength":1},"cents":{"type":"integer","minimum":1}}}),
        output: json!({"type":"object","required":["refund_id"]}),
        ..Contract::new("refund")
    }
}

fn toolbox(outputs: Vec<serde_json::Value>) -> Toolbox {
    let mut tools = Toolbox::default();
    tools
        .add(Arc::new(ScriptedTool::new(
            refund(),
            outputs,
            Duration::ZERO,
        )))
        .unwrap();
    tools
}

#[test]
fn malformed_input_never_passes_the_schema() {
    let tools = toolbox(vec![]);
    for (input, says) in [
        (json!(null), "input"),
        (json!("refund everything"), "input"),
        (json!({"order":"o1"}), "cents"),
        (json!({"order":"o1","cents":0}), "input/cents"),
        (json!({"order":"","cents":1}), "input/order"),
        (json!({"order":"o1","cents":1.5}), "input/cents"),
        (json!({"order":"o1","cents":1,"to":"me"}), "to"),
    ] {
        let refused = check_input(&tools, "refund", &input).unwrap_err();
        assert_eq!(refused.stage, Stage::Schema);
        assert!(refused.reason.contains(says), "{input} -> {refused}");
    }
    assert!(check_input(&tools, "refund", &json!({"order":"o1","cents":1})).is_ok());
    assert!(
        check_input(&tools, "rm", &json!({}))
            .unwrap_err()
            .reason
            .contains("rm")
    );
}

#[test]
fn permission_needs_name_scopes_and_the_right_to_write() {
    let tools = toolbox(vec![]);
    let tool = &tools.get("refund").unwrap().tool;
    let mut spec = AgentSpec::new("support", "m");
    let says = |spec: &AgentSpec, read_only| {
        check_permission(spec, tool.as_ref(), read_only)
            .unwrap_err()
            .reason
    };
    assert!(says(&spec, false).contains("may not call refund"));
    spec.tools.push("refund".into());
    assert!(says(&spec, false).contains("payments.write"));
    spec.scopes.push("payments.write".into());
    assert!(check_permission(&spec, tool.as_ref(), false).is_ok());
    assert!(says(&spec, true).contains("read-only"));
}

#[test]
fn a_malformed_output_is_refused() {
    let tools = toolbox(vec![]);
    let fitted = tools.get("refund").unwrap();
    assert!(check_output(fitted, &json!({}), &json!({"refund_id": 7})).is_ok());
    let refused = check_output(fitted, &json!({}), &json!({"ok": true})).unwrap_err();
    assert_eq!(refused.stage, Stage::PostCondition);
}

#[test]
fn a_contract_whose_schema_is_none_is_refused() {
    let contract = Contract {
        input: json!({"type": "strin"}),
        ..Contract::new("bad")
    };
    let tool = Arc::new(ScriptedTool::new(contract, vec![], Duration::ZERO));
    let error = Toolbox::default().add(tool).unwrap_err().to_string();
    assert!(error.starts_with("tool bad: input"), "{error}");
}

#[tokio::test]
async fn the_same_key_gets_the_same_output() {
    let tool = ScriptedTool::new(
        refund(),
        vec![json!({"refund_id":1}), json!({"refund_id":2})],
        Duration::ZERO,
    );
    let call = |key: &str| Call {
        input: json!({}),
        idempotency_key: key.into(),
        execution_id: "e".into(),
        agent: "a".into(),
    };
    for (key, id) in [("k1", 1), ("k1", 1), ("k2", 2), ("k1", 1), ("k3", 2)] {
        assert_eq!(
            tool.call(call(key)).await.unwrap()["refund_id"],
            json!(id),
            "{key}"
        );
    }
}
