//! The page and its assets: built into the binary, served with headers that allow nothing else.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The page.
const PAGE: &str = include_str!("../../console/index.html");
/// Its stylesheet.
const STYLE: &str = include_str!("../../console/console.css");
/// Its scripts: how things are written, then how they are shown.
const WORDS: &str = include_str!("../../console/words.js");
const SCRIPT: &str = include_str!("../../console/console.js");
const KEYS: &str = include_str!("../../console/keys.js");
const ORDERS: &str = include_str!("../../console/orders.js");
/// Its icon: a governor, two weights on a spindle.
const ICON: &str = include_str!("../../console/icon.svg");

/// Nothing but our own files; no inline script or style; nobody may frame the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let asset =
        |body: &'static str, kind: &'static str| get(move || async move { serve(body, kind) });
    let script = "text/javascript; charset=utf-8";
    Router::new()
        .route("/", asset(PAGE, "text/html; charset=utf-8"))
        .route(
            "/console/console.css",
            asset(STYLE, "text/css; charset=utf-8"),
        )
        .route("/console/words.js", asset(WORDS, script))
        .route("/console/keys.js", asset(KEYS, script))
        .route("/console/orders.js", asset(ORDERS, script))
        .route("/console/console.js", asset(SCRIPT, script))
        .route("/console/icon.svg", asset(ICON, "image/svg+xml"))
}

fn serve(body: &'static str, kind: &'static str) -> Response {
    let mut response = body.into_response();
    let headers: [(HeaderName, &'static str); 6] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // A new version of the binary is seen at once.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_no_inline_handler_script_or_style() {
        let page = PAGE.to_lowercase();
        let mut attributes = page
            .split('<')
            .filter_map(|tag| tag.split('>').next())
            .flat_map(|tag| tag.split_ascii_whitespace().skip(1));
        assert_eq!(
            attributes.find(|a| a.starts_with("on") || a.starts_with("style=")),
            None
        );
        assert!(!page.contains("javascript:") && !page.contains("<style"));
        for script in page.split("<script").skip(1) {
            assert!(
                script.contains("src=\"/console/") && script.contains("></script>"),
                "{script}"
            );
        }
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for asset in [PAGE, STYLE, WORDS, KEYS, ORDERS, SCRIPT] {
            // A namespace is a name, not an address.
            let asset = asset.replace("http://www.w3.org/2000/svg", "");
            let elsewhere = ["http://", "https://", "url(//", "src=\"//", "@import"];
            assert_eq!(elsewhere.iter().find(|mark| asset.contains(**mark)), None);
        }
    }

    #[test]
    fn text_goes_in_as_text() {
        for script in [WORDS, ORDERS, SCRIPT] {
            for way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
            ] {
                assert!(!script.contains(way), "{way}");
            }
        }
    }
}
