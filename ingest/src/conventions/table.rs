//! The table itself. Within a column, the first rule that finds a value wins.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Column::{
    AgentId, AgentName, AgentRole, AgentVersion, AudioInputTokens, AudioOutputTokens,
    CacheReadTokens, CacheWrite1hTokens, CacheWriteTokens, ClientCostUsd, Confidence, Decision,
    Environment, ErrorType, Escalated, ExecutionId, FinishReason, ImageInputTokens,
    ImageOutputTokens, InputTokens, Intervention, Outcome, OutputTokens, PolicyRule, PolicyVerdict,
    Progress, Provider, QueueWaitMs, ReasoningTokens, RequestModel, ResponseId, ResponseModel,
    ServiceTier, SessionId, State, Step, TaskId, TaskType, Team, Tenant, Termination,
    TerminationReason, ToolCallId, ToolEffect, ToolInputHash, ToolName, ToolTarget, ToolType,
    UserId, ValueUsd, VersionSet, Workflow,
};
use super::Convention::{
    ClaudeCode, Codex, Flyball, Framework, GeminiCli, General, LangSmith, Langfuse, Mlflow,
    OpenInference, OpenLlmetry, Otel, Vercel,
};
use super::Place::{Both, Span};
use super::Read::{Count, Estimate, FirstWord, Flag, Money, Number, Share, Text, Word};
use super::{Column, Convention, Place, Read, Rule};

const fn row(
    column: Column,
    convention: Convention,
    place: Place,
    key: &'static str,
    read: Read,
) -> Rule {
    Rule {
        column,
        key,
        convention,
        place,
        read,
        only: None,
        marked: false,
        field: None,
        apart: false,
    }
}

const fn only(operation: &'static str, rule: Rule) -> Rule {
    Rule {
        only: Some(operation),
        ..rule
    }
}

/// Only on spans that bear the convention's mark.
const fn marked(rule: Rule) -> Rule {
    Rule {
        marked: true,
        ..rule
    }
}

/// In JSON in a string.
const fn field(field: &'static str, rule: Rule) -> Rule {
    Rule {
        field: Some(field),
        ..rule
    }
}

/// Its parts are told apart, and are not in it.
const fn apart(rule: Rule) -> Rule {
    Rule {
        apart: true,
        ..rule
    }
}

/// Langfuse's counts: buckets that exclude each other, unless they are OpenAI's.
const BUCKETS: &str = "langfuse.observation.usage_details";
/// MLflow's counts; input is the total.
const USAGE: &str = "mlflow.chat.tokenUsage";
/// The same, of all calls of a trace.
const TRACE_USAGE: &str = "mlflow.trace.tokenUsage";
/// LangChain's parts of input, as LangSmith sends them.
const INPUT_DETAILS: &str = "gen_ai.usage.input_token_details";
/// LangChain's parts of output.
const OUTPUT_DETAILS: &str = "gen_ai.usage.output_token_details";
/// What all calls of a crew used, and of all crews of a flow.
const CREW_USAGE: &str = "crewai.crew.usage_metrics";
const FLOW_USAGE: &str = "crewai.flow.aggregated_crew_usage_metrics";

/// Column, convention, place, key, reading. Order within a column is precedence.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    // Who. Names as sent; what an ancestor adds is the resolver's to say.
    row(AgentName, Otel, Span, "gen_ai.agent.name", Text),
    row(AgentName, OpenInference, Span, "agent.name", Text),
    row(AgentName, General, Span, "agent_name", Text),
    only("invoke_agent", row(AgentName, OpenLlmetry, Span, "traceloop.entity.name", Text)),
    row(AgentName, Framework, Span, "crewai.agent.role", Text),
    only("invoke_agent", row(AgentName, Vercel, Span, "ai.telemetry.functionId", Text)),
    row(AgentId, Otel, Span, "gen_ai.agent.id", Text),
    only("invoke_agent", row(AgentId, OpenInference, Span, "graph.node.id", Text)),
    row(AgentId, Framework, Span, "crewai.agent.key", Text),
    marked(row(AgentId, ClaudeCode, Span, "agent_id", Text)),
    row(AgentVersion, Otel, Span, "gen_ai.agent.version", Text),
    only("invoke_agent", row(AgentVersion, OpenLlmetry, Span, "traceloop.entity.version", Text)),
    row(AgentVersion, Framework, Span, "openlit.agent.version_hash", Text),
    row(AgentVersion, Langfuse, Span, "langfuse.version", Text),
    row(AgentVersion, Framework, Span, "aws.agentcore.configbundle_version", Text),
    marked(row(AgentVersion, ClaudeCode, Span, "app.version", Text)),
    row(AgentRole, Flyball, Span, "flyball.agent.role", Word),
    row(SessionId, Otel, Span, "gen_ai.conversation.id", Text),
    row(SessionId, General, Both, "session.id", Text),
    row(SessionId, OpenLlmetry, Span, "traceloop.association.properties.session_id", Text),
    row(SessionId, OpenLlmetry, Span, "traceloop.association.properties.conversation_id", Text),
    row(SessionId, OpenLlmetry, Span, "traceloop.association.properties.thread_id", Text),
    row(SessionId, Langfuse, Span, "langfuse.session.id", Text),
    field("", row(SessionId, Mlflow, Span, "mlflow.trace.session", Text)),
    row(SessionId, LangSmith, Span, "langsmith.metadata.thread_id", Text),
    row(SessionId, LangSmith, Span, "langsmith.metadata.session_id", Text),
    row(SessionId, LangSmith, Span, "langsmith.metadata.conversation_id", Text),
    row(SessionId, Framework, Span, "gcp.vertex.agent.session_id", Text),
    row(SessionId, Vercel, Span, "ai.telemetry.metadata.sessionId", Text),
    row(SessionId, Vercel, Span, "ai.telemetry.metadata.threadId", Text),
    row(SessionId, Vercel, Span, "ai.telemetry.metadata.conversationId", Text),
    row(UserId, General, Both, "user.id", Text),
    row(UserId, General, Both, "enduser.id", Text),
    row(UserId, Otel, Span, "gen_ai.user", Text),
    row(UserId, Otel, Span, "gen_ai.request.user", Text),
    row(UserId, OpenLlmetry, Span, "llm.user", Text),
    row(UserId, OpenLlmetry, Span, "traceloop.association.properties.user_id", Text),
    row(UserId, Langfuse, Span, "langfuse.user.id", Text),
    field("", row(UserId, Mlflow, Span, "mlflow.trace.user", Text)),
    marked(row(UserId, ClaudeCode, Span, "user.account_uuid", Text)),
    row(UserId, Vercel, Span, "ai.telemetry.metadata.userId", Text),
    row(Tenant, General, Both, "tenant.id", Text),
    row(Tenant, General, Both, "organization.id", Text),
    row(Tenant, General, Both, "account.id", Text),
    row(Tenant, General, Both, "customer.id", Text),
    row(Tenant, OpenLlmetry, Span, "traceloop.association.properties.tenant_id", Text),
    row(Tenant, OpenLlmetry, Span, "traceloop.association.properties.org_id", Text),
    row(Tenant, OpenLlmetry, Span, "traceloop.association.properties.customer_id", Text),
    row(Tenant, LangSmith, Span, "langsmith.metadata.tenant_id", Text),
    row(Tenant, Vercel, Span, "ai.telemetry.metadata.tenantId", Text),
    row(Team, General, Both, "team", Text),
    row(Team, General, Both, "team.id", Text),
    row(Team, General, Both, "team.name", Text),
    row(Team, General, Both, "department", Text),
    row(Team, General, Both, "cost_center", Text),
    row(Team, OpenLlmetry, Span, "traceloop.association.properties.team", Text),
    row(Team, General, Both, "service.namespace", Text),
    row(Environment, General, Both, "deployment.environment.name", Text),
    row(Environment, General, Both, "deployment.environment", Text),
    row(Environment, Otel, Both, "gen_ai.environment", Text),
    row(Environment, Langfuse, Both, "langfuse.environment", Text),
    row(ExecutionId, Flyball, Span, "flyball.execution.id", Text),
    row(ExecutionId, Otel, Span, "gen_ai.agent.execution.id", Text),
    row(ExecutionId, Framework, Span, "gcp.vertex.agent.invocation_id", Text),
    row(ExecutionId, Framework, Span, "crewai.execution_uuid", Text),
    marked(row(ExecutionId, ClaudeCode, Span, "prompt.id", Text)),
    marked(row(ExecutionId, GeminiCli, Span, "prompt_id", Text)),
    row(TaskId, Flyball, Span, "flyball.task.id", Text),
    row(TaskType, Flyball, Span, "flyball.task.type", Text),
    row(Workflow, Otel, Span, "gen_ai.workflow.name", Text),
    row(Workflow, OpenLlmetry, Span, "traceloop.workflow.name", Text),
    row(Workflow, Framework, Span, "crewai.crew.name", Text),
    row(Workflow, Framework, Span, "crewai.flow.name", Text),

    // The model call.
    row(Provider, Otel, Span, "gen_ai.provider.name", Read::Provider),
    row(Provider, OpenInference, Span, "llm.provider", Read::Provider),
    row(Provider, OpenInference, Span, "llm.system", Read::Provider),
    row(Provider, Otel, Span, "gen_ai.system", Read::Provider),
    field("", row(Provider, Mlflow, Span, "mlflow.llm.provider", Read::Provider)),
    row(Provider, Vercel, Span, "ai.model.provider", Read::Provider),
    row(RequestModel, Otel, Span, "gen_ai.request.model", Text),
    row(RequestModel, OpenInference, Span, "llm.request.model_name", Text),
    row(RequestModel, OpenInference, Span, "llm.model_name", Text),
    row(RequestModel, OpenInference, Span, "embedding.model_name", Text),
    row(RequestModel, OpenInference, Span, "reranker.model_name", Text),
    row(RequestModel, OpenLlmetry, Span, "llm.request.model", Text),
    row(RequestModel, Langfuse, Span, "langfuse.observation.model.name", Text),
    field("", row(RequestModel, Mlflow, Span, "mlflow.llm.model", Text)),
    row(RequestModel, Vercel, Span, "ai.model.id", Text),
    marked(only("chat", row(RequestModel, ClaudeCode, Span, "model", Text))),
    marked(only("chat", row(RequestModel, Codex, Span, "model", Text))),
    marked(only("chat", row(RequestModel, GeminiCli, Span, "model", Text))),
    row(ResponseModel, Otel, Span, "gen_ai.response.model", Text),
    row(ResponseModel, OpenInference, Span, "llm.response.model_name", Text),
    row(ResponseModel, OpenLlmetry, Span, "llm.response.model", Text),
    row(ResponseModel, Vercel, Span, "ai.response.model", Text),
    row(ServiceTier, Otel, Span, "openai.response.service_tier", Word),
    row(ServiceTier, Otel, Span, "openai.request.service_tier", Word),
    row(ServiceTier, Otel, Span, "gen_ai.openai.response.service_tier", Word),
    row(ServiceTier, Otel, Span, "gen_ai.openai.request.service_tier", Word),
    row(ServiceTier, Otel, Span, "gen_ai.response.service_tier", Word),
    row(ServiceTier, Otel, Span, "anthropic.response.service_tier", Word),
    marked(only("chat", row(ServiceTier, ClaudeCode, Span, "speed", Word))),
    row(ResponseId, Otel, Span, "gen_ai.response.id", Text),
    row(ResponseId, Vercel, Span, "ai.response.id", Text),
    marked(only("chat", row(ResponseId, ClaudeCode, Span, "request_id", Text))),
    row(FinishReason, Otel, Span, "gen_ai.response.finish_reasons", FirstWord),
    row(FinishReason, Otel, Span, "gen_ai.response.finish_reason", FirstWord),
    row(FinishReason, OpenInference, Span, "llm.finish_reason", FirstWord),
    row(FinishReason, OpenLlmetry, Span, "llm.response.finish_reason", FirstWord),
    row(FinishReason, OpenLlmetry, Span, "gen_ai.completion.0.finish_reason", FirstWord),
    row(FinishReason, Vercel, Span, "ai.response.finishReason", FirstWord),
    marked(only("chat", row(FinishReason, ClaudeCode, Span, "stop_reason", FirstWord))),

    // Its tokens. Whether input holds the cached ones is settled afterwards (see `sources`).
    row(InputTokens, Otel, Span, "gen_ai.usage.input_tokens", Count),
    row(InputTokens, Otel, Span, "gen_ai.usage.prompt_tokens", Count),
    row(InputTokens, OpenInference, Span, "llm.token_count.prompt", Count),
    row(InputTokens, OpenLlmetry, Span, "llm.usage.prompt_tokens", Count),
    field("input*+cache_read_input_tokens+cache_creation_input_tokens", row(InputTokens, Langfuse, Span, BUCKETS, Count)),
    field("prompt_tokens", row(InputTokens, Langfuse, Span, BUCKETS, Count)),
    field("input_tokens", row(InputTokens, Mlflow, Span, USAGE, Count)),
    row(InputTokens, Vercel, Span, "ai.usage.inputTokens", Count),
    row(InputTokens, Vercel, Span, "ai.usage.promptTokens", Count),
    only("embeddings", row(InputTokens, Vercel, Span, "ai.usage.tokens", Count)),
    apart(marked(only("chat", row(InputTokens, ClaudeCode, Span, "input_tokens", Count)))),
    marked(only("chat", row(InputTokens, Codex, Span, "input_token_count", Count))),
    marked(only("chat", row(InputTokens, GeminiCli, Span, "input_token_count", Count))),
    row(InputTokens, Otel, Span, "gen_ai.aggregated_usage.input_tokens", Count),
    only("invoke_agent", field("input_tokens", row(InputTokens, Mlflow, Span, TRACE_USAGE, Count))),
    only("invoke_workflow", field("input_tokens", row(InputTokens, Mlflow, Span, TRACE_USAGE, Count))),
    field("prompt_tokens", row(InputTokens, Framework, Span, CREW_USAGE, Count)),
    field("prompt_tokens", row(InputTokens, Framework, Span, FLOW_USAGE, Count)),
    row(CacheReadTokens, Otel, Span, "gen_ai.usage.cache_read.input_tokens", Count),
    row(CacheReadTokens, Otel, Span, "gen_ai.usage.cache_read_input_tokens", Count),
    row(CacheReadTokens, Otel, Span, "gen_ai.usage.cached_input_tokens", Count),
    row(CacheReadTokens, Otel, Span, "gen_ai.usage.input_tokens.cached", Count),
    row(CacheReadTokens, Otel, Span, "gen_ai.usage.details.cache_read_tokens", Count),
    field("cache_read", row(CacheReadTokens, LangSmith, Span, INPUT_DETAILS, Count)),
    row(CacheReadTokens, OpenInference, Span, "llm.token_count.prompt_details.cache_read", Count),
    row(CacheReadTokens, OpenInference, Span, "llm.token_count.prompt_details.cache_input", Count),
    field("input_cached_tokens", row(CacheReadTokens, Langfuse, Span, BUCKETS, Count)),
    field("input_cache_read", row(CacheReadTokens, Langfuse, Span, BUCKETS, Count)),
    field("cache_read_input_tokens", row(CacheReadTokens, Langfuse, Span, BUCKETS, Count)),
    field("cache_read_input_tokens", row(CacheReadTokens, Mlflow, Span, USAGE, Count)),
    row(CacheReadTokens, Vercel, Span, "ai.usage.inputTokenDetails.cacheReadTokens", Count),
    row(CacheReadTokens, Vercel, Span, "ai.usage.cachedInputTokens", Count),
    marked(only("chat", row(CacheReadTokens, ClaudeCode, Span, "cache_read_tokens", Count))),
    marked(only("chat", row(CacheReadTokens, Codex, Span, "cached_token_count", Count))),
    marked(only("chat", row(CacheReadTokens, GeminiCli, Span, "cached_content_token_count", Count))),
    row(CacheReadTokens, Otel, Span, "gen_ai.aggregated_usage.cache_read.input_tokens", Count),
    only("invoke_agent", field("cache_read_input_tokens", row(CacheReadTokens, Mlflow, Span, TRACE_USAGE, Count))),
    only("invoke_workflow", field("cache_read_input_tokens", row(CacheReadTokens, Mlflow, Span, TRACE_USAGE, Count))),
    field("cached_prompt_tokens", row(CacheReadTokens, Framework, Span, CREW_USAGE, Count)),
    field("cached_prompt_tokens", row(CacheReadTokens, Framework, Span, FLOW_USAGE, Count)),
    row(CacheWriteTokens, Otel, Span, "gen_ai.usage.cache_write.input_tokens", Count),
    row(CacheWriteTokens, Otel, Span, "gen_ai.usage.cache_creation.input_tokens", Count),
    row(CacheWriteTokens, Otel, Span, "gen_ai.usage.cache_creation_input_tokens", Count),
    row(CacheWriteTokens, Otel, Span, "gen_ai.usage.cache_write_input_tokens", Count),
    row(CacheWriteTokens, OpenInference, Span, "llm.token_count.prompt_details.cache_write", Count),
    field("cache_creation+ephemeral_5m_input_tokens+ephemeral_1h_input_tokens", row(CacheWriteTokens, LangSmith, Span, INPUT_DETAILS, Count)),
    field("input_cache_creation*+cache_creation_input_tokens", row(CacheWriteTokens, Langfuse, Span, BUCKETS, Count)),
    field("cache_creation_input_tokens", row(CacheWriteTokens, Mlflow, Span, USAGE, Count)),
    row(CacheWriteTokens, Vercel, Span, "ai.usage.inputTokenDetails.cacheWriteTokens", Count),
    field("anthropic.cacheCreationInputTokens", row(CacheWriteTokens, Vercel, Span, "ai.response.providerMetadata", Count)),
    marked(only("chat", row(CacheWriteTokens, ClaudeCode, Span, "cache_creation_tokens", Count))),
    apart(marked(only("chat", row(CacheWriteTokens, ClaudeCode, Span, "cache_creation_5m_tokens", Count)))),
    row(CacheWriteTokens, Otel, Span, "gen_ai.aggregated_usage.cache_write.input_tokens", Count),
    row(CacheWriteTokens, Otel, Span, "gen_ai.aggregated_usage.cache_creation.input_tokens", Count),
    only("invoke_agent", field("cache_creation_input_tokens", row(CacheWriteTokens, Mlflow, Span, TRACE_USAGE, Count))),
    only("invoke_workflow", field("cache_creation_input_tokens", row(CacheWriteTokens, Mlflow, Span, TRACE_USAGE, Count))),
    field("ephemeral_1h_input_tokens", row(CacheWrite1hTokens, LangSmith, Span, INPUT_DETAILS, Count)),
    field("input_cache_creation_1h", row(CacheWrite1hTokens, Langfuse, Span, BUCKETS, Count)),
    field("cache_creation_input_tokens_above_1hr", row(CacheWrite1hTokens, Mlflow, Span, USAGE, Count)),
    marked(only("chat", row(CacheWrite1hTokens, ClaudeCode, Span, "cache_creation_1h_tokens", Count))),
    row(AudioInputTokens, Otel, Span, "gen_ai.usage.audio.input_tokens", Count),
    row(AudioInputTokens, Otel, Span, "gen_ai.usage.details.input_audio_tokens", Count),
    row(AudioInputTokens, OpenInference, Span, "llm.token_count.prompt_details.audio", Count),
    field("audio", row(AudioInputTokens, LangSmith, Span, INPUT_DETAILS, Count)),
    field("input_audio*", row(AudioInputTokens, Langfuse, Span, BUCKETS, Count)),
    row(ImageInputTokens, Otel, Span, "gen_ai.usage.image.input_tokens", Count),
    field("input_image*", row(ImageInputTokens, Langfuse, Span, BUCKETS, Count)),
    row(OutputTokens, Otel, Span, "gen_ai.usage.output_tokens", Count),
    row(OutputTokens, Otel, Span, "gen_ai.usage.completion_tokens", Count),
    row(OutputTokens, OpenInference, Span, "llm.token_count.completion", Count),
    row(OutputTokens, OpenLlmetry, Span, "llm.usage.completion_tokens", Count),
    field("output*", row(OutputTokens, Langfuse, Span, BUCKETS, Count)),
    field("completion_tokens", row(OutputTokens, Langfuse, Span, BUCKETS, Count)),
    field("output_tokens", row(OutputTokens, Mlflow, Span, USAGE, Count)),
    row(OutputTokens, Vercel, Span, "ai.usage.outputTokens", Count),
    row(OutputTokens, Vercel, Span, "ai.usage.completionTokens", Count),
    marked(only("chat", row(OutputTokens, ClaudeCode, Span, "output_tokens", Count))),
    marked(only("chat", row(OutputTokens, Codex, Span, "output_token_count", Count))),
    apart(marked(only("chat", row(OutputTokens, GeminiCli, Span, "output_token_count", Count)))),
    row(OutputTokens, Otel, Span, "gen_ai.aggregated_usage.output_tokens", Count),
    only("invoke_agent", field("output_tokens", row(OutputTokens, Mlflow, Span, TRACE_USAGE, Count))),
    only("invoke_workflow", field("output_tokens", row(OutputTokens, Mlflow, Span, TRACE_USAGE, Count))),
    field("completion_tokens", row(OutputTokens, Framework, Span, CREW_USAGE, Count)),
    field("completion_tokens", row(OutputTokens, Framework, Span, FLOW_USAGE, Count)),
    row(ReasoningTokens, Otel, Span, "gen_ai.usage.reasoning.output_tokens", Count),
    row(ReasoningTokens, Otel, Span, "gen_ai.usage.reasoning_tokens", Count),
    row(ReasoningTokens, OpenLlmetry, Span, "llm.usage.reasoning_tokens", Count),
    row(ReasoningTokens, Otel, Span, "gen_ai.usage.output_tokens.reasoning", Count),
    row(ReasoningTokens, Otel, Span, "gen_ai.usage.details.reasoning_tokens", Count),
    // While Google ADK used this name, its output was the candidates alone.
    apart(row(ReasoningTokens, Framework, Span, "gen_ai.usage.experimental.reasoning_tokens", Count)),
    field("reasoning", row(ReasoningTokens, LangSmith, Span, OUTPUT_DETAILS, Count)),
    row(ReasoningTokens, OpenInference, Span, "llm.token_count.completion_details.reasoning", Count),
    field("output_reasoning_tokens", row(ReasoningTokens, Langfuse, Span, BUCKETS, Count)),
    field("output_reasoning", row(ReasoningTokens, Langfuse, Span, BUCKETS, Count)),
    row(ReasoningTokens, Vercel, Span, "ai.usage.outputTokenDetails.reasoningTokens", Count),
    row(ReasoningTokens, Vercel, Span, "ai.usage.reasoningTokens", Count),
    marked(only("chat", row(ReasoningTokens, Codex, Span, "reasoning_token_count", Count))),
    marked(only("chat", row(ReasoningTokens, GeminiCli, Span, "thoughts_token_count", Count))),
    row(ReasoningTokens, Otel, Span, "gen_ai.aggregated_usage.details.reasoning_tokens", Count),
    row(AudioOutputTokens, Otel, Span, "gen_ai.usage.audio.output_tokens", Count),
    row(AudioOutputTokens, Otel, Span, "gen_ai.usage.details.output_audio_tokens", Count),
    row(AudioOutputTokens, OpenInference, Span, "llm.token_count.completion_details.audio", Count),
    field("audio", row(AudioOutputTokens, LangSmith, Span, OUTPUT_DETAILS, Count)),
    field("output_audio*", row(AudioOutputTokens, Langfuse, Span, BUCKETS, Count)),
    row(ImageOutputTokens, Otel, Span, "gen_ai.usage.image.output_tokens", Count),
    field("output_image*", row(ImageOutputTokens, Langfuse, Span, BUCKETS, Count)),
    row(ClientCostUsd, OpenInference, Span, "llm.cost.total", Estimate),
    row(ClientCostUsd, General, Span, "operation.cost", Estimate),
    row(ClientCostUsd, Otel, Span, "gen_ai.usage.cost", Estimate),
    row(ClientCostUsd, Otel, Span, "gen_ai.usage.total_cost", Estimate),
    field("total", row(ClientCostUsd, Langfuse, Span, "langfuse.observation.cost_details", Estimate)),
    field("total_cost", row(ClientCostUsd, Mlflow, Span, "mlflow.llm.cost", Estimate)),
    marked(only("chat", row(ClientCostUsd, ClaudeCode, Span, "cost_usd", Estimate))),

    // The tool call.
    row(ToolName, Otel, Span, "gen_ai.tool.name", Text),
    row(ToolName, OpenInference, Span, "tool.name", Text),
    only("execute_tool", row(ToolName, OpenLlmetry, Span, "traceloop.entity.name", Text)),
    row(ToolName, Otel, Span, "mcp.tool.name", Text),
    row(ToolName, Vercel, Span, "ai.toolCall.name", Text),
    marked(only("execute_tool", row(ToolName, ClaudeCode, Span, "tool_name", Text))),
    marked(only("execute_tool", row(ToolName, Codex, Span, "tool_name", Text))),
    marked(only("execute_tool", row(ToolName, GeminiCli, Span, "function_name", Text))),
    row(ToolType, Otel, Span, "gen_ai.tool.type", Word),
    row(ToolCallId, Otel, Span, "gen_ai.tool.call.id", Text),
    only("execute_tool", row(ToolCallId, OpenInference, Span, "tool.id", Text)),
    only("execute_tool", row(ToolCallId, OpenInference, Span, "tool_call.id", Text)),
    row(ToolCallId, Vercel, Span, "ai.toolCall.id", Text),
    marked(only("execute_tool", row(ToolCallId, ClaudeCode, Span, "tool_use_id", Text))),
    marked(only("execute_tool", row(ToolCallId, Codex, Span, "call_id", Text))),
    row(ToolEffect, Flyball, Span, "flyball.tool.effect", Word),
    row(ToolInputHash, Flyball, Span, "flyball.tool.input_hash", Text),
    row(ToolTarget, Flyball, Span, "flyball.tool.target", Text),
    row(ErrorType, General, Span, "error.type", Text),
    marked(only("chat", row(ErrorType, ClaudeCode, Span, "status_code", Text))),
    marked(only("chat", row(ErrorType, GeminiCli, Span, "error_type", Text))),

    // The agent's own account of itself.
    row(State, Flyball, Span, "flyball.state", Text),
    row(Step, Flyball, Span, "flyball.step", Count),
    row(Decision, Flyball, Span, "flyball.decision", Flag),
    row(Confidence, Flyball, Span, "flyball.confidence", Share),
    row(Progress, Flyball, Span, "flyball.progress", Number),
    row(Termination, Flyball, Span, "flyball.termination", Word),
    row(TerminationReason, Flyball, Span, "flyball.termination.reason", Text),
    row(TerminationReason, Flyball, Span, "flyball.escalation.reason", Text),
    row(Escalated, Flyball, Span, "flyball.escalated", Flag),
    row(Intervention, Flyball, Span, "flyball.intervention", Word),
    row(Intervention, Flyball, Span, "flyball.approval.outcome", Word),
    row(PolicyVerdict, Flyball, Span, "flyball.policy.verdict", Word),
    row(PolicyRule, Flyball, Span, "flyball.policy.rule", Text),
    row(QueueWaitMs, Flyball, Span, "flyball.queue.wait_ms", Count),
    row(VersionSet, Flyball, Span, "flyball.version_set", Text),
    row(Outcome, Flyball, Span, "flyball.outcome", Word),
    row(ValueUsd, Flyball, Span, "flyball.value_usd", Money),
];

/// The rules of one key, each with its place in the table (the lower, the better).
pub(crate) fn rules_of(key: &str) -> &'static [(usize, Rule)] {
    static BY_KEY: LazyLock<HashMap<&'static str, Vec<(usize, Rule)>>> = LazyLock::new(|| {
        let mut by_key: HashMap<_, Vec<_>> = HashMap::new();
        for (place, rule) in RULES.iter().enumerate() {
            by_key.entry(rule.key).or_default().push((place, *rule));
        }
        by_key
    });
    BY_KEY.get(key).map_or(&[], Vec::as_slice)
}

/// Whether a rule, by its place in the table, is the first of its column: the key that our own columns are named after.
pub(crate) fn is_leading(place: usize) -> bool {
    static LEADING: LazyLock<Vec<bool>> = LazyLock::new(|| {
        let first = |(place, rule): (usize, &Rule)| {
            RULES[..place]
                .iter()
                .all(|other| other.column != rule.column)
        };
        RULES.iter().enumerate().map(first).collect()
    });
    LEADING.get(place).is_some_and(|leading| *leading)
}

/// Whether a key's value is a number of tokens.
pub(crate) fn is_token_count(key: &str) -> bool {
    let tokens = [
        InputTokens,
        CacheReadTokens,
        CacheWriteTokens,
        CacheWrite1hTokens,
        AudioInputTokens,
        ImageInputTokens,
        OutputTokens,
        ReasoningTokens,
        AudioOutputTokens,
        ImageOutputTokens,
    ];
    rules_of(key)
        .iter()
        .any(|(_, rule)| tokens.contains(&rule.column))
}
