//! `GET /api/v1/openapi.json`: the REST API as an OpenAPI 3.1 document. What a route takes and answers is written in
//! `openapi.json` beside this file; who may use it comes from the table that decides so ([`crate::access`]).

use axum::routing::get;
use axum::{Json, Router};
use flyball_store::Role;
use serde_json::{Value, json};

use crate::access;

const WRITTEN: &str = include_str!("openapi.json");

/// The route.
pub(crate) fn router() -> Router {
    // A test reads the file, so there is a document.
    let document = document().unwrap_or_default();
    Router::new().route(
        "/api/v1/openapi.json",
        get(async move || Json(document.clone())),
    )
}

/// The document, with the roles of each route in it.
fn document() -> serde_json::Result<Value> {
    let mut document: Value = serde_json::from_str(WRITTEN)?;
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    for (method, path, roles) in access::api() {
        let method = method.as_str().to_ascii_lowercase();
        let operation = &mut document["paths"][path][method];
        match roles {
            // `{}` is a request without a key: as long as none is configured, none is asked for.
            Some(roles) => {
                operation["security"] = json!([{ "key": [] }, {}]);
                operation["x-flyball-roles"] = roles.iter().copied().map(Role::as_str).collect();
            }
            None => operation["security"] = json!([]),
        }
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let written: Value = serde_json::from_str(WRITTEN).unwrap();
        let described: BTreeSet<(String, String)> = written["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys();
                methods.map(|method| (method.to_ascii_uppercase(), path.clone()))
            })
            .collect();
        let served: BTreeSet<(String, String)> = access::api()
            .map(|(method, path, _)| (method.to_string(), path.to_owned()))
            .collect();
        assert_eq!(described, served);
    }

    #[test]
    fn every_operation_says_what_it_does_what_it_answers_and_who_may() {
        let document = document().unwrap();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let told = |key: &str| operation[key].as_str().is_some_and(|text| !text.is_empty());
                assert!(told("summary") && told("operationId"), "{method} {path}");
                let answers = operation["responses"].as_object().unwrap();
                assert!(
                    answers.keys().any(|status| status.starts_with('2')),
                    "{method} {path}"
                );
                assert!(operation["security"].is_array(), "{method} {path}");
            }
        }
        let query = &document["paths"]["/api/v1/query"]["post"];
        assert_eq!(
            query["x-flyball-roles"],
            json!(["read", "operate", "admin"])
        );
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, document: &Value) {
            if let Some(to) = value["$ref"].as_str() {
                let pointer = to.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{to}");
            }
            match value {
                Value::Object(members) => {
                    members.values().for_each(|member| walk(member, document));
                }
                Value::Array(items) => items.iter().for_each(|item| walk(item, document)),
                _ => {}
            }
        }
        let document = document().unwrap();
        walk(&document, &document);
    }
}
