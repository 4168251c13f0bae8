//! The tools of a runtime, with their schemas compiled.

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonschema::Validator;

use super::{Contract, Tool};
use crate::Error;
use crate::model::Offer;

/// A tool with its schemas compiled.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The tool.
    pub tool: Arc<dyn Tool>,
    pub(super) input: Arc<Validator>,
    pub(super) output: Arc<Validator>,
}

/// Tools by name.
#[derive(Debug, Clone, Default)]
pub struct Toolbox {
    tools: BTreeMap<String, Fitted>,
}

impl Toolbox {
    /// Adds a tool; one of the same name is replaced.
    ///
    /// # Errors
    /// When a schema of its contract is not a JSON Schema, or its name is empty.
    pub fn add(&mut self, tool: Arc<dyn Tool>) -> Result<(), Error> {
        let contract = tool.contract();
        if contract.name.trim().is_empty() {
            return Err(Error::invalid("tool.name", &contract.name, "a name"));
        }
        let compile = |field: &str, schema: &serde_json::Value| {
            jsonschema::validator_for(schema)
                .map(Arc::new)
                .map_err(|error| {
                    let field = format!("tool {}: {field}", contract.name);
                    Error::invalid(
                        field,
                        &schema.to_string(),
                        format!("a JSON Schema ({error})"),
                    )
                })
        };
        let input = compile("input", &contract.input)?;
        let output = compile("output", &contract.output)?;
        self.tools.insert(
            contract.name.clone(),
            Fitted {
                tool: Arc::clone(&tool),
                input,
                output,
            },
        );
        Ok(())
    }

    /// The tool of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Fitted> {
        self.tools.get(name)
    }

    /// What a model is told of the tools that `allowed` names.
    #[must_use]
    pub fn offers(&self, allowed: &[String], fits: impl Fn(&Contract) -> bool) -> Vec<Offer> {
        allowed
            .iter()
            .filter_map(|name| self.tools.get(name))
            .map(|fitted| fitted.tool.contract())
            .filter(|contract| fits(contract))
            .map(|contract| Offer {
                name: contract.name.clone(),
                description: contract.description.clone(),
                input: contract.input.clone(),
            })
            .collect()
    }
}
