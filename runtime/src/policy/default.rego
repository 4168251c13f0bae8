# Which actions an agent may take by itself. The input is an action about to be taken:
#   agent, role, environment, confidence (absent when the model did not say), execution_id,
#   tool: {name, version, effect, scopes}, arguments, budget: {limit_usd, spent_usd}
# A denial holds over a need for approval, and that over a permission. What no rule speaks of is
# undefined, and undefined is denied.
package flyball.action

decision := {"verdict": "deny", "rule": min(deny)} if {
	count(deny) > 0
} else := {"verdict": "needs_approval", "rule": min(approve)} if {
	count(approve) > 0
} else := {"verdict": "allow", "rule": min(allow)} if {
	count(allow) > 0
}

# Who watches or judges does not change anything.
deny contains "observers_only_read" if {
	input.role in {"observer", "critic"}
	input.tool.effect != "read_only"
}

# What can't be undone is a person's to decide, wherever it happens.
approve contains "irreversible" if {
	input.tool.effect == "irreversible"
}

# An agent that is unsure does not change production by itself.
approve contains "unsure_in_production" if {
	input.environment == "production"
	input.tool.effect == "reversible"
	input.confidence < 0.5
}

allow contains "read_only" if {
	input.tool.effect == "read_only"
}

allow contains "reversible" if {
	input.tool.effect == "reversible"
}
