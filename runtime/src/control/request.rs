//! Orders as they come over HTTP: a whole [`Order`], or a short form for people and scripts.
//!
//! Read by hand, field by field, so that an error can name the field that is wrong.

use serde_json::{Map, Value};

use super::{Cause, Error, Mode, Order, Scope, State};

const SELECTORS: &str =
    "exactly one of agent, tool, tenant, execution, workspace (a name) and global (true)";
const SHORT: [&str; 15] = [
    "action",
    "agent",
    "tool",
    "tenant",
    "execution",
    "workspace",
    "global",
    "reason",
    "actor",
    "mode",
    "action_id",
    "calls_per_minute",
    "tier",
    "read_only",
    "plan_depth",
];
const WHOLE: [&str; 9] = [
    "scope",
    "state",
    "actor",
    "reason",
    "rule",
    "mode",
    "cause",
    "evidence",
    "action_id",
];

/// Reads either form.
///
/// # Errors
/// The first field that is missing, unknown or not of the accepted form.
pub(super) fn read_order(body: &[u8]) -> Result<Order, Error> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        Error::invalid(
            "body",
            &String::from_utf8_lossy(body),
            format!("a JSON object ({error})"),
        )
    })?;
    let Value::Object(fields) = value else {
        return Err(Error::invalid("body", &value.to_string(), "a JSON object"));
    };
    let fields = Fields(fields);
    let order = if fields.0.contains_key("action") {
        short(&fields)?
    } else {
        whole(&fields)?
    };
    order.check()?;
    Ok(order)
}

fn short(fields: &Fields) -> Result<Order, Error> {
    fields.only(&SHORT)?;
    let state = match fields.text("action")?.as_deref() {
        Some("freeze") => State::Frozen,
        Some("release") => State::Running,
        Some("throttle") => State::Throttled {
            calls_per_minute: fields.number("calls_per_minute")?.ok_or_else(|| {
                Error::missing(
                    "calls_per_minute",
                    "a whole number of 1 or more for throttle",
                )
            })?,
        },
        Some("degrade") => State::Degraded {
            tier: fields.text("tier")?,
            read_only: fields.flag("read_only")?,
            plan_depth: fields.number("plan_depth")?,
        },
        other => {
            return Err(Error::invalid(
                "action",
                other.unwrap_or(""),
                "freeze, throttle, degrade or release",
            ));
        }
    };
    Ok(Order {
        scope: selector(fields)?,
        state,
        actor: fields.text("actor")?.unwrap_or_else(|| "api".to_owned()),
        reason: fields
            .text("reason")?
            .ok_or_else(|| Error::missing("reason", "why, in a few words"))?,
        rule: None,
        mode: fields
            .typed::<Mode>("mode", "shadow or enforce")?
            .unwrap_or_default(),
        cause: None,
        evidence: None,
        action_id: fields.text("action_id")?,
    })
}

fn selector(fields: &Fields) -> Result<Scope, Error> {
    let mut found = Vec::new();
    if fields.flag("global")? {
        found.push(Scope::Global);
    }
    for (name, make) in [
        ("agent", Scope::Agent as fn(String) -> Scope),
        ("tool", Scope::Tool),
        ("tenant", Scope::Tenant),
        ("execution", Scope::Execution),
        ("workspace", Scope::Workspace),
    ] {
        if let Some(target) = fields.text(name)? {
            if target.trim().is_empty() {
                return Err(Error::invalid(
                    name,
                    &target,
                    format!("the name of the {name}"),
                ));
            }
            found.push(make(target));
        }
    }
    match <[Scope; 1]>::try_from(found) {
        Ok([scope]) => Ok(scope),
        Err(none) if none.is_empty() => Err(Error::missing("agent", SELECTORS)),
        Err(several) => {
            let names: Vec<&str> = several.iter().map(Scope::name).collect();
            Err(Error::invalid(
                names.join(", "),
                &format!("{} selectors", names.len()),
                SELECTORS,
            ))
        }
    }
}

fn whole(fields: &Fields) -> Result<Order, Error> {
    if !fields.0.contains_key("scope") {
        return Err(Error::missing(
            "action",
            "freeze, throttle, degrade or release (or scope and state of a whole order)",
        ));
    }
    fields.only(&WHOLE)?;
    let scope = "an object such as {\"scope\":\"agent\",\"target\":\"triage\"}";
    let state = "an object such as {\"state\":\"throttled\",\"calls_per_minute\":10}";
    Ok(Order {
        scope: fields.typed("scope", scope)?.ok_or_else(|| Error::missing("scope", scope))?,
        state: fields.typed("state", state)?.ok_or_else(|| Error::missing("state", state))?,
        actor: fields.text("actor")?.unwrap_or_else(|| "api".to_owned()),
        reason: fields.text("reason")?.ok_or_else(|| Error::missing("reason", "why, in a few words"))?,
        rule: fields.text("rule")?,
        mode: fields.typed("mode", "shadow or enforce")?.unwrap_or_default(),
        cause: fields.typed::<Cause>(
            "cause",
            "trace_id, span_id (text), ended_at_unix_nano and received_at_unix_nano (whole numbers)",
        )?,
        evidence: fields.0.get("evidence").filter(|value| !value.is_null()).cloned(),
        action_id: fields.text("action_id")?,
    })
}

struct Fields(Map<String, Value>);

impl Fields {
    fn only(&self, known: &[&str]) -> Result<(), Error> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(Error::invalid(
                key,
                &self.0[key].to_string(),
                format!("one of {}", known.join(", ")),
            )),
            None => Ok(()),
        }
    }

    fn typed<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        accepted: &str,
    ) -> Result<Option<T>, Error> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value.clone())
                .map(Some)
                .map_err(|error| {
                    Error::invalid(name, &value.to_string(), format!("{accepted} ({error})"))
                }),
        }
    }

    fn text(&self, name: &str) -> Result<Option<String>, Error> {
        self.typed(name, "a text")
    }

    fn number(&self, name: &str) -> Result<Option<u32>, Error> {
        self.typed(name, "a whole number from 0 to 4294967295")
    }

    fn flag(&self, name: &str) -> Result<bool, Error> {
        Ok(self.typed(name, "true or false")?.unwrap_or(false))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refusal(body: &str) -> String {
        read_order(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_short_form_says_what_it_says() {
        let order = read_order(
            br#"{"action":"throttle","agent":"triage","calls_per_minute":6,"reason":"slow"}"#,
        )
        .unwrap();
        assert_eq!(order.scope, Scope::Agent("triage".into()));
        assert_eq!(
            order.state,
            State::Throttled {
                calls_per_minute: 6
            }
        );
        assert_eq!((order.actor.as_str(), order.mode), ("api", Mode::Enforce));
        let order =
            read_order(br#"{"action":"freeze","global":true,"reason":"fire","mode":"shadow"}"#)
                .unwrap();
        assert_eq!((order.scope, order.mode), (Scope::Global, Mode::Shadow));
    }

    #[test]
    fn a_whole_order_survives_the_round_trip() {
        let order = read_order(
            br#"{"action":"degrade","tool":"sql","tier":"economy","read_only":true,"reason":"r"}"#,
        )
        .unwrap();
        let again = read_order(&serde_json::to_vec(&order).unwrap()).unwrap();
        assert_eq!((again.scope, again.state), (order.scope, order.state));
    }

    #[test]
    fn every_refusal_names_its_field() {
        for (body, field) in [
            ("", "body"),
            ("[]", "body"),
            ("\u{0}{", "body"),
            ("{}", "action"),
            (r#"{"action":"explode","agent":"a","reason":"r"}"#, "action"),
            (r#"{"action":7,"agent":"a","reason":"r"}"#, "action"),
            (r#"{"action":"freeze","reason":"r"}"#, "agent"),
            (r#"{"action":"freeze","agent":"","reason":"r"}"#, "agent"),
            (
                r#"{"action":"freeze","agent":"a","tool":"b","reason":"r"}"#,
                "agent, tool",
            ),
            (r#"{"action":"freeze","agent":"a"}"#, "reason"),
            (r#"{"action":"freeze","agent":"a","reason":"  "}"#, "reason"),
            (
                r#"{"action":"freeze","agent":"a","reason":"r","who":"me"}"#,
                "who",
            ),
            (
                r#"{"action":"throttle","agent":"a","reason":"r"}"#,
                "calls_per_minute",
            ),
            (
                r#"{"action":"throttle","agent":"a","reason":"r","calls_per_minute":-1}"#,
                "calls_per_minute",
            ),
            (
                r#"{"action":"throttle","agent":"a","reason":"r","calls_per_minute":0}"#,
                "state.calls_per_minute",
            ),
            (r#"{"action":"degrade","agent":"a","reason":"r"}"#, "state"),
            (
                r#"{"action":"freeze","agent":"a","reason":"r","mode":"maybe"}"#,
                "mode",
            ),
            (
                r#"{"scope":{"scope":"agent","target":" "},"state":{"state":"frozen"},"reason":"r"}"#,
                "scope.target (agent)",
            ),
            (
                r#"{"scope":{"scope":"agent"},"state":{"state":"frozen"},"reason":"r"}"#,
                "scope",
            ),
            (r#"{"scope":{"scope":"global"},"reason":"r"}"#, "state"),
            (
                r#"{"scope":{"scope":"global"},"state":{"state":"frozen"},"reason":"r","actor":""}"#,
                "actor",
            ),
            (
                r#"{"scope":{"scope":"global"},"state":{"state":"frozen"},"reason":"r","cause":{"trace_id":1}}"#,
                "cause",
            ),
        ] {
            let message = refusal(body);
            assert!(
                message.starts_with(&format!("{field}: "))
                    || message.starts_with(&format!("{field} is missing")),
                "{body} -> {message}"
            );
        }
    }
}
