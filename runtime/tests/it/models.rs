//! Providers: the scripted one is deterministic, the OpenAI-compatible one speaks through a real port.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use flyball_runtime::model::scripted::{Line, Rule};
use flyball_runtime::model::{
    Message, ModelError, Offer, OpenAi, Provider, Request, Script, Scripted, Usage,
};
use serde_json::{Value, json};

use crate::workshop::{answer, calls};

fn request(execution_id: &str, turn: u32) -> Request {
    Request {
        model: "m".into(),
        agent: "worker".into(),
        execution_id: execution_id.into(),
        turn,
        attempt: 0,
        messages: vec![Message::User {
            content: "find the red one".into(),
        }],
        tools: vec![Offer {
            name: "look".into(),
            description: "looks".into(),
            input: json!({"type": "object"}),
        }],
        max_tokens: 10_000,
        temperature: Some(0.0),
    }
}

#[tokio::test]
async fn a_script_says_the_same_to_the_same_request() {
    let varied = |line: Line| Line {
        spread_percent: 40,
        ..line
    };
    let script = |seed| Script {
        streams: false,
        provider: "flyball".into(),
        seed,
        rules: vec![
            Rule {
                last_contains: Some("blue".into()),
                reply: answer("blue"),
                ..Rule::default()
            },
            Rule {
                from_turn: Some(7),
                agent: Some("worker".into()),
                reply: answer("enough"),
                ..Rule::default()
            },
        ],
        replies: vec![
            varied(calls(&[("look", json!({}))])),
            varied(answer("done")),
        ],
    };
    let (one, same, other) = (
        Scripted::new(script(1)),
        Scripted::new(script(1)),
        Scripted::new(script(2)),
    );
    let mut differ = 0;
    for n in 0..20 {
        let request = request(&format!("e{n}"), n % 3);
        let reply = one.chat(&request).await.unwrap();
        assert_eq!(reply, same.chat(&request).await.unwrap());
        assert_eq!(reply, one.chat(&request).await.unwrap());
        let usage = reply.usage.unwrap();
        assert!(
            (600..=1400).contains(&usage.input_tokens) && (30..=70).contains(&usage.output_tokens),
            "{usage:?}"
        );
        assert_eq!(one.input_at_most(&request), usage.input_tokens);
        differ += usize::from(other.chat(&request).await.unwrap().usage != reply.usage);
    }
    assert!(differ > 10, "the seed matters");
    assert_eq!(one.chat(&request("e", 9)).await.unwrap().content, "enough");
    let blue = Request {
        messages: vec![Message::User {
            content: "a blue one".into(),
        }],
        ..request("e", 0)
    };
    assert_eq!(one.chat(&blue).await.unwrap().content, "blue");
    assert_eq!(
        Scripted::new(Script::default())
            .chat(&blue)
            .await
            .unwrap_err()
            .kind(),
        "malformed"
    );
}

#[test]
fn a_script_is_read_from_json_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.json");
    std::fs::write(
        &file,
        r#"{"replies":[{"content":"hi","usage":{"input_tokens":3}}]}"#,
    )
    .unwrap();
    assert_eq!(
        Script::read(&file).unwrap().replies[0].usage,
        Usage {
            input_tokens: 3,
            ..Usage::default()
        }
    );
    for (text, says) in [
        ("{", "EOF"),
        ("{}", "at least one"),
        (r#"{"replys":[]}"#, "replys"),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = Script::read(&file).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("s.json"), "{error}");
    }
}

type Seen = Arc<Mutex<Vec<(Option<String>, Value)>>>;

/// A server that answers each request with the next of these.
async fn server(answers: Vec<(u16, Value)>) -> (String, Seen) {
    let seen = Seen::default();
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let record = Arc::clone(&seen);
    let router = axum::Router::new().route(
        "/v1/chat/completions",
        post(move |headers: HeaderMap, Json(body): Json<Value>| {
            let key = headers
                .get("authorization")
                .map(|value| value.to_str().unwrap().to_owned());
            record.lock().unwrap().push((key, body));
            let (status, answer) = answers.lock().unwrap().next().unwrap();
            async move {
                (
                    StatusCode::from_u16(status).unwrap(),
                    [("retry-after", "7")],
                    Json(answer),
                )
            }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, seen)
}

#[tokio::test]
async fn openai_compatible_servers_are_understood() {
    let good = json!({"id": "c1", "model": "m-2026", "choices": [{"finish_reason": "stop", "message": {"content": "hi"}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2}});
    let frozen = json!({"error": {"code": "agent_frozen", "message": "Frozen by policy p"}});
    let (url, seen) = server(vec![
        (200, good),
        (403, frozen),
        (402, json!({})),
        (429, json!({})),
        (503, json!({})),
        (400, json!({})),
    ])
    .await;
    let model = OpenAi::new("openai", &url, Some("k".into()), Duration::from_secs(5)).unwrap();
    let mut request = request("e", 0);
    let call = flyball_runtime::model::ToolCall {
        id: "t1".into(),
        name: "look".into(),
        arguments: json!({"at": 1}),
    };
    request.messages.push(Message::Assistant {
        content: String::new(),
        tool_calls: vec![call],
    });
    request.messages.push(Message::Tool {
        call_id: "t1".into(),
        content: "red".into(),
    });
    let reply = model.chat(&request).await.unwrap();
    assert_eq!(
        (
            reply.content.as_str(),
            reply.model.as_str(),
            reply.usage.unwrap().input_tokens
        ),
        ("hi", "m-2026", 5)
    );
    assert_eq!(
        model.chat(&request).await.unwrap_err(),
        ModelError::Frozen("Frozen by policy p".into())
    );
    assert!(matches!(
        model.chat(&request).await.unwrap_err(),
        ModelError::Budget(_)
    ));
    let throttled = model.chat(&request).await.unwrap_err();
    assert!(
        matches!(throttled, ModelError::Throttled { retry_after: Some(wait), .. } if wait == Duration::from_secs(7))
    );
    assert!(matches!(
        model.chat(&request).await.unwrap_err(),
        ModelError::Overloaded(_)
    ));
    assert!(matches!(
        model.chat(&request).await.unwrap_err(),
        ModelError::Refused { status: 400, .. }
    ));

    let (key, body) = seen.lock().unwrap()[0].clone();
    assert_eq!(key.as_deref(), Some("Bearer k"));
    assert_eq!(
        body["messages"][1]["tool_calls"][0]["function"]["arguments"],
        json!("{\"at\":1}")
    );
    assert_eq!(
        body["messages"][2],
        json!({"role": "tool", "tool_call_id": "t1", "content": "red"})
    );
    assert_eq!(
        (&body["tools"][0]["function"]["name"], &body["max_tokens"]),
        (&json!("look"), &json!(10_000))
    );
    let nobody = OpenAi::new(
        "openai",
        "http://127.0.0.1:1/v1",
        None,
        Duration::from_secs(2),
    )
    .unwrap();
    assert!(nobody.chat(&request).await.unwrap_err().is_transient());
    assert!(OpenAi::new("openai", "ftp://x", None, Duration::from_secs(2)).is_err());
    // what a hard budget reserves is never less than one token a byte
    assert!(model.input_at_most(&request) > 100);
}

/// Stops an output at so many tokens.
struct Until(u64);

#[async_trait::async_trait]
impl flyball_runtime::model::Listener for Until {
    async fn heard(&self, tokens: u64) -> Result<(), flyball_runtime::model::Stopped> {
        if tokens < self.0 {
            Ok(())
        } else {
            Err(flyball_runtime::model::Stopped)
        }
    }
}

/// Set when what it is part of is dropped.
struct Dropped(Arc<std::sync::atomic::AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_stream_is_followed_and_cut_at_the_providers_end_too() {
    use tokio_stream::StreamExt;
    let dropped = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let asked = Arc::<Mutex<Value>>::default();
    let seen = Arc::clone(&asked);
    let router = axum::Router::new().route(
        "/v1/chat/completions",
        post(move |Json(body): Json<Value>| {
            *seen.lock().unwrap() = body;
            let dropped = Dropped(Arc::clone(&flag));
            let endless = tokio_stream::iter(0..).throttle(Duration::from_millis(5));
            let events = endless.map(move |_: u64| {
                let _held = &dropped;
                let event =
                    json!({"model": "m", "choices": [{"delta": {"content": "0123456789"}}]});
                Ok::<_, std::convert::Infallible>(format!("data: {event}\n\n"))
            });
            async move { axum::body::Body::from_stream(events) }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let model = OpenAi::new("openai", &url, None, Duration::from_secs(10)).unwrap();
    let cut = model.chat_heard(&request("e", 0), &Until(100)).await;
    match cut.unwrap_err() {
        ModelError::Cut { partial } => assert!(partial.len() >= 100 && partial.len() < 1000),
        other => panic!("{other}"),
    }
    assert_eq!(
        asked.lock().unwrap()["stream_options"],
        json!({"include_usage": true})
    );
    for _ in 0..500 {
        if dropped.load(std::sync::atomic::Ordering::SeqCst) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the provider goes on");
}
