//! What a tool call acts on, by the argument that names it.

use std::borrow::Cow;

use flyball_otlp::common::Value;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::json;

/// The arguments that name one thing whatever the tool: a file, or a resource by its address. An `id` does not, since
/// each tool numbers things of its own.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(
        borrow,
        alias = "file_path",
        alias = "filePath",
        alias = "filepath",
        alias = "file",
        alias = "filename",
        alias = "target_file",
        alias = "absolute_path",
        alias = "notebook_path"
    )]
    path: Option<Cow<'a, str>>,
    #[serde(borrow, alias = "url", alias = "resource_uri")]
    uri: Option<Cow<'a, str>>,
}

/// SHA-256 of it, hex: arguments are content. None when they name no such thing, or two.
pub(super) fn of(arguments: &Value<'_>) -> Option<String> {
    let structured;
    let text = match arguments {
        Value::String(text) => *text,
        other => {
            structured = json::of(other).to_string();
            &structured
        }
    };
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let named: Named<'_> = serde_json::from_str(text).ok()?;
    let target = named.path.or(named.uri)?;
    let target = target.trim();
    (!target.is_empty()).then(|| hex::encode(Sha256::digest(target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_addresses_are_targets_whatever_the_tool_calls_them() {
        let of = |text: &str| of(&Value::String(text));
        let path = of(r#"{"path": "/etc/hosts", "content": "x"}"#);
        assert_eq!(path, Some(hex::encode(Sha256::digest("/etc/hosts"))));
        assert_eq!(of(r#"{"old": [1], "file_path": "/etc/hosts"}"#), path);
        assert_ne!(of(r#"{"url": "https://a.example/"}"#), path);
        for none in [
            "",
            "/etc/hosts",
            "[1]",
            "{",
            r#"{"id": 5}"#,
            r#"{"path": 5}"#,
            r#"{"path": " "}"#,
            r#"{"path": "/a", "file": "/b"}"#,
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
