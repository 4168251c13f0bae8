//! The words of the columns `injection_markers` and `argument_markers`.

/// A sign of prompt injection in a text: a fact about the text, and no proof of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Marker {
    /// It asks to ignore or forget instructions.
    InstructionOverride,
    /// It holds what chat templates put between roles.
    RoleMarker,
    /// It looks like a tool call of a model.
    ToolCallText,
    /// An image in Markdown whose address carries data.
    ExfiltrationLink,
    /// Characters that nobody sees.
    HiddenText,
}

impl Marker {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::InstructionOverride,
        Self::RoleMarker,
        Self::ToolCallText,
        Self::ExfiltrationLink,
        Self::HiddenText,
    ];

    /// The word for a text that was looked through and has none.
    pub const NONE: &str = "none";

    /// The word in the columns.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InstructionOverride => "instruction_override",
            Self::RoleMarker => "role_marker",
            Self::ToolCallText => "tool_call_text",
            Self::ExfiltrationLink => "exfiltration_link",
            Self::HiddenText => "hidden_text",
        }
    }
}
