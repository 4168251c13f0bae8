//! What nobody should keep: secrets and personal data in texts, taken out before a row reaches a table.
//!
//! A [`Policy`] says what is looked for ([`Detector`]), how much content is kept of one span, and whether any is. It is
//! applied to the rows of a request on their way to the store ([`apply`]), and again when the log is replayed, since
//! the log holds requests as they were sent until the next flush. Columns that say who did what (user, session,
//! tenant) are not touched: they are what rows are asked for by, and `flyball erase` is for them.

mod apply;
mod detect;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use apply::apply;
pub use detect::{BadPattern, Detector};

/// What is done to texts before they are kept. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Policy {
    detectors: Arc<[Detector]>,
    keep_content: bool,
    content_bytes_max: usize,
    text_bytes_max: usize,
    counts: Arc<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    redacted: AtomicU64,
    cut: AtomicU64,
}

impl Default for Policy {
    /// Keys and card numbers are taken out; 256 KiB of content are kept of each span, and 64 KiB of its attributes.
    fn default() -> Self {
        Self::new(vec![Detector::key(), Detector::card()])
    }
}

impl Policy {
    /// Takes out what these find, in this order.
    #[must_use]
    pub fn new(detectors: Vec<Detector>) -> Self {
        Self {
            detectors: detectors.into(),
            keep_content: true,
            content_bytes_max: 256 << 10,
            text_bytes_max: 64 << 10,
            counts: Arc::default(),
        }
    }

    /// Nothing is taken out, nothing is cut.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Vec::new())
            .with_content(true, usize::MAX)
            .with_text_bytes_max(usize::MAX)
    }

    /// The same with another answer to whether content is kept at all, and how many bytes of one span's.
    #[must_use]
    pub fn with_content(self, keep: bool, bytes_max: usize) -> Self {
        Self {
            keep_content: keep,
            content_bytes_max: bytes_max,
            ..self
        }
    }

    /// The same with another size for what is no content: the attributes of a span, say, all together.
    #[must_use]
    pub fn with_text_bytes_max(self, bytes_max: usize) -> Self {
        Self {
            text_bytes_max: bytes_max,
            ..self
        }
    }

    /// Texts that something was taken out of, since the start.
    #[must_use]
    pub fn redacted(&self) -> u64 {
        self.counts.redacted.load(Ordering::Relaxed)
    }

    /// Contents and other texts that were cut to their size, since the start.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.counts.cut.load(Ordering::Relaxed)
    }

    /// The text without what the detectors find; `None` when they find nothing.
    #[must_use]
    pub fn redact(&self, text: &str) -> Option<String> {
        let mut left: Option<String> = None;
        for detector in &*self.detectors {
            let found = detector.replace(left.as_deref().unwrap_or(text));
            left = found.or(left);
        }
        left
    }
}
